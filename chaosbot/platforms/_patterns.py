"""Texts that match a pattern, and whether one does, in bounded time whatever the pattern is.

Only what every text of the pattern has in common with a drawn one is promised: it matches. Look-around and back references are not
drawn; what comes out is tried against the pattern, so a pattern that is too clever gives nothing instead of something wrong.

It is not tried by `re`, which takes exponential time for patterns such as ``(a+)+$``: `found` goes through the text with all places that the
pattern can have reached at once, so its time is at most the product of both lengths, and bounded by `MOST_STEPS` besides.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from re import _compiler, _parser  # type: ignore[attr-defined]  # the standard library's parser has no public name
from re import _constants as op  # type: ignore[attr-defined]
from typing import Any, Final

from chaosbot.core.dice import Dice

MOST_STEPS: Final = 300_000
"""How many places of a text one question looks at, which takes some tenths of a second."""
_LONGEST: Final = 4096
"""No longer text is drawn."""

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


class _Undrawable(Exception):
    """What cannot be drawn, or would be too long."""


class _Unknown(Exception):
    """Whether a text matches is not told by `_Search`, or not in time."""


def _parsed(pattern: str) -> Any:
    """A pattern's parts; None where it is none of Python's."""
    try:
        re.compile(pattern)
        return _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError, MemoryError):
        return None


def found(pattern: str, text: str) -> bool | None:
    """Whether a text has a piece that matches; None where that cannot be told, as the pattern is another dialect's or too intricate."""
    tree = _parsed(pattern)
    return None if tree is None else _Search(tree, MOST_STEPS).finds(text)


def matching(pattern: str, dice: Dice, count: int, low: int = 0, high: int = _LONGEST) -> tuple[str, ...]:
    """Up to `count` different texts of `low` to `high` characters that match; none where the pattern cannot be drawn from."""
    tree = _parsed(pattern)
    if tree is None or tree.getwidth()[0] > min(high, _LONGEST):
        return ()
    search = _Search(tree, MOST_STEPS)
    drawn: dict[str, None] = {}
    for attempt in range(20 * count):
        try:
            text = _Drawing().sequence(tree, dice.at(attempt))
        except _Undrawable:
            continue
        if low <= len(text) <= high and search.finds(text):
            drawn[text] = None
        if len(drawn) == count or search.left <= 0:
            break
    return tuple(drawn)


class _Drawing:
    """One text that is being drawn."""

    def __init__(self) -> None:
        self._left = _LONGEST

    def sequence(self, items: Any, dice: Dice) -> str:
        """A text of these parts, one after the other.

        Raises:
            _Undrawable: There is none, or it would be too long.
        """
        return "".join([self._part(kind, value, dice.at(number)) for number, (kind, value) in enumerate(items)])

    def _part(self, kind: Any, value: Any, dice: Dice) -> str:
        self._left -= 1
        if self._left < 0:
            raise _Undrawable
        if kind is op.AT:
            return ""
        if kind is op.LITERAL:
            return chr(value)
        if kind in (op.ANY, op.NOT_LITERAL, op.IN) and (allowed := _letters(kind, value)):
            return dice.choice(allowed)
        if kind is op.BRANCH:
            return self.sequence(dice.choice(value[1]), dice.at("branch"))
        if kind is op.SUBPATTERN:
            return self.sequence(value[-1], dice)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, inner = value
            times = dice.at("times").integer(low, min(int(high), low + _MOST))
            if times > self._left:
                raise _Undrawable
            return "".join([self.sequence(inner, dice.at("repeat", number)) for number in range(times)])
        raise _Undrawable


class _Search:
    """One pattern, looked for in texts.

    Args:
        tree: The pattern.
        left: How many places may be looked at.
    """

    def __init__(self, tree: Any, left: int) -> None:
        self.left = left
        self._tree = tree
        self._single: dict[int, re.Pattern[str]] = {}
        self._text = ""

    def finds(self, text: str) -> bool | None:
        """Whether a text has a piece that matches; None where that cannot be told."""
        self._text = text
        try:
            return bool(self._after(self._tree, frozenset(range(len(text) + 1))))
        except (_Unknown, RecursionError):
            return None

    def _after(self, items: Iterable[Any], places: frozenset[int]) -> frozenset[int]:
        """Where parts, one after the other, can end that begin at one of these places."""
        for item in items:
            if not places:
                break
            self.left -= len(places)
            if self.left < 0:
                raise _Unknown
            places = self._ends(item, places)
        return places

    def _ends(self, item: Any, places: frozenset[int]) -> frozenset[int]:
        kind, value = item
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN, op.AT):
            # One letter, or none: `re` decides, with all that it knows of letters.
            match = self._compiled(item).match
            return frozenset(found.end() for place in places if (found := match(self._text, place)))
        if kind is op.BRANCH:
            return frozenset().union(*(self._after(branch, places) for branch in value[1]))
        if kind is op.SUBPATTERN and not value[1] and not value[2]:
            return self._after(value[-1], places)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            low, high, inner = value
            return self._repeated(int(low), int(high), inner, places)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            direction, inner = value
            back = inner.getwidth()[0] if direction < 0 else 0
            kept = (place for place in places if place >= back and self._around(inner, place, back))
            return frozenset(kept) if kind is op.ASSERT else places - frozenset(kept)
        raise _Unknown  # what depends on how it came there: back references, atomic groups, flags in the middle

    def _around(self, inner: Any, place: int, back: int) -> bool:
        ends = self._after(inner, frozenset((place - back,)))
        return place in ends if back else bool(ends)

    def _repeated(self, low: int, high: int, inner: Any, places: frozenset[int]) -> frozenset[int]:
        for _ in range(low):
            after = self._after(inner, places)
            if after == places:
                break  # every further time ends there as well
            places = after
        reached, new, times = places, places, low
        while new and times < high:
            new = self._after(inner, new) - reached
            reached |= new
            times += 1
        return reached

    def _compiled(self, item: Any) -> re.Pattern[str]:
        if id(item) not in self._single:
            self._single[id(item)] = _compiler.compile(_parser.SubPattern(self._tree.state, [item]))
        return self._single[id(item)]


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
