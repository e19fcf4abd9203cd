// The same for a module: what is imported round in a circle, awaited at the top, and exported in every way.
import assert, { ok as fine } from 'node:assert'
import { createRequire } from 'node:module'
export * as again from './awkward-circle.mjs'
import { early, later } from './awkward-circle.mjs'
export default (a) => a ? 'default' : 'other'
export function hoisted(a) { return a && `hoisted ${a}` }
export const one = 1 && 2, { two, three = two ? 3 : 4 } = { two: 2 }
export class Shop { static open = one || 0; sell = () => this ? 'sold' : 'kept' }
export { one as first, later as 'a name' }
const waited = await new Promise((resolve) => setImmediate(() => resolve(one ? 'waited' : 'not')))
if (waited) console.log(waited, early, later(), new Shop().sell(), three, typeof require, this)
for await (const part of (async function* () { yield* ['a', 'b'] })()) console.log(part || 'none')
const data = await import('./awkward-sloppy.cjs')
console.log(Object.keys(data), import.meta.url.endsWith('awkward.mjs'), fine === assert.ok)
console.log(createRequire(import.meta.url)('./awkward-sloppy.cjs').length)
try { null.x } catch (error) { console.log(error.stack.replaceAll(/:\d+\)?$/gm, '')) }
try { one = 3 } catch ({ message, stack }) { console.log(message, stack.replaceAll(/:\d+\)?$/gm, '')) }
if (process.argv[2]) throw Object.assign(new Error('at the end'), { where: import.meta.url ? 'module' : '' })
