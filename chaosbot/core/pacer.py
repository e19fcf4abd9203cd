"""A pacer: how much load at which moment, as a pure function of time with an exact integral.

Rules:

- A shape is piecewise linear: a start level and stages, each of which goes in a straight line to its own level in its own
  time. A stage of no duration is a jump.
- `total(t)` is the exact integral of `level`, `when(n)` its inverse; so the n-th arrival has one due time that does not
  depend on how late its predecessors were (nobody "catches up", nobody forgets).
- What the level means is the workload's affair: users at work (closed) or arrivals a second (open).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Stage:
    """A straight line to `to` in `duration_s` seconds; no duration is a jump."""

    duration_s: float
    to: float

    def __post_init__(self) -> None:
        """Refuses what no clock or counter can show."""
        for name, value in (("duration", self.duration_s), ("level", self.to)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"a stage's {name} of {value} is no number of at least 0")


@dataclass(frozen=True, slots=True)
class _Piece:
    """One straight piece of the line: where it starts, what it has behind it."""

    at: float
    duration: float
    low: float
    high: float
    before: float

    @property
    def slope(self) -> float:
        return (self.high - self.low) / self.duration

    def area(self, passed: float) -> float:
        return passed * (self.low + self.slope * passed / 2)


@dataclass(frozen=True)
class Pacer:
    """A piecewise linear function of time.

    Args:
        stages: What it does, one after the other.
        start: The level at time 0.
    """

    stages: tuple[Stage, ...]
    start: float = 0.0

    @classmethod
    def constant(cls, level: float, duration_s: float) -> Pacer:
        """The same level all the time."""
        return cls((Stage(duration_s, level),), level)

    @cached_property
    def _pieces(self) -> tuple[_Piece, ...]:
        pieces, at, level, before = [], 0.0, self.start, 0.0
        for stage in self.stages:
            if stage.duration_s > 0:
                pieces.append(_Piece(at, stage.duration_s, level, stage.to, before))
                before += pieces[-1].area(stage.duration_s)
                at += stage.duration_s
            level = stage.to
        return tuple(pieces)

    @cached_property
    def duration_s(self) -> float:
        """Seconds from the first to the last moment."""
        return math.fsum(stage.duration_s for stage in self.stages)

    @cached_property
    def peak(self) -> float:
        """The highest level."""
        return max((max(piece.low, piece.high) for piece in self._pieces), default=0.0)

    def level(self, t: float) -> float:
        """The level at a moment; 0 before the start and after the end. At a jump the new level holds."""
        if not (0 <= t <= self.duration_s) or not self._pieces:
            return 0.0
        piece = self._pieces[max(bisect_right(self._pieces, t, key=lambda piece: piece.at) - 1, 0)]
        return piece.low + piece.slope * min(t - piece.at, piece.duration)

    def total(self, t: float) -> float:
        """The integral of the level from 0 to a moment."""
        if t <= 0 or not self._pieces:
            return 0.0
        piece = self._pieces[max(bisect_right(self._pieces, t, key=lambda piece: piece.at) - 1, 0)]
        return piece.before + piece.area(min(t - piece.at, piece.duration))

    def when(self, amount: float) -> float | None:
        """The first moment at which the integral has reached an amount; None when it never does."""
        if amount <= 0:
            return 0.0
        for piece in self._pieces:
            # The same expression as `total`'s, so that the whole amount is reached in spite of rounding.
            if amount <= piece.before + piece.area(piece.duration):
                return piece.at + min(_solve(piece, amount - piece.before), piece.duration)
        return None

    @cached_property
    def arrivals(self) -> int:
        """How many arrivals an open workload of this shape has."""
        return round(self.total(self.duration_s))

    def dues(self, first: int = 0) -> Iterator[float]:
        """The due times of the arrivals from number `first` on: the k-th is due when k have been due before it."""
        number = first
        for index, piece in enumerate(self._pieces):
            # The last piece owns the arrivals that rounding leaves over.
            last = index == len(self._pieces) - 1
            end = self.arrivals if last else piece.before + piece.area(piece.duration)
            while number < end and number < self.arrivals:
                yield piece.at + min(_solve(piece, number - piece.before), piece.duration)
                number += 1

    def spans(self, user: int) -> tuple[tuple[float, float], ...]:
        """When the user with this number (from 0) is at work: from reaching ``user + 1`` users to falling below it."""
        need, spans = user + 1.0, []
        begun: float | None = None
        for piece in self._pieces:
            # A hair of tolerance: a level computed as 999.9999999999 means a thousand users.
            low, high = piece.low + 1e-9 >= need, piece.high + 1e-9 >= need
            crossing = piece.at + piece.duration * _share(piece, need)
            if begun is None and low:
                begun = piece.at
            if begun is not None and not low:
                spans.append((begun, piece.at))
                begun = None
            if begun is None and high:
                begun = crossing
            elif begun is not None and not high:
                spans.append((begun, crossing))
                begun = None
        if begun is not None:
            spans.append((begun, self.duration_s))
        return tuple((start, end) for start, end in spans if end > start)

    def scaled(self, factor: float) -> Pacer:
        """The same shape at another height."""
        return Pacer(tuple(Stage(stage.duration_s, stage.to * factor) for stage in self.stages), self.start * factor)

    def stretched(self, duration_s: float) -> Pacer:
        """The same shape in another time."""
        factor = duration_s / self.duration_s
        return Pacer(tuple(Stage(stage.duration_s * factor, stage.to) for stage in self.stages), self.start)


def _solve(piece: _Piece, area: float) -> float:
    """The time inside a piece after which this area is behind; the stable form of the quadratic's root."""
    if area <= 0:
        return 0.0
    root = math.sqrt(max(piece.low * piece.low + 2 * piece.slope * area, 0.0))
    return 2 * area / (piece.low + root) if piece.low + root > 0 else piece.duration


def _share(piece: _Piece, level: float) -> float:
    """Where inside a piece (0..1) the line crosses a level."""
    if piece.high == piece.low:
        return 0.0
    return min(max((level - piece.low) / (piece.high - piece.low), 0.0), 1.0)
