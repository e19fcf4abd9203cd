"""A bounded description of JSON values: what a platform says of its updates, and what generation walks.

A schema language describes what is allowed; this alphabet describes what is worth sending. It has no unbounded words: lists and
texts have limits, recursion is written out (`Maybe` of a shallower shape), so a walker always ends and Hypothesis shrinks well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, assert_never

from chaosbot.core.dice import Dice


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `examples` are tried often, `hostile` also draws from the awkward ones (RTL, zero width, emoji, long)."""

    low: int = 0
    high: int = 64
    examples: tuple[str, ...] = ()
    hostile: bool = False


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int = 2**31 - 1
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number from `low` to `high`."""

    low: float = 0.0
    high: float = 1e6


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Const:
    """Exactly this value."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several shapes, the simplest first."""

    options: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """A list of `low` to `high` items."""

    item: Shape
    low: int = 0
    high: int = 3


@dataclass(frozen=True, slots=True)
class Object:
    """An object with its required and its optional members."""

    required: dict[str, Shape] = field(default_factory=dict)
    optional: dict[str, Shape] = field(default_factory=dict)


Shape: TypeAlias = Text | Integer | Number | Flag | Const | OneOf | Array | Object


def pick(*values: Any) -> OneOf:
    """One of several constants."""
    return OneOf(tuple(Const(value) for value in values))


# ── two readers of shapes ─────────────────────────────────────────────────────────────────────────────────────────────

# Load and the catalogue sample; tests and the drift report validate. The fuzzer reads shapes its own way, so that it
# can shrink.

WORDS: Final = (
    *("alpha", "tail-end", "ok", "42", "O'Brien", "<b>&amp;", "\\n", '"quoted"', "привет", "你好", "مرحبا", "שלום"),
    *("naïve", "½", "🙂", "👩\u200d👩\u200d👧", "\u200bzero", "e\u0301"),
)
"""What sampled texts are made of: scripts, directions, combined emoji and characters that need escaping."""


_DRAWN: Final = 4096


def sample(shape: Shape, dice: Dice, optional: float = 0.3) -> Any:
    """Draws one valid value.

    Args:
        shape: What is allowed.
        dice: The value's place.
        optional: How likely each optional member is there.
    """
    match shape:
        case Const(value):
            return value
        case Flag():
            return dice.chance(0.5)
        case Integer(low, high, examples):
            return _whole(low, high, examples, dice)
        case Number(low, high):
            return dice.uniform(low, high)
        case Text(low, high, examples):
            if examples and dice.at("example").chance(0.75):
                return dice.choice(examples)
            return _text(low, high, dice)
        case Array(item, low, high):
            return [sample(item, dice.at(n), optional) for n in range(dice.at("length").integer(low, high))]
        case Object(required, others):
            chosen = {name: inner for name, inner in others.items() if dice.at(name, "?").chance(optional)}
            return {name: sample(inner, dice.at(name), optional) for name, inner in (required | chosen).items()}
        case OneOf(options):
            return sample(dice.choice(options), dice.at("option"), optional)
        case _:
            assert_never(shape)


def _whole(low: int, high: int, examples: tuple[int, ...], dice: Dice) -> int:
    if examples and dice.at("example").chance(0.75):
        return dice.choice(examples)
    if dice.at("end").chance(0.125):  # the ends are where bugs live
        return dice.choice((low, high))
    return dice.integer(low, high)


def _text(low: int, high: int, dice: Dice) -> str:
    # Long texts are rare, so that the average update stays as small as real ones.
    high = high if dice.at("long").chance(0.05) else min(high, max(low, 48))
    length = dice.at("length").integer(low, high)
    words: list[str] = []
    size = 0
    while size < min(length, _DRAWN):
        word = dice.at("word", len(words)).choice(WORDS)
        words.append(word)
        size += len(word) + 1
    text = " ".join(words)[:length].strip()
    if length > _DRAWN:  # what is longer repeats itself
        text = (text * (length // len(text) + 1))[:length].strip()
    return text + "." * (length - len(text))


def problems(shape: Shape, value: Any, where: str = "$") -> Iterator[str]:
    """What is wrong with a value, one line each, with its path; nothing when it is valid."""
    match shape:
        case Const(expected):
            if type(value) is not type(expected) or value != expected:
                yield f"{where}: {value!r} is not {expected!r}"
        case Flag():
            if not isinstance(value, bool):
                yield f"{where}: {value!r} is no boolean"
        case Integer(low, high):
            if type(value) is not int or not low <= value <= high:
                yield f"{where}: {value!r} is no whole number in {low}..{high}"
        case Number(low, high):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                yield f"{where}: {value!r} is no number in {low}..{high}"
        case Text(low, high, examples):
            if not isinstance(value, str) or not (low <= len(value) <= high or value in examples):
                yield f"{where}: {value!r:.40} is no text of {low}..{high} characters"
        case Array(item, low, high):
            if not isinstance(value, list) or not low <= len(value) <= high:
                yield f"{where}: no list of {low}..{high} items"
            else:
                for number, entry in enumerate(value):
                    yield from problems(item, entry, f"{where}[{number}]")
        case Object():
            yield from _members(shape, value, where)
        case OneOf(options):
            complaints = [list(problems(option, value, where)) for option in options]
            if all(complaints):
                yield from min(complaints, key=len)
        case _:
            assert_never(shape)


def _members(shape: Object, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: no object"
        return
    known = shape.required | shape.optional
    for name, inner in value.items():
        if name not in known:
            yield f"{where}.{name}: not described"
        else:
            yield from problems(known[name], inner, f"{where}.{name}")
    yield from (f"{where}.{name}: missing" for name in shape.required if name not in value)
