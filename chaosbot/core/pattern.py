"""Draws texts that match a regular expression, for descriptions that give a pattern and no example.

Only what every text of the pattern has in common with a drawn one is promised: it matches. Look-around and back references are not
drawn; what comes out is tried against the pattern, so a pattern that is too clever gives nothing instead of something wrong.
"""

from __future__ import annotations

import re
import string
from re import _constants as op  # type: ignore[attr-defined]  # the standard library's parser has no public name
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from chaosbot.core.dice import Dice

_MOST: Final = 3
"""How much more often than it must an open-ended part comes."""
_ALPHABET: Final = string.ascii_letters + string.digits + "-_.:/@ "
_CLASSES: Final = {
    op.CATEGORY_DIGIT: string.digits,
    op.CATEGORY_WORD: string.ascii_letters + string.digits + "_",
    op.CATEGORY_SPACE: " ",
}
_NEGATED: Final = {
    op.CATEGORY_NOT_DIGIT: string.digits,
    op.CATEGORY_NOT_WORD: string.ascii_letters + string.digits + "_",
    op.CATEGORY_NOT_SPACE: string.whitespace,
}


def matching(pattern: str, dice: Dice, count: int, low: int = 0, high: int = 4096) -> tuple[str, ...]:
    """Up to `count` different texts of `low` to `high` characters that match; none where the pattern cannot be drawn from."""
    try:
        compiled = re.compile(pattern)
        tree = _parser.parse(pattern)
    except (re.error, RecursionError):
        return ()
    found: dict[str, None] = {}
    for attempt in range(20 * count):
        text = _sequence(tree, dice.at(attempt))
        if text is not None and low <= len(text) <= high and compiled.search(text):
            found[text] = None
        if len(found) == count:
            break
    return tuple(found)


def _sequence(items: Any, dice: Dice) -> str | None:
    parts = [_part(kind, value, dice.at(number)) for number, (kind, value) in enumerate(items)]
    return None if None in parts else "".join(part for part in parts if part)


def _part(kind: Any, value: Any, dice: Dice) -> str | None:
    if kind is op.AT:
        return ""
    if kind is op.LITERAL:
        return chr(value)
    if kind in (op.ANY, op.NOT_LITERAL, op.IN):
        allowed = _letters(kind, value)
        return dice.choice(allowed) if allowed else None
    if kind is op.BRANCH:
        return _sequence(dice.choice(value[1]), dice.at("branch"))
    if kind is op.SUBPATTERN:
        return _sequence(value[-1], dice)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        low, high, inner = value
        times = dice.at("times").integer(low, min(int(high), low + _MOST))
        parts = [_sequence(inner, dice.at("repeat", number)) for number in range(times)]
        return None if None in parts else "".join(part for part in parts if part)
    return None


def _letters(kind: Any, value: Any) -> str:
    """The letters that one place may hold."""
    if kind is op.ANY:
        return _ALPHABET
    if kind is op.NOT_LITERAL:
        return _ALPHABET.replace(chr(value), "")
    negated = bool(value) and value[0][0] is op.NEGATE
    allowed = "".join(_class(*entry) for entry in (value[1:] if negated else value))
    return "".join(letter for letter in _ALPHABET if letter not in allowed) if negated else allowed


def _class(kind: Any, value: Any) -> str:
    if kind is op.LITERAL:
        return chr(value)
    if kind is op.RANGE:
        return "".join(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
    if kind is op.CATEGORY:
        return _CLASSES.get(value) or "".join(letter for letter in _ALPHABET if letter not in _NEGATED.get(value, ""))
    return ""
