// The agent's thread in a Node.js process: reads the counters that the main thread's modules set (`loading.cjs`), and tells chaosbot over a Unix
// socket, one JSON object a line, as `agent.py` does for Python.
//
// Rules:
//
// - What ran is looked at when chaosbot asks (`sync`), so chaosbot sends one case after the other where it must know whose it is (`alone`).
// - V8's inspector is used only while the event loop is held, to see by what; no port is opened.
// - Without chaosbot at the other end, or when something fails in here, the thread ends.
'use strict';

const { parentPort, receiveMessageOnPort, workerData } = require('worker_threads');
const { Session } = require('inspector');
const net = require('net');
const { Source } = require('./code.cjs');
const { held, own, SHARED } = require('./loading.cjs');

const { shared, address, include, ports } = workerData;
const counters = new Uint8Array(workerData.counters);
const LONG_MS = 300;
const STUCK_MS = 5000;
const TICK_MS = 100;
const QUIET_MS = 4;
const SETTLES = 12;
const CAUGHT_MS = 40; // an error that is younger may still be on its way to what handles it
const MOST_RAISED = 100; // of one place
const FRAMES = 3;
const SCOPES = 4;
const LONGEST = 200;
const WHERE = /^\s*at (?:async )?(?:(.*) \()?((?:file:\/\/|node:|\/).*):(\d+):(\d+)\)?$/;

// Runs inside the target on a scope while that is held.
const VALUES = `function () { ${held}; return held([this], { isProxy: () => false }); }`;

const line = net.connect(address);
const scripts = new Map(); // by the number that its code has: {path, number, source, covered, …}
const unread = new Map(); // by path: sources that run as they were written, and are not told yet
const errors = new Map(); // by number: those that are not told yet
let numbers = 0;
let fresh = []; // what the last looks were the first to see
let raised = new Map();
let failed = false;
let gone = false;
let asked = Promise.resolve();
let session = null;
let beat = { count: 0, since: performanceNow(), cpu: process.cpuUsage(), blocked: null, wanted: 0 };

function performanceNow() {
  return Number(process.hrtime.bigint() / 1000000n);
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
  Atomics.store(shared, SHARED.READY, 1);
  Atomics.notify(shared, SHARED.READY);
}

function leave() {
  gone = true;
  ready();
  try {
    release();
  } finally {
    Atomics.store(shared, SHARED.LEFT, 1);
    Atomics.notify(shared, SHARED.LEFT);
    process.exit(0);
  }
}

// -- what was loaded, and what ran ------------------------------------------------------------------------------------------

// Takes what the target's threads have told.
function hear() {
  for (const port of ports) {
    for (let one = receiveMessageOnPort(port); one; one = receiveMessageOnPort(port)) take(one.message);
  }
  // A module may have been tried as a script before.
  const paths = new Set([...scripts.values()].map((one) => one.path));
  for (const [path, { text, why }] of unread) if (!paths.has(path)) unwatched(path, text, why);
  unread.clear();
}

function take(message) {
  if (message.blocks) load(message);
  else if (message.unwatched !== undefined) unread.set(message.unwatched, message);
  else if (message.trouble !== undefined) fail(message.trouble);
  else if (message.raised !== undefined) errors.set(message.raised, { ...message, values: [], handled: '', broad: false, since: performanceNow() });
  else handle(errors.get(message.error), message);
}

function load({ file, path, text, blocks, jumps, made, shifts }) {
  const source = new Source(text);
  const painted = blocks
    .map(([first, last, counter]) => [source.token(first), source.token(last), counter])
    .sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const sides = jumps.map(([at, zero, one]) => [at, [zero, one], [false, false]]);
  const covered = new Uint8Array(source.tokens.length);
  const script = { path, number: numbers++, source, covered, blocks: painted, sides, made: new Map(made), shifts, first: blocks[0][2], last: blocks[blocks.length - 1][2] };
  scripts.set(file, script);
  const branches = jumps.map(([at]) => [source.line(at), at, functionAt(script, at)]);
  tell({ file: script.number, path, words: [...source.words.values()], lines: source.lines, branches });
}

// What runs as it was written: its words are known all the same.
function unwatched(path, text, why) {
  tell({ file: numbers++, path, words: [...new Source(text).words.values()], lines: {}, branches: [] });
  tell({ unwatched: path, why });
}

function functionAt({ source }, at) {
  return (source.tokens[source.token(at)] || { function: '<module>' }).function;
}

// Tells what ran since the last time; whether anything of the target's own did.
function look() {
  hear();
  let ran = false;
  const hits = [];
  for (const script of scripts.values()) {
    const set = counters.slice(script.first, script.last + 1);
    if (!set.includes(1)) continue;
    ran = true;
    for (let at = set.indexOf(1); at >= 0; at = set.indexOf(1, at + 1)) counters[script.first + at] = 0;
    // From the outermost to the innermost: what did not run is cut out of what did.
    const now = new Uint8Array(script.source.tokens.length);
    for (const [first, last, counter] of script.blocks) now.fill(set[counter - script.first], first, last);
    hits.push(...novel(script, now), ...turned(script, (counter) => set[counter - script.first]));
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
    fresh.push(() => (script.covered[at] = 0));
    const begins = token.first || before !== at - 1 || tokens[at - 1].line !== token.line;
    if (begins) found.push([script.number, token.function, token.line, token.first ? -1 : -2 - token.at, 0, []]);
    before = at;
  }
  return found;
}

// The ways that a branch went for the first time.
function turned(script, ran) {
  const found = [];
  for (const [at, ways, known] of script.sides) {
    ways.forEach((way, side) => {
      if (known[side] || !way.some(ran)) return;
      known[side] = true;
      fresh.push(() => (known[side] = false));
      found.push([script.number, functionAt(script, at), script.source.line(at), at, side, []]);
    });
  }
  return found;
}

async function answer(text) {
  const [how, number] = text.split(' ');
  if (how === 'undo') {
    for (const back of fresh) back();
    return tell({ synced: Number(number) });
  }
  fresh = [];
  if (how === 'forget') {
    for (const script of scripts.values()) {
      script.covered.fill(0);
      for (const [, , known] of script.sides) known.fill(false);
    }
  }
  if (how !== 'sync') {
    raised = new Map();
    Atomics.store(shared, SHARED.ERRORS, 0);
  }
  // After an answer the target may still be at work on what it was sent.
  for (let turn = 0; look() && how === 'settle' && turn < SETTLES; turn++) await later(QUIET_MS);
  if ([...errors.values()].some((one) => !one.handled && performanceNow() - one.since < CAUGHT_MS)) {
    await later(CAUGHT_MS);
    hear();
  }
  for (const one of errors.values()) error(one);
  errors.clear();
  tell({ synced: Number(number) });
}

function later(wait) {
  return new Promise((resolve) => setTimeout(resolve, wait));
}

// -- errors -------------------------------------------------------------------------------------------------------------

// An error went on: out of a function that held values, or into a handler.
function handle(one, { values, file, at, near }) {
  if (!one) return;
  one.values.push(...values);
  if (at === undefined) one.handled = ''; // what seemed to handle it has thrown it on
  const script = scripts.get(file);
  const guard = !one.handled && script && script.source.guards.find((guard) => guard.at === at);
  if (!guard) return;
  one.handled = `${script.path}:${guard.line}`;
  // One statement that may fail, and is known to, right where it stands.
  one.broad = guard.broad && !(guard.brief && near);
}

function error({ name, text, stack, values, handled, broad }) {
  const frames = framesOf(stack.slice(Math.max(0, stack.indexOf(text)) + text.length));
  // What Node's own code throws belongs to whom it serves; what a package's does, to that.
  const top = frames.find(({ url }) => !url.startsWith('node:'));
  if (!top || !top.script) return;
  const place = `${top.url}:${top.line}:${top.column}:${name}`;
  const times = (raised.get(place) || 0) + 1;
  raised.set(place, times);
  if (times > MOST_RAISED) return;
  const deliberate = top === frames[0] && top.script.made.get(top.at) === name;
  tell({
    raised: {
      error: name,
      text,
      meant: deliberate || (handled !== '' && !broad),
      handled,
      frames: frames.filter((one) => one.script).map((one) => [one.script.path, one.line, one.name]),
      values: [...new Set(values)],
      inner: `${frames[0].url.split('/').pop()}:${frames[0].called}`,
    },
  });
}

// The frames of a trace that stand in files, the innermost first.
function framesOf(stack) {
  const found = [];
  for (const row of stack.split('\n')) {
    const match = WHERE.exec(row);
    if (match) found.push(frameOf(match[2], match[1] || '', Number(match[3]), Number(match[4]) - 1));
  }
  return found;
}

function frameOf(url, called, line, column) {
  const path = own(url, include);
  const script = path ? [...scripts.values()].reverse().find((one) => one.path === path) : undefined;
  const at = script ? written(script, line, column) : 0;
  return { url, called, line, column, script, at, name: script ? functionAt(script, at) : called || `line ${line}` };
}

// The place in the source as it was written.
function written({ source, shifts }, line, column) {
  const start = source.starts[line - 1];
  const end = source.starts[line] || Infinity;
  let inserted = 0;
  for (const [at, length] of shifts) {
    if (at < start || at >= end) continue;
    const here = at - start + inserted;
    if (column < here) break;
    if (column < here + length) return at;
    inserted += length;
  }
  return start + column - inserted;
}

// -- what holds the event loop ---------------------------------------------------------------------------------------------

// Stops the main thread for a moment, to see at what it is.
function hold() {
  session = new Session();
  session.connectToMainThread();
  const urls = new Map(); // by id
  session.on('Debugger.scriptParsed', ({ params }) => urls.set(params.scriptId, params.url));
  session.on('Debugger.paused', async ({ params }) => {
    try {
      const late = Atomics.load(shared, SHARED.BEAT) !== beat.count;
      const frames = params.callFrames.map((one) => [frameOf(urls.get(one.location.scriptId) || '', one.functionName, one.location.lineNumber + 1, one.location.columnNumber), one]);
      const told = frames.filter(([{ script }], index) => script || !index).map(([{ script, url, line, name }]) => [script ? script.path : url, line, name]);
      const mine = frames.filter(([{ script }]) => script).map(([, one]) => one);
      if (!late && mine.length) beat.blocked = { frames: told.slice(0, 40), values: await values(mine) };
    } catch (problem) {
      fail(problem);
    } finally {
      release();
    }
  });
  session.post('Debugger.enable');
  session.post('Debugger.pause');
}

function release() {
  beat.wanted = 0;
  if (session) session.disconnect(); // what it has stopped goes on
  session = null;
}

function post(method, parameters) {
  return new Promise((resolve, reject) => session.post(method, parameters, (error, result) => (error ? reject(error) : resolve(result))));
}

// Whether a scope is a function's: what a module holds is there whoever's turn it is. The module of `require` is a function that begins its file.
function inFunction({ type, startLocation: start }) {
  return type !== 'global' && type !== 'module' && type !== 'script' && !(start && !start.lineNumber && !start.columnNumber);
}

async function values(callFrames) {
  const found = new Set();
  for (const frame of callFrames.slice(0, FRAMES)) {
    for (const { type, object } of frame.scopeChain.filter(inFunction).slice(0, SCOPES)) {
      if (type === 'with' || !object.objectId) continue;
      const told = { objectId: object.objectId, functionDeclaration: VALUES, returnByValue: true, silent: true };
      const { result } = await post('Runtime.callFunctionOn', told);
      if (Array.isArray(result.value)) result.value.forEach((one) => found.add(one));
    }
  }
  return [...found];
}

// Looks whether the event loop stands still while the process works, and at what.
function tick() {
  const now = performanceNow();
  const count = Atomics.load(shared, SHARED.BEAT);
  if (count !== beat.count) {
    if (beat.blocked) tell({ ...beat.blocked, blocked: (now - beat.since) / 1000 });
    beat = { count, since: now, cpu: process.cpuUsage(), blocked: null, wanted: beat.wanted };
    if (session && now - beat.wanted > STUCK_MS) release(); // it went on by itself
    return;
  }
  const used = process.cpuUsage(beat.cpu);
  const busy = (used.user + used.system) / 1000 > LONG_MS / 2; // on a machine with more to do it takes longer than that
  if (now - beat.since >= LONG_MS && busy && !beat.blocked && !beat.wanted) {
    beat.wanted = now;
    hear();
    hold();
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
line.on('connect', begin);
let heard = '';
line.setEncoding('utf8');
line.on('data', (text) => {
  const rows = (heard + text).split('\n');
  heard = rows.pop();
  for (const row of rows) asked = asked.then(() => answer(row)).catch(fail);
});

function begin() {
  line.write(`${JSON.stringify({ hello: process.pid, runs: `Node.js ${process.versions.node}`, monitoring: true, alone: true })}\n`, ready);
  setInterval(() => {
    try {
      tick();
    } catch (problem) {
      fail(problem);
    }
  }, TICK_MS);
}
