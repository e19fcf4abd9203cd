// Reads a JavaScript source as V8 runs it: its tokens, the functions that they stand in, the words that its code waits for, and its `try`s.
//
// A lexer with a stack of brackets, not a parser: what it takes for something else costs a word or a name, and never the target.
'use strict';

const MOST_WORDS = 4000;
const LONGEST = 120;
const MODULE = '<module>';
const AFFIXES = { startsWith: 'prefix', endsWith: 'suffix', includes: 'contains', indexOf: 'contains', lastIndexOf: 'contains', split: 'contains' };
const EQUALS = new Set(['hears', 'callbackQuery', 'action', 'has', 'equals', 'timingSafeEqual', 'Set', 'Map', 'localeCompare']);
const COMMANDS = new Set(['command', 'commands', 'onCommand']);
const KEYS = new Set(['get', 'hasOwn', 'hasOwnProperty', 'delete']);
const EQUALITY = new Set(['===', '==', '!==', '!=']);
const ORDER = new Set(['<', '>', '<=', '>=']);
const CONDITIONS = new Set(['if', 'for', 'while', 'switch', 'with', 'catch']);
const KEYWORDS = new Set(
  ('await break case catch class const continue debugger default delete do else export extends finally for function if import in instanceof ' +
    'let new of return static super switch this throw try typeof var void while with yield async null true false undefined').split(' '),
);
const BEFORE_REGEX = new Set(['return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw', 'new', 'else', 'do', 'await', 'yield', 'instanceof']);
const CLOSERS = new Set(['}', ')', ']', ';', ',']);
const PUNCTUATOR =
  />>>=|\.\.\.|===|!==|\*\*=|<<=|>>=|>>>|&&=|\|\|=|\?\?=|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\+\+|--|\+=|-=|\*=|\/=|%=|&=|\|=|\^=|<<|>>|\*\*|[\s\S]/y;
const IDENTIFIER = /[\p{ID_Start}$_#@][\p{ID_Continue}$\u200c\u200d]*/uy;
const NUMBER = /0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y;
const BLANK = /(?:\s|\/\/[^\n\r\u2028\u2029]*|\/\*[\s\S]*?\*\/)+/y;

// Tokens as {kind, value, at, end}; `kind` is id, number, string, template, regex or mark. Brackets know each other: `open` of a closing one.
function tokens(text) {
  const found = [];
  const stack = [];
  let at = text.startsWith('#!') ? text.indexOf('\n') : 0;
  if (at < 0) at = text.length;
  const add = (kind, value, end) => {
    found.push({ kind, value, at, end, open: -1, role: '' });
    at = end;
  };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    return match && match[0];
  };
  const template = (from) => {
    let end = from;
    while (end < text.length && text[end] !== '`' && !(text[end] === '$' && text[end + 1] === '{')) end += text[end] === '\\' ? 2 : 1;
    const whole = text[end] === '`';
    const begun = text[at] === '`';
    add(begun && whole ? 'string' : 'template', unescaped(text.slice(from, end)), Math.min(text.length, end + (whole ? 1 : 2)));
    if (!whole && end < text.length) stack.push({ mark: '`', index: found.length - 1 });
  };
  while (at < text.length) {
    const blank = take(BLANK);
    if (blank) {
      at += blank.length;
      continue;
    }
    const one = text[at];
    const previous = found[found.length - 1];
    if (one === '"' || one === "'") {
      let end = at + 1;
      while (end < text.length && text[end] !== one && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1;
      add('string', unescaped(text.slice(at + 1, end)), Math.min(text.length, end + 1));
    } else if (one === '`') {
      template(at + 1);
    } else if (one === '}' && stack.length && stack[stack.length - 1].mark === '`') {
      stack.pop();
      template(at + 1);
    } else if (/\d/.test(one) || (one === '.' && /\d/.test(text[at + 1] || ''))) {
      const number = take(NUMBER);
      add('number', Number(number.replace(/_/g, '')), at + number.length + (text[at + number.length] === 'n' ? 1 : 0));
    } else if (take(IDENTIFIER)) {
      const name = take(IDENTIFIER);
      add('id', name, at + name.length);
    } else if (one === '/' && startsRegex(found, previous)) {
      let end = at + 1;
      let inside = false;
      while (end < text.length && text[end] !== '\n' && (inside || text[end] !== '/')) {
        if (text[end] === '[') inside = true;
        if (text[end] === ']') inside = false;
        end += text[end] === '\\' ? 2 : 1;
      }
      const flags = /[a-z]*/y;
      flags.lastIndex = end + 1;
      const told = (flags.exec(text) || [''])[0];
      add('regex', pattern(text.slice(at + 1, end), told), end + 1 + told.length);
    } else {
      add('mark', take(PUNCTUATOR), at + take(PUNCTUATOR).length);
      const token = found[found.length - 1];
      if ('([{'.includes(token.value)) {
        if (token.value === '{') token.role = role(found, stack);
        stack.push({ mark: token.value, index: found.length - 1 });
      } else if (')]}'.includes(token.value) && stack.length) {
        token.open = stack.pop().index;
        token.role = found[token.open].role;
      }
    }
  }
  return found;
}

function startsRegex(found, previous) {
  if (!previous) return true;
  if (previous.kind === 'id') return BEFORE_REGEX.has(previous.value);
  if (previous.kind !== 'mark') return false;
  if (previous.value === ')') return conditional(found, previous);
  if (previous.value === '}') return previous.role !== 'object';
  return previous.value !== ']' && previous.value !== '++' && previous.value !== '--';
}

// Whether a closing parenthesis belongs to `if (…)` and the like.
function conditional(found, closing) {
  const before = found[closing.open - 1];
  const name = before && before.value === 'await' ? found[closing.open - 2] : before;
  return Boolean(name && name.kind === 'id' && CONDITIONS.has(name.value) && (found[closing.open - 2] || {}).value !== '.');
}

// What a brace that stands last opens: function, class, try, catch, block or object.
function role(found, stack) {
  const previous = found[found.length - 2];
  if (!previous) return 'block';
  if (previous.kind === 'mark') {
    if (previous.value === '=>') return 'function';
    if (previous.value === ')' && previous.open >= 0) {
      if (!conditional(found, previous)) return 'function';
      return found[previous.open - 1].value === 'catch' ? 'catch' : 'block';
    }
    if (previous.value === ':') {
      const around = stack[stack.length - 1];
      return around && found[around.index].role === 'object' ? 'object' : 'block';
    }
    return previous.value === ';' || previous.value === '{' || previous.value === '}' ? 'block' : 'object';
  }
  if (previous.kind !== 'id') return 'object';
  if (previous.value === 'try' || previous.value === 'catch') return previous.value;
  if (previous.value === 'else' || previous.value === 'do' || previous.value === 'finally' || previous.value === 'static') return 'block';
  const before = found.slice(-5, -2).map((one) => one.value);
  return previous.value === 'class' || before.includes('class') || before.includes('extends') ? 'class' : 'object';
}

// The name of the function whose body begins at this token.
function named(found, index, line) {
  let first = index - 1;
  if (found[first].value === '=>') first -= 1;
  if (first >= 0 && found[first].value === ')') first = found[first].open;
  let before = first - 1;
  while (before >= 0 && (found[before].value === 'async' || found[before].value === '*')) before -= 1;
  let name = found[before];
  if (name && name.value === 'function') name = found[before - 1];
  if (name && (name.value === '=' || name.value === ':')) name = found[before - (found[before].value === 'function' ? 2 : 1)];
  if (name && name.kind === 'id' && !KEYWORDS.has(name.value)) return name.value;
  return `line ${line}`;
}

function unescaped(text) {
  return text.replace(/\\(?:u\{([\da-fA-F]+)\}|u([\da-fA-F]{4})|x([\da-fA-F]{2})|\r?\n|([\s\S]))/g, (_, long, four, two, one) => {
    const code = parseInt(long || four || two, 16);
    if (code <= 0x10ffff) return String.fromCodePoint(code);
    return one === undefined ? '' : { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', 0: '\0' }[one] || one;
  });
}

// An expression as Python writes it, so far as they differ.
function pattern(source, flags) {
  const same = source
    .replace(/\(\?<(?![=!])/g, '(?P<')
    .replace(/\\k<(\w+)>/g, '(?P=$1)')
    .replace(/\\u\{([\da-fA-F]+)\}/g, (_, code) => String.fromCodePoint(parseInt(code, 16)))
    .replace(/\[\^\]/g, '[\\s\\S]')
    .replace(/\\\//g, '/');
  const set = [...flags].filter((flag) => 'ims'.includes(flag)).join('');
  return `(?a${set})${same}`;
}

class Source {
  constructor(text) {
    this.tokens = tokens(text);
    this.starts = [0];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.starts.push(at + 1);
    this.words = new Map();
    this.lines = Object.create(null); // a function may be called `constructor`
    this.guards = [];
    this.text = text;
    this.walk();
  }

  line(offset) {
    let low = 0;
    let high = this.starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  }

  // The first token that begins at or after an offset.
  token(offset) {
    let low = 0;
    let high = this.tokens.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tokens[middle].at < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  walk() {
    const around = [];
    const functions = [MODULE];
    let last = 0;
    this.tokens.forEach((token, index) => {
      token.function = functions[functions.length - 1];
      token.line = this.line(token.at);
      token.first = token.line !== last && !CLOSERS.has(token.value);
      if (token.first) {
        last = token.line;
        (this.lines[token.function] = this.lines[token.function] || []).push(token.line);
      }
      this.classify(token, index, around[around.length - 1], around[around.length - 2]);
      if (token.kind === 'template' && this.text[token.end - 1] === '{' && this.text[token.at] === '`') around.push(index);
      else if (token.kind === 'template' && this.text[token.end - 1] === '`') around.pop();
      if (token.kind !== 'mark') return;
      if ('([{'.includes(token.value)) {
        around.push(index);
        if (token.role === 'function') functions.push(named(this.tokens, index, token.line));
      } else if (')]}'.includes(token.value) && token.open >= 0) {
        around.pop();
        if (token.role === 'function' && functions.length > 1) functions.pop();
        if (token.role === 'catch') this.guard(token, index);
      }
    });
  }

  guard(closing, index) {
    let end = closing.open - 1; // `try {…} catch {`, or `try {…} catch (error) {`
    if (this.tokens[end].value === ')') end = this.tokens[end].open - 1;
    const body = this.tokens[end - 1];
    if (!body || body.role !== 'try' || body.open < 0) return;
    const inside = this.tokens.slice(closing.open + 1, index).map((one) => one.value);
    const within = this.tokens.slice(body.open + 1, end - 1);
    const brief = within.filter((one) => one.value === ';').length <= 1 && !within.some((one) => one.role && one.role !== 'object');
    const exact = inside.includes('instanceof') || inside.includes('code') || inside.includes('name');
    if (inside.includes('throw') && !exact) return; // it handles nothing
    this.guards.push({ at: this.tokens[end].at, line: this.tokens[end].line, brief, broad: !exact });
  }

  add(kind, value, token) {
    if (this.words.size >= MOST_WORDS || (typeof value === 'string' && (!value || value.length > LONGEST))) return;
    const slashed = typeof value === 'string' && value.length > 1 && (value[0] === '/' || value[0] === '!');
    const told = slashed && (kind === 'equal' || kind === 'prefix') ? 'command' : kind;
    const key = `${told} ${typeof value} ${value} ${token.function}`;
    if (!this.words.has(key)) this.words.set(key, [told, value, token.line, token.function]);
  }

  classify(token, index, bracket, outer) {
    if (token.kind === 'id') {
      const next = this.tokens[index + 1] || {};
      const key = bracket !== undefined && this.tokens[bracket].role === 'object' && next.value === ':';
      if (key && token.function === MODULE) this.add('equal', token.value, token);
      if (!KEYWORDS.has(token.value)) this.add('name', token.value, token);
    } else if (token.kind === 'regex') {
      this.add('regex', token.value, token);
    } else if (token.kind === 'number' && Number.isFinite(token.value)) {
      const [before, after] = [this.tokens[index - 1] || {}, this.tokens[index + 1] || {}];
      const length = (this.tokens[index - 2] || {}).value === 'length';
      const compared = [before, after].some((one) => EQUALITY.has(one.value));
      const ordered = [before, after].some((one) => ORDER.has(one.value));
      this.add(length && (compared || ordered) ? 'length' : compared ? 'equal' : 'number', token.value, token);
    } else if (token.kind === 'string') {
      const kind = this.meant(index, bracket, outer);
      if (kind === 'command') this.add('command', `/${token.value.replace(/^\/+/, '')}`, token);
      else if (kind !== 'word' || token.value.split(/\s+/).length <= 2) this.add(kind, token.value, token);
    }
  }

  // What the code does with a text.
  meant(index, bracket, outer) {
    const [before, after] = [this.tokens[index - 1] || {}, this.tokens[index + 1] || {}];
    if (EQUALITY.has(before.value) || EQUALITY.has(after.value) || (before.kind === 'id' && before.value === 'case')) return 'equal';
    if (bracket === undefined) return 'word';
    const opening = this.tokens[bracket];
    const callee = (at) => (at > 0 && this.tokens[at].value === '(' && this.tokens[at - 1].kind === 'id' ? this.tokens[at - 1].value : '');
    if (opening.value === '[') {
      const owner = this.tokens[bracket - 1];
      if (owner && ((owner.kind === 'id' && !KEYWORDS.has(owner.value)) || owner.value === ')' || owner.value === ']')) return 'key';
      return outer !== undefined && COMMANDS.has(callee(outer)) ? 'command' : 'equal';
    }
    if (opening.role === 'object') return after.value === ':' ? 'equal' : 'word';
    const name = callee(bracket);
    if (COMMANDS.has(name)) return 'command';
    if (name === 'RegExp') return 'regex';
    if (EQUALS.has(name)) return 'equal';
    if (KEYS.has(name)) return 'key';
    return Object.prototype.hasOwnProperty.call(AFFIXES, name) ? AFFIXES[name] : 'word';
  }
}

module.exports = { Source };
