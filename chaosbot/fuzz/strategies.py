"""Walks a platform's description of its updates and makes Hypothesis strategies of it: the simplest value first, always bounded."""

from __future__ import annotations

from typing import Any, Final, assert_never

from hypothesis import strategies as st

from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text

# What real people and real attackers write: directions, joiners, combining marks, astral characters, formats, spaces.
HOSTILE: Final = (
    "\u202eabc\u202c",
    "a\u200bb\u200cc\u200dd",
    "e" + "\u0301" * 40,
    "\U0001f3f3\ufe0f\u200d\U0001f308\U0001f642",
    "\ufdfd" * 8,
    "{0} {x.__class__} %s %n ${jndi:x} {{7*7}}",
    "'; DROP TABLE users; --",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    " " * 64,
    "\n" * 32,
    "\t\r\n\x0b\x0c",
    "null",
    "0",
    "-1",
    "1e309",
    "\ufb01\u0130\u0131\u00df\u1e9e",
    "\u05d0" * 16 + "1",
    "/",
    "//start",
    "/start@",
)

_PLAIN: Final = st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=["Cs", "Cc"])
_ANY: Final = st.characters(exclude_categories=["Cs"])


def strategy(shape: Shape) -> st.SearchStrategy[Any]:
    """The strategy that draws values of this shape."""
    match shape:
        case Text():
            return _text(shape)
        case Integer(low, high, examples):
            numbers = st.integers(low, high)
            return st.one_of(st.sampled_from(examples), numbers) if examples else numbers
        case Number(low, high):
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case Flag():
            return st.booleans()
        case Const(value):
            return st.just(value)
        case OneOf(options):
            return st.one_of([strategy(option) for option in options])
        case Array(item, low, high):
            return st.lists(strategy(item), min_size=low, max_size=high)
        case Object(required, optional):
            return st.fixed_dictionaries(
                {name: strategy(member) for name, member in required.items()},
                optional={name: strategy(member) for name, member in optional.items()},
            )
        case _:
            assert_never(shape)


def _text(shape: Text) -> st.SearchStrategy[str]:
    options: list[st.SearchStrategy[str]] = []
    if shape.examples:
        options.append(st.sampled_from(shape.examples))
    if shape.low <= 0 or not shape.examples:
        options.append(st.text(_PLAIN, min_size=shape.low, max_size=shape.high))
    if shape.hostile:
        fitting = tuple(text for text in HOSTILE if shape.low <= len(text) <= shape.high)
        options += [st.sampled_from(fitting)] if fitting else []
        options.append(st.text(_ANY, min_size=shape.low, max_size=shape.high))
        if shape.high >= 512:
            # Long runs of one character: what quadratic parsers choke on, and what no random text contains.
            runs = st.tuples(st.sampled_from(" a/*_`[\n.@"), st.integers(max(1, shape.low), shape.high))
            options.append(runs.map(lambda run: run[0] * run[1]))
    return st.one_of(options)
