#!/usr/bin/env node
'use strict'
process.nextTick(() => {}) // so that the first turn of the loop is as any
// Says what a program may see of itself, so that it is seen when counters change something. Read by `test_instrument_of_node.py`.
const cases = []
const add = (name, f) => cases.push([name, f])
// Without columns, which counters move, and the name that V8 finds for a callback that has none.
const rows = (error) => String(error && error.stack).replaceAll(/:\d+\)?$/gm, '').replaceAll(/\n.*node:internal.*|Immediate\.\S+/g, '')

add('directives', () => [
  (function () { return this === undefined })(), new Function('return this !== undefined')(),
  (function () { 'use strict'
    return this === undefined })(), (() => { "a"; "use strict"; return typeof this })(),
])
add('names', () => {
  const one = () => 1, two = function () {}, three = (() => 3), four = async () => 4, five = class {}, six = (function () {})
  let seven; seven = () => {}
  const { eight = () => {} } = {}, [nine = function () {}] = []
  return [one, two, three, four, five, six, seven, eight, nine, cases.length ? () => 1 : () => 2, cases && function () {}].map((f) => [f.name, f.length])
})
add('assigned names', () => { let a, b = null; a ||= () => {}; b ??= function () {}; return [a.name, b.name, ({ get x() { return 1 }, ['y' + 1]: () => 2 }).y1.name] })
add('semicolons', () => {
  let a = 1
  let b = a
  ;[b] = [2]
  a
  ++b
  if (a) b++
  else b--
  do a++; while (a < 5) b += a
  if (b) { a = 0 } b++
  while (a < 3) a++
  for (const c of [1, 2]) a += c
  outer: for (;;) for (;;) break outer
  label: { if (a) break label
    a = 100 }
  var d = a /* over
  lines */ b++
  return [a, b, d]
})
add('dangling', () => [[1, 1], [1, 0], [0, 1]].map(([a, b]) => { let c = ''; if (a) if (b) c = 'both'; else c = 'one'; return c }))
add('switch', () => ['a', 'b', 'c', 'd', 1].map((one) => {
  let told = ''
  switch (one) { case 'a': case 'b': told += 'ab'; case 'c': { told += 'c'; break } default: told += '?'; case 1: told += 1 }
  switch (one) { case 'a': told += 'A'
  }
  switch (one) {}
  switch (one) { case 1: let x = 2; told += x; break; case 'c': told += 'c' }
  return told
}).join() )
add('tdz is told', () => { switch (2) { case 1: let x; case 2: return x } })
add('logical', () => [0 || 'a', 1 && 2, null ?? 'n', (0, 1) && (2, 3), cases?.[0]?.[9]?.x ?? 'none', !(1 && 0), typeof (0 || undefined)])
add('optional', () => { const a = { b: { c() { return this.d }, d: 4, e: null } }, n = cases.none; return [a?.b?.c(), a.b?.['d'], a?.b.c?.(), n?.b.c.d, n?.[x()], a.b.e?.f ?? 'e', delete a?.b.d, delete n?.b, a?.b?.e?.f.g].length })
add('optional, not a function', () => cases?.none())
add('optional, not a function within', () => cases?.[0].none?.x())
add('optional, not destructured', () => { const { x } = cases?.none })
add('called with this', () => { const o = { v: 3, f() { return this && this.v } }; return [(o.f)(), (1 && o.f)?.call(o), (o.g || o.f).call(o), (1 ? o.f : 0).call(o)] })
add('arrows', () => [((a) => ({ a }))(1), (a => b => a + b)(1)(2), (({ a }, [b] = [2], ...c) => [a, b, c])({ a: 1 }, undefined, 3), (() => void 0)(), (() => (1, 2))(),
  (x => x ? 'y' : 'n')(0), [3, 1, 2].sort((a, b) => a - b || 0), (() => /a}\/[/]/g.test('a}//'))(), (a => a
    // a comment at the end
  )(5)])
add('templates', () => { const tag = (s, ...v) => s.raw.join('|') + v; return [`a${1 ? `b${2 && 'c'}` : ''}d`, tag`x\n${(() => 1)()}y${0 || 2}`, `line
break ${[1, 2].map((a) => `<${a}>`).join('')}`] })
class Base { constructor(x) { this.x = x } get twice() { return this.x * 2 } static make(...a) { return new this(...a) } }
class Derived extends Base {
  #secret = this.constructor.name && 7; field = (() => this.x ? 'set' : 'unset')(); static count = 0 || 5; 'quoted' = 1; [`computed${1}`] = () => this.#secret
  static { this.block = this.count > 3 ? 'many' : 'few' }
  constructor(x, y = x ? x + 1 : 0) { if (!x) { super(9) } else super(x); this.y = y }
  has(o) { return #secret in o && o.#secret }
  async *many(n) { for (let i = 0; i < n; i++) { const j = await i; yield j; if (j === 1) return 'end' } }
  get get() { return super.twice } set set(v) { this.x = v } static async() { return 'a' } *[Symbol.iterator]() { yield* [1, 2] }
}
add('classes', () => { const d = Derived.make(2); return [d.x, d.y, d.field, d.quoted, d.computed1(), d.has(d), d.has({}), d.get, Derived.block, [...d], new Derived().x, Derived.async(), String(Object.keys(d))] })
add('this before super', () => new (class extends Base { constructor() { this.x = 1; super() } })())
add('generators', async () => { const found = []; for await (const one of new Derived(1).many(5)) found.push(one); const g = (function* () { try { const got = yield 1; yield got } finally { found.push('f') } })(); g.next(); found.push(g.next('x').value, g.return(4)); return found })
add('thrown into a generator', () => { const g = (function* () { yield 1 })(); g.next(); g.throw(new TypeError('in')) })
add('async', async () => { const f = async x => await x, g = async () => { throw new RangeError('later') }; try { await g() } catch ({ message }) { return [await f(1), message, await (async () => { try { return await g() } catch { return 'c' } finally { await 0 } })()] } })
add('order of turns', async () => { const log = []; const a = async () => { log.push(1); await null; log.push(3) }, b = async () => Promise.resolve(log.push(2)), c = async function* () { yield Promise.resolve(1); return Promise.resolve(log.push('c')) }
  await Promise.all([a(), b(), (async () => { for await (const one of c()) log.push(one) })(), Promise.resolve().then(() => log.push('t')).then(() => log.push('u'))]); return log })
add('finally', () => { const f = () => { try { return 'try' } finally { cases.length } }, g = () => { for (const one of [1, 2]) { try { if (one === 1) continue; return one } finally { cases.length } } }; return [f(), g(), (() => { try { throw 1 } catch (e) { return e } })()] })
add('functions of one name', () => { var a = 1; function b() { return 'first' } function b() { return 'second' } function a() {} return [typeof a, b(), hoisted(), (function (x) { function x() {} return typeof x })(1)]; function hoisted() { return 'h' } })
add('a parameter that a block hides', () => { const f = (x) => { { try { null.y } catch (e) { return [x2(), typeof e] } function x2() { return 1 } } }; return [f(1), ((y) => { { const g = () => { throw new Error('g') }; try { g() } catch (e) { return e.message } let y } })(1), ((z) => { { try { throw z } catch (z) { return z.name } let z } })(3)] })
add('recursion', () => { let depth = 0; const f = () => { depth++; f() }; try { f() } catch (e) { return [e.constructor.name, depth > 500] } })
add('eval', () => { const x = 1; return [eval('x + 1'), eval('"use strict"; var y = 2; y'), (0, eval)('typeof x'), (1 && eval('x')), typeof y] })
add('source', () => [String(add), (function named(a) { return a ? 1 : 2 }).toString(), String(Derived).length, String((a) => a || 1), `${Function.prototype.toString}`, String(Math.max), Function.prototype.toString.name, `${class { a = 1 && 2 }}`])
add('sent elsewhere', () => new Function(`return (${(a) => { for (const one of a) if (one > 1) return one ? 'big' : 'small' }})([1, 2])`)())
add('arguments', () => [(function (a) { arguments[0] = 2; return [a, arguments.length] })(1, 2), (function () { return (() => arguments[0])() })('outer'), (function () { return (() => new.target === undefined)() })()])
add('destructuring', () => { const { a = 1 && 2, ...b } = { c: 3 } || {}, [d, , e = d ? 'e' : 'f'] = [1] ?? []; let f; ({ f } = { f: b.c ? 4 : 5 }); return [a, b, d, e, f] })
add('getters', () => { const o = { get a() { return this.b || (this.b = 4) }, set a(v) { this.b = v ? v : 0 }, async *c() {}, async() { return 1 }, get: 1, static: 2 }; o.a = 7; return [o.a, o.async(), Object.keys(o)] })
add('loops', () => { const f = []; for (let i = 0, j = i ? 1 : 2; i < 3; i++) f.push(() => i + j); for (var k in { a: 1, b: 2 }) if (k === 'a') continue; else f.push(() => k); let n = 0; while (n < 2) if (n++) break; do n++; while (n < 4 && n); for (;;) { if (n++ > 6) break } return [...f.map((g) => g()), n] })
add('comma', () => { let a = (1, 2), b = a ? (3, 4) : 5; return [a, b, [a && b, ...(b ? [1] : [])], { a: a || 1, ...(a && { x: 1 }), [a ? 'k' : 'l']: 0 }] })

// What V8 says of an error from the source.
add('not a function', () => (cases.none || cases[0])())
add('not a function, in a member', () => (1 ? cases : 0).none())
add('not destructured', () => { const { x } = cases.none || undefined })
add('not iterable', () => { for (const one of cases.none || 7); })
add('not spread', () => [...(cases.none || 7)])
add('not a constructor', () => new (cases.none || cases.nothing)())
add('of null', () => { const held = cases.find(() => false); return held.name.first })
add('of an argument', () => ((a, b) => a.map((one) =>
  one.b.c))([{}], 1))
add('undefined name', () => cases ? nothing : 1)
add('constant', () => { const c = 1 && 2; c = 3 })
add('frozen', () => { Object.freeze(cases[0]).push(1 || 2) })
add('made', () => {
  throw Object.assign(new RangeError(
    'made'), { code: cases ? 'E' : 'F' })
})
add('JSON', () => JSON.parse('{') || 1)
add('assert', () => require('assert').strictEqual(1, 2))
add('thrown again', () => { try { null.f() } catch (error) { if (error instanceof TypeError) throw error } })
add('no error', () => { throw 'text' })
add('no error at all', () => { throw undefined })
add('in a callback', () => new Promise((resolve, reject) => setImmediate(() => { try { [1].forEach((x) => { x.y.z }) } catch (error) { reject(error) } })))
add('rejected', async () => { await null; await (async () => { await null; undefined.x })() })

async function run() {
  for (const [name, f] of cases) {
    try { console.log(name, await f()) } catch (error) { console.log(name, 'threw', error && error.message, rows(error)) }
  }
  console.log(Object.keys(globalThis).join(), require.main === module, __filename.length > 5)
}
exports.sloppy = require('./awkward-sloppy.cjs')
if (require.main === module) run().then(() => { console.log(exports.sloppy); process.exitCode = 3 })
return
unreachable()
