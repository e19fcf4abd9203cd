// Hooks into how Node.js loads the target's own modules, so that they are counted (`instrument.cjs`), and takes what they tell of errors.
//
// Rules:
//
// - Whatever goes wrong in here, the module runs as it was written.
// - What is hooked: `require` (Module.prototype._compile), and `import` by `module.registerHooks`, or where Node lacks it (before 22.15)
//   by `module.register`, whose hooks run in a thread of their own (`hooks.mjs`).
// - Sources are read with the parser that Node itself brings, so nothing is installed.
'use strict';

const { fileURLToPath, pathToFileURL } = require('url');
const { join } = require('path');
const vm = require('vm');
const { instrument, stripped, MARK } = require('./instrument.cjs');

const COUNTERS = 1 << 20;
const MOST_ERRORS = 400; // so many are looked at between two times that chaosbot asks anew
const FRAMES = 3;
const LONGEST = 200;
const BUILTIN = new Set(['Error', 'TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'URIError', 'EvalError', 'AssertionError']);
const TYPED = '-typescript';
const KINDS = { module: 'module', 'module-typescript': 'module', commonjs: 'script', 'commonjs-typescript': 'script' };
const WRAPPER = ['exports', 'require', 'module', '__filename', '__dirname'];
const ACORN = 'internal/deps/acorn/acorn/dist/acorn';
const FIRST = `import ${JSON.stringify(pathToFileURL(join(__dirname, 'idle.cjs')).href)};`;

// The places of what threads share: whether chaosbot was reached, or cannot be; the event loop's beat; whether the agent has left; errors that were
// looked at; counters and files that are taken.
const SHARED = { READY: 0, BEAT: 1, LEFT: 2, ERRORS: 3, COUNTERS: 4, FILES: 5 };

// The path of a file of the target's own; empty for others. `include` names packages that are its own.
function own(url, include) {
  if (!url.startsWith('file://') && !url.startsWith('/')) return '';
  const path = url.startsWith('/') ? url : fileURLToPath(url.split('?')[0].split('#')[0]);
  const library = path.includes('/node_modules/') && !include.split(',').some((name) => name.trim() && path.includes(`/node_modules/${name.trim()}/`));
  return library || path.startsWith(`${__dirname}/`) ? '' : path;
}

// The parser that Node has for itself.
function parser() {
  const before = process.noDeprecation;
  process.noDeprecation = true;
  try {
    const module = { exports: {} };
    const source = process.binding('natives')[ACORN];
    vm.compileFunction(source, ['exports', 'module'], { filename: 'acorn' }).call(module.exports, module.exports, module);
    return module.exports;
  } finally {
    process.noDeprecation = before;
  }
}

// Counts the modules of a thread; what it has counted goes to `port`.
class Loader {
  constructor({ shared, port, include }) {
    Object.assign(this, { shared, port, include, done: new Map() });
    this.acorn = parser();
  }

  // The source of a module with its counters, or as it is: `kind` is `module`, `script` or `unknown`.
  loaded(text, url, kind) {
    let path = '';
    try {
      path = own(url, this.include);
      // What `import` has loaded may come by `_compile` too.
      if (!path || typeof text !== 'string' || this.done.get(path) === text) return text;
      const file = Atomics.add(this.shared, SHARED.FILES, 1);
      const { code, ...rest } = this.counted(text, { kind, file });
      this.port.postMessage({ file, path, text, ...rest });
      this.done.set(path, code);
      return code;
    } catch (error) {
      this.unwatched(path || url, text, error);
      return text;
    }
  }

  counted(text, { kind, file }) {
    // Modules are loaded in one thread, but for those of `module.register`.
    for (;;) {
      const base = Atomics.load(this.shared, SHARED.COUNTERS);
      const found = instrument(this.acorn, text, { kind, file, base, first: FIRST });
      if (found.kind === 'script') vm.compileFunction(found.code.replace(/^#!.*/, ''), WRAPPER);
      const next = base + found.blocks.length;
      if (next > COUNTERS) throw new Error('the target has too much code');
      if (Atomics.compareExchange(this.shared, SHARED.COUNTERS, base, next) === base) return found;
    }
  }

  unwatched(path, text, error) {
    try {
      this.port.postMessage({ unwatched: path, text: String(text), why: String((error && error.message) || error).slice(0, LONGEST) });
    } catch {
      // it runs on
    }
  }
}

// -- what the target's code calls ----------------------------------------------------------------------------------------

// The numbers and texts that values hold; nobody's getter is called.
function held(values, { isProxy }) {
  const found = new Set();
  const known = new Set();
  const row = values.map((value) => [value, 0]);
  let left = 160;
  while (row.length && left-- > 0) {
    const [value, depth] = row.shift();
    if (typeof value === 'number' && Number.isSafeInteger(value)) found.add(value);
    else if (typeof value === 'bigint') found.add(String(value));
    else if (typeof value === 'string') {
      if (value.length <= 200) found.add(value);
      else for (const one of (value.slice(0, 4096).match(/\d{6,19}|cbm[0-9a-f]{12}/g) || []).slice(0, 12)) found.add(one);
    } else if (value && typeof value === 'object' && depth < 5 && !known.has(value) && !isProxy(value)) {
      known.add(value);
      for (const name of Object.getOwnPropertyNames(value).slice(0, 40)) {
        const one = Object.getOwnPropertyDescriptor(value, name);
        if (one && 'value' in one) row.push([one.value, depth + 1]);
      }
    }
  }
  return [...found].slice(0, 200);
}

// Takes errors as they pass through the target's functions and handlers.
class Errors {
  constructor({ shared, port }) {
    Object.assign(this, { shared, port, known: new WeakMap(), types: require('util').types, numbers: 0 });
  }

  // An error leaves a function: what that held is told, and what the functions around it held.
  left(error, file, values) {
    try {
      if (!this.types.isNativeError(error)) return;
      const known = this.known.get(error) || this.first(error);
      if (known && known.frames++ < FRAMES) this.port.postMessage({ error: known.number, values: held(values, this.types) });
    } catch {
      // it goes its way
    }
  }

  // A handler takes an error.
  handled(error, file, at, values) {
    try {
      if (!this.types.isNativeError(error)) return;
      const known = this.known.get(error);
      const one = known || this.first(error);
      const told = one && one.frames++ < FRAMES ? held(values, this.types) : [];
      if (one) this.port.postMessage({ error: one.number, values: told, file, at, near: !known });
    } catch {
      // it goes its way
    }
  }

  first(error) {
    const name = classOf(error);
    if (!BUILTIN.has(name) || Atomics.add(this.shared, SHARED.ERRORS, 1) >= MOST_ERRORS) return null;
    const one = { number: this.numbers++, frames: 0 };
    this.known.set(error, one);
    const told = Object.getOwnPropertyDescriptor(error, 'message') || {};
    this.port.postMessage({ raised: one.number, name, text: String(told.value || '').slice(0, LONGEST), stack: String(error.stack).slice(0, 8192) });
    return one;
  }
}

// The name of an error's class; Node's own errors are those that they derive from.
function classOf(error) {
  for (let one = Object.getPrototypeOf(error); one; one = Object.getPrototypeOf(one)) {
    const made = Object.getOwnPropertyDescriptor(one, 'constructor');
    const name = made && typeof made.value === 'function' ? made.value.name : '';
    if (name !== 'NodeError') return name;
  }
  return '';
}

function define(name, value) {
  Object.defineProperty(globalThis, `${MARK}${name}`, { value });
}

// What counted code calls in a thread whose agent there is none: nothing happens.
function idle() {
  if (Object.hasOwn(globalThis, `${MARK}c`)) return;
  define('c', new Uint8Array(0));
  define('o', (value) => value);
  define('t', (error) => error);
  define('h', (error) => error);
}

// Hooks this thread's modules; `counters` are set by their code.
function hook({ shared, port, include, counters, hooksPort }) {
  const loader = new Loader({ shared, port, include });
  const errors = new Errors({ shared, port });
  define('c', counters);
  define('o', (value, counter) => {
    if (value !== null && value !== undefined) counters[counter] = 1; // of `value?.member`
    return value;
  });
  define('t', (error, file, values) => (errors.left(error, file, values), error));
  define('h', (error, file, at, values) => (errors.handled(error, file, at, values), error));
  readsAsWritten();
  const Module = require('module');
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (content, filename, ...more) {
    return compile.call(this, loader.loaded(content, String(filename), kindOf(more)), filename, ...more);
  };
  if (Module.registerHooks) Module.registerHooks({ load: (url, context, next) => fresh(loader, url, next(url, context)) });
  else Module.register('./hooks.mjs', pathToFileURL(__filename), { data: { shared, port: hooksPort, include }, transferList: [hooksPort] });
}

// Only where Node tells the format (22) it may turn out to be a module.
function kindOf([format]) {
  if (format === undefined && !('registerHooks' in require('module'))) return 'script';
  return format === 'module' ? 'module' : format === 'commonjs' ? 'script' : 'unknown';
}

// What Node has loaded, counted; where the source is left to `_compile`, it comes by that.
function fresh(loader, url, found) {
  try {
    const { format, source } = found;
    const kind = KINDS[format];
    if (!kind || source === null || source === undefined || !own(url, loader.include)) return found;
    const text = typeof source === 'string' ? source : Buffer.from(source.buffer || source, source.byteOffset, source.byteLength).toString();
    if (!format.endsWith(TYPED)) return { ...found, source: loader.loaded(text, url, kind) };
    return { ...found, format: format.slice(0, -TYPED.length), source: loader.loaded(untyped(text), url, kind) };
  } catch {
    return found;
  }
}

// As Node itself takes types away, which it warns of itself.
function untyped(text) {
  const warn = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return require('module').stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = warn;
  }
}

// A function tells its source as it was written, so that it can be sent elsewhere.
function readsAsWritten() {
  const native = Function.prototype.toString;
  const { toString } = {
    toString() {
      const text = native.call(this === toString ? native : this);
      return text.includes(MARK) ? stripped(text) : text;
    },
  };
  Object.defineProperty(Function.prototype, 'toString', { ...Object.getOwnPropertyDescriptor(Function.prototype, 'toString'), value: toString });
}

module.exports = { hook, idle, own, held, fresh, Loader, COUNTERS, SHARED };
