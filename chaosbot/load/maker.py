"""Turns a task of a journey into a shot: what the dialect (or a journey file, or a corpus) encodes, numbered and dated."""

from __future__ import annotations

import dataclasses
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, Protocol, TypeAlias

from chaosbot.load.line import SLOW_BODY, SLOW_READER
from chaosbot.load.shot import Owner, Shot
from chaosbot.load.stock import Stock
from chaosbot.model.dialect import Dialect, Endpoint, Request
from chaosbot.model.dice import Dice
from chaosbot.model.journey import JourneySpec

Chance: TypeAlias = tuple[int, ...]
"""Three words of 64 bits."""
_SCALE: Final = float(1 << 64)


def draw_block(dice: Dice, count: int) -> tuple[int, ...]:
    """The chance of `count` requests in a row, three words each."""
    return struct.unpack(f">{3 * count}Q", dice.data(24 * count))


class Source(Protocol):
    """What people do and how it is encoded; a dialect is one, a journey file and a corpus are others."""

    def journeys(self) -> Sequence[JourneySpec]:
        """The kinds of users."""

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task."""


class Maker:
    """Makes shots.

    Every request has three words of chance: which task, how long the pause after it, and a word for what is renewed in it.
    Whoever starts requests draws them in blocks, because one keyed hash gives enough for several of them.

    Args:
        source: Who encodes.
        endpoint: Where it goes.
        dice: The plan's place in the tree of chance.
        exchange_header: Whether requests carry their exchange id (a proxy listens).
        stock: Whether encoded requests may be used again (nobody joins single requests with anything).
        slow_share: Share of users who send slowly, or leave their answer unread.
        wall: The Unix time.
    """

    def __init__(
        self,
        source: Source | Dialect,
        endpoint: Endpoint,
        dice: Dice,
        *,
        exchange_header: bool = False,
        stock: bool = False,
        slow_share: float = 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._build = source.build
        self._stock = Stock(source.build, dice) if stock else None
        self._endpoint = endpoint
        self._dice = dice
        self._header = exchange_header
        self.zero: float | None = None
        """The run's zero on this clock, for drivers that tell the proxy when a request was due."""
        self._slow_share = slow_share
        self._wall = wall
        self._weights: dict[str, tuple[list[float], float]] = {}

    def tick(self) -> None:
        """A second has passed: requests claim the new time."""
        self._endpoint = dataclasses.replace(self._endpoint, now=int(self._wall()))

    def shot(
        self, owner: Owner, journey: JourneySpec, user: int | str, ordinal: int, due: float, chance: Chance
    ) -> Shot:
        """The request with this number in the plan."""
        which, word, pause = chance
        bounds, total = self._weights.get(journey.name) or self._weigh(journey)
        task = journey.tasks[min(bisect_right(bounds, which / _SCALE * total), len(bounds) - 1)].name
        if self._stock is None:
            request = self._build(task, user, ordinal, self._dice.at(ordinal), self._endpoint)
            shot = Shot(owner, ordinal, request.data, request.task or task, request.facts, due, journey.name)
        else:
            taken = self._stock.take(task, user, ordinal, self._endpoint, word, len(journey.users))
            shot = Shot(owner, ordinal, taken.data, taken.task or task, taken.facts, due, journey.name)
            shot.update_id, shot.marker = taken.update_id, taken.marker
        low, high = journey.wait_s
        shot.pause_s = low + (high - low) * (pause / _SCALE)
        if self._header:
            shot.add_exchange(None if self.zero is None else due - self.zero)
        if self._slow_share:
            self._slow_down(shot, user)
        return shot

    def _weigh(self, journey: JourneySpec) -> tuple[list[float], float]:
        bounds = list(accumulate(task.weight for task in journey.tasks))
        self._weights[journey.name] = bounds, bounds[-1]
        return self._weights[journey.name]

    def _slow_down(self, shot: Shot, user: int | str) -> None:
        """Slowness belongs to the user, not to the request: the same people are slow all the time."""
        dice = self._dice.at("slow", user)
        if dice.chance(self._slow_share):
            shot.slow = dice.at("manner").choice((SLOW_BODY, SLOW_READER))
            shot.task = f"{shot.task} (slow {shot.slow})"
