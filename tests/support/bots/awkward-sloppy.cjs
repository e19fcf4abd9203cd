// The same, where the code is not strict.
var told = []
told.push(typeof early, (function () { return this === globalThis })())
if (told) function early() { return 1 }
told.push(typeof early)
function args(a) { arguments[0] = 'changed'; return a }
told.push(args(1), (function (a, a) { return a })(1, 2), (function () { return typeof g; { function g() {} } })(), 010)
with ({ hidden: 1, $cb: 2 }) { told.push(hidden ? 'with' : 'without', (function () { return hidden || 0 })()) }
with (new Proxy({}, { has: () => true, get: (_, key) => (key === Symbol.unscopables ? undefined : 1) })) { if (anything && nothing) { anything ? 1 : 2 } }
told.push(eval('var made = 5; made'), typeof made)
x = 1 <!--2
--> a comment
told.push(x, function () { function a() { return 1 } var a; return typeof a }(), (function f() { f = 1; return typeof f })())
lbl: function labelled() {}
told.push((function (a, b = () => a) { var a = 2; return [a, b()] })(1), void 0, (function (undefined) { return undefined })(3), async, typeof yield_)
var async, yield_ = function (let, of) { return let || of }, yield = 2, await = 3
told.push(yield ? await : 0, delete x, (function () { try { null.x } catch (e) { var e = 5 } return e })())
told.push((function () { switch (1) { case 0: function inner() { return 'in' } } return typeof inner })())
module.exports = told
