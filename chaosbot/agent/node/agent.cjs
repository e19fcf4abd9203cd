// The agent's thread in a Node.js process: looks at the main thread through V8's inspector, and tells chaosbot over a Unix socket, one JSON
// object a line, as `agent.py` does for Python.
//
// Rules:
//
// - What ran is asked for when chaosbot asks (`sync`), so chaosbot sends one case after the other where it must know whose it is (`alone`).
// - Code counts as the target's own when its file lies outside of node_modules, or in a package that CHAOSBOT_GUIDE_INCLUDE names.
// - Without chaosbot at the other end, or when something fails in here, the inspector is left and the thread ends.
'use strict';

const { parentPort, workerData } = require('worker_threads');
const { Session } = require('inspector');
const { fileURLToPath } = require('url');
const net = require('net');
const { Source } = require('./code.cjs');

const { shared, address } = workerData;
const INCLUDED = workerData.include.split(',').filter(Boolean).map((name) => `/node_modules/${name.trim()}/`);
const LONG_MS = 300;
const STUCK_MS = 5000;
const TICK_MS = 100;
const QUIET_MS = 4;
const SETTLES = 12;
const MOST_RAISED = 100; // of one place
const MOST_PAUSES = 400; // in a second; more errors than that are not looked at before the next `rearm`
const FRAMES = 3;
const SCOPES = 4;
const LONGEST = 200;
const BUILTIN = new Set(['Error', 'TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'URIError', 'EvalError', 'AssertionError']);

// Runs inside the target on a scope: the numbers and texts that it holds. Getters are not called.
const VALUES = `function () {
  const found = new Set(), known = new Set(), row = [[this, 0]];
  let left = 160;
  while (row.length && left-- > 0) {
    const [value, depth] = row.shift();
    if (typeof value === 'number' && Number.isSafeInteger(value)) found.add(value);
    else if (typeof value === 'bigint') found.add(String(value));
    else if (typeof value === 'string') {
      if (value.length <= ${LONGEST}) found.add(value);
      else for (const one of (value.slice(0, 4096).match(/\\d{6,19}|cbm[0-9a-f]{12}/g) || []).slice(0, 12)) found.add(one);
    } else if (value && typeof value === 'object' && depth < 5 && !known.has(value)) {
      known.add(value);
      for (const name of Object.getOwnPropertyNames(value).slice(0, 40)) {
        const held = Object.getOwnPropertyDescriptor(value, name);
        if (held && 'value' in held) row.push([held.value, depth + 1]);
      }
    }
  }
  return [...found].slice(0, 200);
}`;

const session = new Session();
const line = net.connect(address);
const scripts = new Map(); // by id: {path, number, source, covered}
let numbers = 0;
let fresh = []; // what the last looks were the first to see
let raised = new Map();
let pauses = 0;
let failed = false;
let gone = false;
let asked = Promise.resolve();
let beat = { count: 0, since: performanceNow(), cpu: process.cpuUsage(), blocked: null, wanted: 0 };

function performanceNow() {
  return Number(process.hrtime.bigint() / 1000000n);
}

function post(method, parameters) {
  return new Promise((resolve, reject) => session.post(method, parameters, (error, result) => (error ? reject(error) : resolve(result))));
}

function tell(message) {
  if (!gone) line.write(`${JSON.stringify(message)}\n`);
}

// Tells what failed in here, the first time.
function fail(error) {
  if (!failed && !gone) tell({ trouble: String((error && error.message) || error).slice(0, LONGEST) });
  failed = true;
}

function ready() {
  Atomics.store(shared, 0, 1);
  Atomics.notify(shared, 0);
}

function leave() {
  gone = true;
  ready();
  try {
    session.disconnect();
  } finally {
    Atomics.store(shared, 2, 1);
    Atomics.notify(shared, 2);
    process.exit(0);
  }
}

// The path of a file of the target's own; empty for others.
function own(url) {
  if (!url.startsWith('file://') && !url.startsWith('/')) return '';
  const path = url.startsWith('/') ? url : fileURLToPath(url);
  const library = path.includes('/node_modules/') && !INCLUDED.some((one) => path.includes(one));
  return library || path.startsWith(`${__dirname}/`) ? '' : path;
}

session.on('Debugger.scriptParsed', ({ params }) => {
  const path = own(params.url.split('?')[0]);
  if (path) scripts.set(params.scriptId, { path, number: -1, source: null, covered: null });
});

// A script with its source, told when it is met first.
async function known(id) {
  const script = scripts.get(id);
  if (script && !script.source) {
    const { scriptSource } = await post('Debugger.getScriptSource', { scriptId: id });
    script.source = new Source(scriptSource);
    script.covered = new Uint8Array(script.source.tokens.length);
    script.number = numbers++;
    tell({ file: script.number, path: script.path, words: [...script.source.words.values()], lines: script.source.lines, branches: [] });
  }
  return script;
}

// -- what ran -------------------------------------------------------------------------------------------------------------

// Tells what ran since the last time; whether anything of the target's own did.
async function look() {
  for (const id of [...scripts.keys()]) await known(id);
  const { result } = await post('Profiler.takePreciseCoverage');
  let ran = false;
  const hits = [];
  for (const { scriptId, functions } of result) {
    const script = scripts.get(scriptId);
    if (!script || !script.source) continue;
    // From the outermost to the innermost: what did not run is cut out of what did.
    const now = new Uint8Array(script.source.tokens.length);
    for (const { startOffset, endOffset, count } of functions.flatMap((one) => one.ranges)) {
      now.fill(count ? 1 : 0, script.source.token(startOffset), script.source.token(endOffset));
      ran = ran || count > 0;
    }
    hits.push(...novel(script, now));
  }
  if (hits.length) tell({ hits });
  return ran;
}

// What nothing reached before: a line by its first token (-1), a part of one by the place where it begins.
function novel(script, now) {
  const { tokens } = script.source;
  const found = [];
  let before = -2;
  for (let at = now.indexOf(1); at >= 0 && at < now.length; at++) {
    const token = tokens[at];
    if (!now[at] || script.covered[at]) continue;
    script.covered[at] = 1;
    fresh.push([script, at]);
    const begins = token.first || before !== at - 1 || tokens[at - 1].line !== token.line;
    if (begins) found.push([script.number, token.function, token.line, token.first ? -1 : -2 - token.at, 0, []]);
    before = at;
  }
  return found;
}

async function answer(text) {
  const [how, number] = text.split(' ');
  if (how === 'undo') {
    for (const [script, at] of fresh) script.covered[at] = 0;
    return tell({ synced: Number(number) });
  }
  fresh = [];
  if (how === 'forget') for (const script of scripts.values()) if (script.covered) script.covered.fill(0);
  if (how !== 'sync') {
    raised = new Map();
    if (pauses > MOST_PAUSES) await watch();
    pauses = 0;
  }
  // After an answer the target may still be at work on what it was sent.
  for (let turn = 0; (await look()) && how === 'settle' && turn < SETTLES; turn++) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
  tell({ synced: Number(number) });
}

// -- errors, and what holds the event loop --------------------------------------------------------------------------------

function watch() {
  return post('Debugger.setPauseOnExceptions', { state: 'all' });
}

session.on('Debugger.paused', async ({ params }) => {
  try {
    if (params.reason === 'exception' || params.reason === 'promiseRejection') {
      if (++pauses > MOST_PAUSES) session.post('Debugger.setPauseOnExceptions', { state: 'none' });
      else await error(params);
    } else if (beat.wanted) {
      const late = performanceNow() - beat.wanted > LONG_MS;
      beat.wanted = 0;
      const frames = framesOf(params.callFrames, true);
      if (!late && frames.some(([path]) => path.startsWith('/'))) beat.blocked = { frames, values: await values(params.callFrames) };
    }
  } catch (problem) {
    fail(problem);
  } finally {
    if (!gone) session.post('Debugger.resume');
  }
});

// The frames of own code, the innermost first; with the innermost of all, whosever it is, where asked for.
function framesOf(callFrames, innermost = false) {
  const found = [];
  callFrames.forEach((frame, index) => {
    const script = scripts.get(frame.location.scriptId);
    if (script || (innermost && !index)) found.push([script ? script.path : frame.url, frame.location.lineNumber + 1, nameOf(frame, script)]);
  });
  return found.slice(0, 40);
}

function nameOf(frame, script) {
  if (!script || !script.source) return frame.functionName || `line ${frame.location.lineNumber + 1}`;
  return (script.source.tokens[script.source.token(offsetOf(frame, script))] || {}).function || frame.functionName;
}

function offsetOf(frame, script) {
  return script.source.starts[frame.location.lineNumber] + frame.location.columnNumber;
}

// Whether a scope is a function's: what a module holds is there whoever's turn it is. The module of `require` is a function that begins its file.
function inFunction({ type, startLocation: start }) {
  return type !== 'global' && type !== 'module' && type !== 'script' && !(start && !start.lineNumber && !start.columnNumber);
}

async function values(callFrames) {
  const found = new Set();
  for (const frame of callFrames.filter((one) => scripts.has(one.location.scriptId)).slice(0, FRAMES)) {
    for (const { type, object } of frame.scopeChain.filter(inFunction).slice(0, SCOPES)) {
      if (type === 'with' || !object.objectId) continue;
      const told = { objectId: object.objectId, functionDeclaration: VALUES, returnByValue: true, silent: true };
      const { result } = await post('Runtime.callFunctionOn', told);
      if (Array.isArray(result.value)) result.value.forEach((one) => found.add(one));
    }
  }
  return [...found];
}

async function error({ data, callFrames }) {
  // What Node's own code throws belongs to whom it serves.
  const top = callFrames.find((frame) => !frame.url.startsWith('node:'));
  const name = (data && data.className) || '';
  if (!top || !scripts.has(top.location.scriptId) || !BUILTIN.has(name)) return;
  const script = await known(top.location.scriptId);
  const place = `${top.location.scriptId}:${top.location.lineNumber}:${top.location.columnNumber}:${name}`;
  const times = (raised.get(place) || 0) + 1;
  raised.set(place, times);
  if (times > MOST_RAISED) return;
  const deliberate = top === callFrames[0] && /^throw\b/.test(script.source.text.slice(offsetOf(top, script)));
  let handled = '';
  let broad = false;
  let depth = 0;
  for (const frame of callFrames) {
    const within = scripts.get(frame.location.scriptId);
    if (!within || handled) continue;
    await known(frame.location.scriptId);
    const guard = within.source.handler(offsetOf(frame, within));
    if (guard) {
      handled = `${within.path}:${guard.line}`;
      broad = guard.broad && !(guard.brief && depth === 0);
    }
    depth += 1;
  }
  const text = String(data.description || '').split('\n')[0];
  tell({
    raised: {
      error: name,
      text: (text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text).slice(0, LONGEST),
      meant: deliberate || (handled !== '' && !broad),
      handled,
      frames: framesOf(callFrames),
      values: await values(callFrames),
      inner: `${callFrames[0].url.split('/').pop()}:${callFrames[0].functionName}`,
    },
  });
}

// Looks whether the event loop stands still while the process works, and at what.
function tick() {
  const now = performanceNow();
  const count = Atomics.load(shared, 1);
  if (count !== beat.count) {
    if (beat.blocked) tell({ ...beat.blocked, blocked: (now - beat.since) / 1000 });
    beat = { count, since: now, cpu: process.cpuUsage(), blocked: null, wanted: beat.wanted };
    return;
  }
  const used = process.cpuUsage(beat.cpu);
  const busy = (used.user + used.system) / 1000 > (now - beat.since) / 2;
  if (now - beat.since >= LONG_MS && busy && !beat.blocked && !beat.wanted) {
    beat.wanted = now;
    session.post('Debugger.pause');
  } else if (now - beat.since >= STUCK_MS && beat.blocked) {
    tell({ ...beat.blocked, blocked: (now - beat.since) / 1000 });
    beat.since = now;
    beat.cpu = process.cpuUsage();
  }
}

// -- the thread -----------------------------------------------------------------------------------------------------------

process.on('uncaughtException', (problem) => {
  fail(problem);
  line.end(leave);
});
parentPort.on('message', leave);
line.on('error', leave);
line.on('close', leave);
line.on('connect', () => {
  asked = begin().catch(fail);
});
let heard = '';
line.setEncoding('utf8');
line.on('data', (text) => {
  const rows = (heard + text).split('\n');
  heard = rows.pop();
  for (const row of rows) asked = asked.then(() => answer(row)).catch(fail);
});

async function begin() {
  session.connectToMainThread();
  // All this waits for the main thread, which waits for the message: so it is done before code of the target is loaded.
  const started = [
    post('Profiler.enable'),
    post('Profiler.startPreciseCoverage', { callCount: true, detailed: true }),
    post('Debugger.enable'),
    post('Debugger.setBlackboxPatterns', { patterns: INCLUDED.length ? [] : ['/node_modules/'] }),
    watch(),
  ];
  line.write(`${JSON.stringify({ hello: process.pid, runs: `Node.js ${process.versions.node}`, monitoring: true, alone: true })}\n`, ready);
  await Promise.all(started);
  setInterval(tick, TICK_MS);
}
