// Adds counters to a JavaScript source, so that it tells which of its blocks ran and which errors passed through its functions.
//
// Rules:
//
// - It only inserts, and never a line break, so that lines stay where they are. Each insertion stands between two comments, by which `stripped`
//   takes it out again.
// - What the code does stays the same: blocks get braces, arms of `?:` and `&&` parentheses, bodies of functions a `try` whose `catch` throws on.
//   Where that could be seen from inside (`with`, texts that V8 writes from the source, functions that a block would declare twice), nothing is inserted.
// - A block's counter is set when it is entered. It covers the block but for the blocks inside; after a statement that may leave the block
//   another one begins.
'use strict';

const MARK = '$cb_';
const OPEN = '/*$cb*/';
const CLOSE = '/*cb$*/';
const INSERTED = /\/\*\$cb\*\/[\s\S]*?(?:\/\*cb\$\*\/|$)/g; // a function's text may end within
const NESTED = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression', 'ClassDeclaration', 'ClassExpression']);
const JUMPS = new Set(['ReturnStatement', 'ThrowStatement', 'BreakStatement', 'ContinueStatement']);
const LOOPS = new Set(['ForStatement', 'ForInStatement', 'ForOfStatement', 'WhileStatement', 'DoWhileStatement']);
// What may hold whose turn it is; a function would get another name by being assigned once more.
const HELD = new Set(['CallExpression', 'AwaitExpression', 'MemberExpression', 'ChainExpression', 'ObjectExpression']);
const MOST_HELD = 4;
const MOST_NAMES = 8;

class Instrumenter {
  constructor(text, tree, file, base) {
    Object.assign(this, { text, file, base });
    this.before = new Map(); // by place, what is inserted at it; what closes something there comes first
    this.after = new Map();
    this.blocks = []; // [first, last, counter]
    this.jumps = []; // [place, counters of one way, counters of the other]
    this.printed = new WeakSet(); // what V8 tells in its errors as it is written
    this.made = []; // [place, class] of errors that the code makes itself
    const counted = `${this.set(this.counter(0, text.length))};`;
    this.open(begins(tree.body, tree.body[0].start), `${tree.body[0].directive === undefined ? '' : ';'}${counted}`);
    this.list(tree.body, text.length, { names: [] });
  }

  // -- what is inserted -----------------------------------------------------------------------------------------------

  open(at, text) {
    this.before.set(at, (this.before.get(at) || '') + text);
  }

  close(at, text) {
    this.after.set(at, (this.after.get(at) || '') + text);
  }

  counter(first, last) {
    const index = this.base + this.blocks.length;
    this.blocks.push([first, last, index]);
    return index;
  }

  set(index) {
    return `${MARK}c[${index}]=1`;
  }

  // Counts a statement that is a block, or becomes one.
  block(node, end = '') {
    const counter = this.counter(node.start, node.end);
    if (node.type === 'BlockStatement') {
      this.open(node.start + 1, `${this.set(counter)};`);
      return [counter, () => end && this.close(node.end, end)];
    }
    this.open(node.start, `{${this.set(counter)};`);
    return [counter, () => this.close(node.end, `}${end}`)];
  }

  // -- what is read ---------------------------------------------------------------------------------------------------

  visit(node, scope) {
    if (LOOPS.has(node.type)) return this.loop(node, scope);
    const how = this[node.type];
    if (how) how.call(this, node, scope);
    else this.children(node, scope);
  }

  children(node, scope, without = null) {
    for (const one of inside(node)) if (one !== without) this.visit(one, scope);
  }

  // Statements in turn; after one that may leave them a counter of its own begins.
  list(statements, last, scope) {
    let left = false;
    for (const one of statements) {
      if (left && one.type !== 'FunctionDeclaration') {
        this.open(one.start, `${this.set(this.counter(one.start, last))};`);
        left = false;
      }
      this.visit(one, scope);
      left = left || leaves(one);
    }
  }

  BlockStatement(node, scope) {
    this.list(node.body, node.end - 1, scope);
  }

  StaticBlock(node) {
    this.list(node.body, node.end - 1, { names: [] });
  }

  IfStatement(node, scope) {
    this.visit(node.test, scope);
    const other = node.alternate ? -1 : this.counter(node.end, node.end);
    const [one, end] = this.block(node.consequent, node.alternate ? '' : `else{${this.set(other)}}`);
    this.visit(node.consequent, scope);
    end();
    if (!node.alternate) return this.jumps.push([node.start, [other], [one]]);
    const [two, finish] = this.block(node.alternate);
    this.visit(node.alternate, scope);
    finish();
    return this.jumps.push([node.start, [two], [one]]);
  }

  loop(node, scope) {
    if (node.type === 'ForOfStatement') this.print(node.right);
    this.children(node, scope, node.body);
    const [, end] = this.block(node.body);
    this.visit(node.body, scope);
    end();
  }

  SwitchStatement(node, scope) {
    this.visit(node.discriminant, scope);
    const entered = [];
    let from = null; // of the labels that stand together
    for (const one of node.cases) {
      if (one.test) this.visit(one.test, scope);
      if (from === null) from = one.start;
      if (!one.consequent.length) continue;
      const [first, last] = [one.consequent[0].start, one.consequent[one.consequent.length - 1].end];
      const counter = this.counter(from, last);
      from = null;
      entered.push([one, counter]);
      this.open(first, `${this.set(counter)};`);
      this.list(one.consequent, last, scope);
    }
    const counters = entered.map(([, counter]) => counter);
    if (node.cases.length && node.cases.every((one) => one.test)) {
      counters.push(this.counter(node.end, node.end));
      this.close(node.end - 1, `;default:${this.set(counters[counters.length - 1])};`);
    }
    for (const [one, counter] of entered) {
      if (one.test) this.jumps.push([one.start, counters.filter((other) => other !== counter), [counter]]);
    }
  }

  // `catch` sees what is thrown before the code does.
  TryStatement(node, scope) {
    const { block, handler, finalizer } = node;
    const told = (name) => `${MARK}h(${name},${this.file},${handler.start},[${[...scope.names, ...(scope.held || [])].join(',')}])`;
    const apart = handler && handler.param && handler.param.type !== 'Identifier';
    if (apart && block.body.length) this.open(block.start + 1, 'try{');
    this.visit(block, scope);
    if (apart && block.body.length) this.close(block.end - 1, `}catch(${MARK}e){throw ${told(`${MARK}e`)}}`);
    if (handler) {
      if (handler.param) this.visit(handler.param, scope);
      else this.open(handler.body.start, `(${MARK}e)`);
      const counter = this.counter(handler.body.start, handler.body.end);
      const name = handler.param ? handler.param.name : `${MARK}e`;
      this.open(handler.body.start + 1, `${this.set(counter)};${apart ? '' : `${told(name)};`}`);
      this.visit(handler.body, scope);
    }
    if (finalizer) this.visit(finalizer, scope);
  }

  WithStatement(node, scope) {
    this.visit(node.object, scope); // in its body every name may be another's
  }

  ConditionalExpression(node, scope) {
    this.visit(node.test, scope);
    const arms = [node.alternate, node.consequent].map((arm) => this.arm(arm, scope, !this.printed.has(node)));
    if (!this.printed.has(node)) this.jumps.push([node.start, [arms[0]], [arms[1]]]);
  }

  LogicalExpression(node, scope) {
    this.visit(node.left, scope);
    this.arm(node.right, scope, !this.printed.has(node));
  }

  MemberExpression(node, scope) {
    if (!node.optional || this.printed.has(node)) return this.children(node, scope);
    const counter = this.counter(node.object.end, node.end);
    this.open(node.object.start, `${MARK}o(`);
    this.visit(node.object, scope);
    this.close(node.object.end, `,${counter})`);
    return this.visit(node.property, scope);
  }

  print(node) {
    this.printed.add(node);
    const inner = node.object || node.callee || node.expression;
    if (inner && inner.type) this.print(inner); // of an arrow it is a flag
  }

  // A part of an expression; V8 tells some expressions in its errors, and would tell the counter as well.
  arm(node, scope, counted) {
    if (!counted) {
      this.visit(node, scope);
      return -1;
    }
    const counter = this.counter(node.start, node.end);
    this.open(node.start, `(${this.set(counter)},`);
    this.visit(node, scope);
    this.close(node.end, ')');
    return counter;
  }

  CallExpression(node, scope) {
    if (node.type === 'CallExpression' && node.callee.type === 'Identifier' && node.callee.name.endsWith('Error')) this.made.push([node.start, node.callee.name]);
    this.print(node.callee);
    this.children(node, scope);
  }

  NewExpression(node, scope) {
    this.made.push([node.start, node.callee.name || '']);
    this.CallExpression(node, scope);
  }

  TaggedTemplateExpression(node, scope) {
    this.print(node.tag);
    this.children(node, scope);
  }

  SpreadElement(node, scope) {
    this.print(node.argument);
    this.visit(node.argument, scope);
  }

  AssignmentExpression(node, scope) {
    if (node.left.type !== 'Identifier' && node.left.type !== 'MemberExpression') this.print(node.right);
    this.children(node, scope);
  }

  VariableDeclarator(node, scope) {
    if (node.id.type !== 'Identifier') {
      if (node.init) this.print(node.init);
      this.children(node, scope);
    } else if (node.init) {
      const holds = scope.held && scope.held.length < MOST_HELD && HELD.has(node.init.type);
      if (holds) {
        scope.held.push(`${MARK}${scope.held.length}`);
        this.open(node.init.start, `${scope.held[scope.held.length - 1]}=`);
      }
      this.visit(node.init, scope);
    }
  }

  FunctionDeclaration(node, scope) {
    this.functions(node, scope);
  }

  FunctionExpression(node, scope) {
    this.functions(node, scope);
  }

  ArrowFunctionExpression(node, scope) {
    this.functions(node, scope);
  }

  functions(node, { names: around = [] }) {
    for (const one of node.params) this.visit(one, { names: [] });
    const { body } = node;
    const expression = body.type !== 'BlockStatement';
    const statements = expression ? [] : body.body;
    const empty = !expression && statements.every((one) => one.directive !== undefined);
    const guarded = !empty && !twice(body);
    const held = [];
    const names = node.params.flatMap(bound).slice(0, MOST_NAMES);
    // In the body a name may be another's, and not yet have a value.
    const shadowed = new Set(expression ? [] : lexical(body));
    const within = (names.length ? names : around).filter((name) => !shadowed.has(name));
    const scope = { held: guarded ? held : null, names: within };
    // What the body holds is known behind it only, and declared before it.
    const counter = this.counter(body.start, body.end);
    const at = expression ? body.start : begins(statements, body.start + 1);
    const before = this.before.get(at) || '';
    this.before.delete(at);
    if (expression) this.visit(body, scope);
    else this.list(statements, body.end - 1, scope);
    const inner = this.before.get(at) || '';
    const declared = held.length ? `let ${held.join(',')};` : '';
    const begin = `${at > body.start + 1 ? ';' : ''}${this.set(counter)};${declared}${guarded ? 'try{' : ''}`;
    this.before.set(at, before + (expression ? `{${begin}return(` : begin) + inner);
    const told = [...(names.length || held.length ? names : around), ...held].join(',');
    const end = guarded ? `}catch(${MARK}e){throw ${MARK}t(${MARK}e,${this.file},[${told}])}` : '';
    if (expression) this.close(body.end, `)${end}}`);
    else if (end) this.close(body.end - 1, end);
  }

  // -- the result -----------------------------------------------------------------------------------------------------

  result() {
    const places = [...new Set([...this.before.keys(), ...this.after.keys()])].sort((a, b) => a - b);
    const shifts = [];
    let code = '';
    let from = 0;
    for (const at of places) {
      const text = OPEN + (this.after.get(at) || '') + (this.before.get(at) || '') + CLOSE;
      code += this.text.slice(from, at) + text;
      shifts.push([at, text.length]);
      from = at;
    }
    code += this.text.slice(from);
    return { code, shifts, blocks: this.blocks, jumps: this.jumps, made: this.made };
  }
}

function* inside(node) {
  for (const key of Object.keys(node)) {
    const value = node[key];
    if (Array.isArray(value)) {
      for (const one of value) if (one && typeof one.type === 'string') yield one;
    } else if (value && typeof value.type === 'string') yield value;
  }
}

// Where statements begin, behind directives.
function begins(statements, otherwise) {
  const directives = statements.filter((one) => one.directive !== undefined);
  return directives.length ? directives[directives.length - 1].end : otherwise;
}

// Whether a statement may leave the block that it stands in.
function leaves(node) {
  if (JUMPS.has(node.type)) return true;
  if (NESTED.has(node.type)) return false;
  for (const one of inside(node)) if (leaves(one)) return true;
  return false;
}

// The names that a pattern binds.
function bound(node) {
  if (!node) return [];
  if (node.type === 'Identifier') return [node.name];
  if (node.type === 'AssignmentPattern') return bound(node.left);
  if (node.type === 'RestElement') return bound(node.argument);
  if (node.type === 'Property') return bound(node.value);
  return (node.properties || node.elements || []).flatMap(bound);
}

// Whether a body declares a name as function and once more, which a block may not.
function twice(body) {
  if (body.type !== 'BlockStatement') return false;
  const names = body.body.map((one) => (one.type === 'LabeledStatement' ? one.body : one)).filter((one) => one.type === 'FunctionDeclaration');
  const declared = names.map((one) => one.id.name);
  return declared.length > 0 && (new Set(declared).size < declared.length || variables(body).some((name) => declared.includes(name)));
}

// The names that are declared in a body, but for `var` and what stands in functions.
function lexical(node) {
  if (node.type === 'FunctionDeclaration' || node.type === 'ClassDeclaration') return node.id ? [node.id.name] : [];
  if (NESTED.has(node.type)) return [];
  const own = node.type === 'VariableDeclaration' && node.kind !== 'var' ? node.declarations.flatMap((one) => bound(one.id)) : [];
  return [...own, ...[...inside(node)].flatMap(lexical)];
}

function variables(node) {
  if (NESTED.has(node.type)) return [];
  const own = node.type === 'VariableDeclaration' && node.kind === 'var' ? node.declarations.flatMap((one) => bound(one.id)) : [];
  return [...own, ...[...inside(node)].flatMap(variables)];
}

// Reads a source as what it may be: `module`, `script` (of `require`), or `unknown`.
function parse(acorn, text, kind) {
  const options = { ecmaVersion: 'latest', allowHashBang: true, preserveParens: true, allowReturnOutsideFunction: true };
  if (kind === 'module') return [acorn.parse(text, { ...options, allowReturnOutsideFunction: false, sourceType: 'module' }), kind];
  try {
    return [acorn.parse(text, { ...options, sourceType: 'script' }), 'script'];
  } catch (error) {
    if (kind === 'script') throw error;
    return parse(acorn, text, 'module');
  }
}

// The source with counters from `base` on, and what they count; `first` is code that stands before a module's own.
//
// Throws where the source cannot be read, or what came out cannot.
function instrument(acorn, text, { kind, file, base, first = '' }) {
  if (text.includes(MARK) || text.includes(OPEN)) throw new Error('it uses names of the agent');
  const [tree, as] = parse(acorn, text, kind);
  if (!tree.body.length) throw new Error('it is empty');
  const one = new Instrumenter(text, tree, file, base);
  if (as === 'module' && first) one.before.set(tree.body[0].start, first + (one.before.get(tree.body[0].start) || ''));
  const result = { ...one.result(), kind: as };
  parse(acorn, result.code, as);
  if (stripped(result.code) !== text) throw new Error('what is inserted does not come out again');
  return result;
}

function stripped(code) {
  return code.replace(INSERTED, '');
}

module.exports = { instrument, stripped, MARK };
