"""A bounded description of JSON values: what a platform says of its updates, and what generation walks.

A schema language describes what is allowed; this alphabet describes what is worth sending. It has no unbounded words: lists and
texts have limits, recursion is written out (`Maybe` of a shallower shape), so a walker always ends and Hypothesis shrinks well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias


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
