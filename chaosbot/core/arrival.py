"""Arrivals: who comes when, split over processes without a remainder; and when a generator is too slow to be believed.

Rules:

- The n-th arrival and the n-th virtual user are the same people doing the same things however many processes share the
  plan: identity is drawn from the number, never from the process.
- Kinds of users with the same ids take them in turn together, so two virtual users share one only where there are more of them than ids.
- A shard owns whole chats. Two processes never write into the same conversation, so no order inside one depends on them.
- Draws come in blocks (one keyed hash gives eight numbers), because a plan of a million arrivals is drawn in full by
  every shard.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.core.journey import JourneySpec

LATENESS_P99_BOUND_S: Final = 0.05
"""A run whose arrivals were picked up later than this (99th percentile) measured its generator."""
CPU_BOUND: Final = 0.9
"""A second in which the generator's thread used more of its core than this may have been limited by it."""
BUSY_SHARE_BOUND: Final = 0.1
"""So large a share of such seconds makes a run invalid."""
UNDELIVERED_BOUND: Final = 0.01
"""A run that dropped a larger share of its arrivals did not offer the load that it claims."""

STRETCH: Final = 100
"""In so many users one after the other the shares of the kinds hold; a kind with a smaller part than one has none."""
_BLOCK: Final = 1024
_WORD: Final = 8
_SCALE: Final = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Shard:
    """A process's share of a plan: number `index` of `count`.

    Raises:
        ValueError: No such share.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """There is at least one share, and this is one of them."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard {self.index} of {self.count}: the index counts from 0")

    def owns(self, user: int | str) -> bool:
        """Whether this user's chats belong to this share."""
        if self.count == 1:
            return True
        number = user if isinstance(user, int) else zlib.crc32(user.encode())
        return number % self.count == self.index


@dataclass
class Draws:
    """Uniform numbers by index, drawn in blocks; the same index always gives the same number."""

    dice: Dice
    _block: int = field(default=-1, init=False)
    _data: bytes = field(default=b"", init=False, repr=False)

    def at(self, index: int) -> float:
        """The number (0..1) with this index; cheap for indices that rise."""
        block, offset = divmod(index, _BLOCK)
        if block != self._block:
            self._data, self._block = self.dice.at("block", block).data(_BLOCK * _WORD), block
        offset *= _WORD
        return int.from_bytes(self._data[offset : offset + _WORD], "big") / _SCALE


class Population:
    """Who the virtual users and the arrivals are.

    Args:
        journeys: The kinds of users with their shares.
        dice: The plan's place in the tree of chance.
    """

    def __init__(self, journeys: Sequence[JourneySpec], dice: Dice) -> None:
        self.journeys = tuple(journey for journey in journeys if journey.share > 0)
        if not self.journeys:
            raise ValueError("a population without any journey; give at least one a share above 0")
        total = sum(journey.share for journey in self.journeys)
        self._bounds = [passed / total for passed in accumulate(journey.share for journey in self.journeys)]
        self._draws = Draws(dice.at("population"))
        pools = [journey.users for journey in self.journeys]
        self._pools = [pools.index(pool) for pool in pools]
        # A multiplier without a common factor spreads each journey evenly over the stretch.
        self._sizes = [0] * len(self.journeys)
        self._seats: list[tuple[int, int]] = []
        for place in range(STRETCH):
            index = bisect_right(self._bounds, (place * 61 % STRETCH + 0.5) / STRETCH)
            self._seats.append((index, self._sizes[self._pools[index]]))
            self._sizes[self._pools[index]] += 1

    def _journey(self, share: float) -> tuple[JourneySpec, float]:
        """The journey at a point of the population, and where in its share the point lies (0..1)."""
        index = min(bisect_right(self._bounds, share), len(self.journeys) - 1)
        low = self._bounds[index - 1] if index else 0.0
        return self.journeys[index], (share - low) / (self._bounds[index] - low)

    def visitor(self, number: int) -> tuple[JourneySpec, int | str]:
        """Who the arrival with this number is: any of the users, as likely as their journey's share says."""
        journey, place = self._journey(self._draws.at(number))
        return journey, journey.users[min(int(place * len(journey.users)), len(journey.users) - 1)]

    def resident(self, number: int) -> tuple[JourneySpec, int | str]:
        """Who the virtual user with this number is.

        The shares hold in every stretch of a hundred users, not only on average, and the users of a journey, or of all that
        have the same ids, take them in turn.
        """
        stretch, place = divmod(number, STRETCH)
        index, rank = self._seats[place]
        journey = self.journeys[index]
        return journey, journey.users[(stretch * self._sizes[self._pools[index]] + rank) % len(journey.users)]


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """How well the generator kept up.

    Args:
        planned: Arrivals that were due.
        dropped: Of these, never started.
        lateness_p99_s: How late they were picked up.
        busy_share: Share of seconds in which its thread used more than `CPU_BOUND` of a core.
    """

    planned: int
    dropped: int
    lateness_p99_s: float
    busy_share: float

    def limits(self) -> tuple[str, ...]:
        """Why this run measured the generator instead of the target; empty when it did not."""
        reasons = []
        if self.lateness_p99_s > LATENESS_P99_BOUND_S:
            reasons.append(
                f"arrivals were picked up {self.lateness_p99_s * 1e3:.0f} ms late (p99; bound {LATENESS_P99_BOUND_S * 1e3:.0f} ms)"
            )
        if self.busy_share > BUSY_SHARE_BOUND:
            reasons.append(
                f"the generator's core was over {CPU_BOUND:.0%} busy in {self.busy_share:.0%} of the seconds "
                f"(bound {BUSY_SHARE_BOUND:.0%}); use more processes"
            )
        if self.planned and self.dropped / self.planned > UNDELIVERED_BOUND:
            reasons.append(
                f"{self.dropped} of {self.planned} arrivals were never started (bound {UNDELIVERED_BOUND:.0%}); "
                "allow more connections or use a lower rate"
            )
        return tuple(reasons)
