"""Turns what a user does into a shot: what the platform (or a journey file, or a corpus) encodes, numbered and dated.

Every request has three words of chance: which task, what is renewed in it, and how long the pause after it. Whoever starts
requests draws them in blocks, because one keyed hash gives enough for several of them.
"""

from __future__ import annotations

import dataclasses
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final, Protocol, TypeAlias

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import JourneySpec
from chaosbot.core.platform import Endpoint, Platform, Request
from chaosbot.load.line import SLOW_BODY, SLOW_READER
from chaosbot.load.shot import Errand, Owner, Shot
from chaosbot.load.stock import MARKER_BITS, Stock, Template

Chance: TypeAlias = tuple[int, int, int]
"""Three words of 64 bits."""
_WORDS: Final = struct.Struct(">3Q")
_SCALE: Final = 1 << 64
MOST_WRITERS: Final = 20_000
"""So many users are remembered; what others have in stock is forgotten at once."""


def draw_block(dice: Dice, count: int) -> Iterator[Chance]:
    """The chance of `count` requests in a row."""
    chances: Iterator[Chance] = _WORDS.iter_unpack(dice.data(_WORDS.size * count))
    return chances


class Source(Protocol):
    """What people do and how it is encoded; a platform is one, a journey file and a corpus are others."""

    def journeys(self) -> Sequence[JourneySpec]:
        """The kinds of users."""

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task."""


class Maker:
    """What all writers of a run share.

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
        source: Source | Platform,
        endpoint: Endpoint,
        dice: Dice,
        *,
        exchange_header: bool = False,
        stock: bool = False,
        slow_share: float = 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.stock = Stock(source.build, dice, endpoint) if stock else None
        self.exchange_header = exchange_header
        self.zero: float | None = None
        """The run's zero on this clock, for drivers that tell the proxy when a request was due."""
        self._build = source.build
        self._endpoint = endpoint
        self._dice = dice
        self._slow_share = slow_share
        self._wall = wall
        self._errands: dict[tuple[str, str, str | None, str | None], Errand] = {}
        self._writers: dict[tuple[int, int | str], Writer] = {}

    def tick(self) -> None:
        """A second has passed: requests claim the new time."""
        self._endpoint = dataclasses.replace(self._endpoint, now=int(self._wall()))
        if self.stock is not None:
            self.stock.tick(self._endpoint)

    def writer(self, journey: JourneySpec, user: int | str) -> Writer:
        """Who writes as this user."""
        key = id(journey), user
        writer = self._writers.get(key)
        if writer is None:
            slow = self._manner(user)
            kept = len(self._writers) < MOST_WRITERS
            writer = Writer(self, journey, user, None if slow or not kept else self.stock, slow)
            if kept:
                self._writers[key] = writer
        return writer

    def encode(self, task: str, user: int | str, ordinal: int) -> Request:
        """Encodes a request from scratch."""
        return self._build(task, user, ordinal, self._dice.at(ordinal), self._endpoint)

    def template(self, request: Request, errand: Errand, ordinal: int) -> Template:
        """Cuts a request that was just encoded into a form."""
        return Template(request, errand, ordinal, self._endpoint.time)

    def errand(self, task: str, tier: str, facts: UpdateFacts | None) -> Errand:
        """What such requests count as."""
        kind, command = (None, None) if facts is None else (facts.kind, facts.command)
        key = task, tier, kind, command
        errand = self._errands.get(key)
        if errand is None:
            errand = self._errands[key] = Errand(task, tier, kind, command)
        return errand

    def _manner(self, user: int | str) -> str:
        """How a user is slow on purpose. It belongs to the user, not to the request: the same people are slow all the time."""
        dice = self._dice.at("slow", user)
        if self._slow_share and dice.chance(self._slow_share):
            return dice.at("manner").choice((SLOW_BODY, SLOW_READER))
        return ""


class Writer:
    """One user as a source of requests: their tasks and pauses, and what they have in stock.

    Args:
        maker: What all share.
        journey: What the user does.
        user: Who it is.
        stock: Where encoded requests are used again.
        slow: How they are slow on purpose.
    """

    __slots__ = (
        "_bounds",
        "_journey",
        "_maker",
        "_pause_s",
        "_registries",
        "_slow",
        "_span_s",
        "_stock",
        "_user",
        "_variants",
    )

    def __init__(self, maker: Maker, journey: JourneySpec, user: int | str, stock: Stock | None, slow: str) -> None:
        self._maker = maker
        self._journey = journey
        self._user = user
        self._stock = stock
        self._slow = slow
        low, high = journey.wait_s
        self._pause_s, self._span_s = low, (high - low) / _SCALE
        passed = list(accumulate(task.weight for task in journey.tasks))
        # Without the last bound, so that every word falls on a task.
        self._bounds = [int(point / passed[-1] * _SCALE) for point in passed[:-1]]
        self._variants = Stock.variants(len(journey.users))
        self._registries: list[list[Template]] = [[] for _ in journey.tasks]

    def shot(self, owner: Owner, ordinal: int, due: float, chance: Chance) -> Shot:
        """The request with this number in the plan."""
        which, word, pause = chance
        place = bisect_right(self._bounds, which)
        registry = self._registries[place]
        shot: Shot | None = None
        if len(registry) == self._variants and self._stock is not None:
            shot = self._renewed(registry[(word >> 48) % self._variants], self._stock.stamp, owner, ordinal, due, word)
        if shot is None:
            shot = self._encoded(place, registry, owner, ordinal, due)
        shot.pause_s = self._pause_s + self._span_s * pause
        return shot

    @staticmethod
    def _renewed(template: Template, stamp: bytes, owner: Owner, ordinal: int, due: float, word: int) -> Shot | None:
        """Another delivery of what is in stock; None where its number has another length."""
        if template.pick is None:
            return Shot(owner, ordinal, template.form, template.errand, template.facts, due)
        number = template.lead + ordinal
        if not template.low <= number < template.high:
            return None
        mark = word & MARKER_BITS
        shot = Shot(
            owner, ordinal, template.form % template.pick((number, stamp, mark)), template.errand, template.facts, due
        )
        shot.mark = mark
        if template.numbered:
            shot.update_id = number
        return shot

    def _encoded(self, place: int, registry: list[Template], owner: Owner, ordinal: int, due: float) -> Shot:
        maker, journey, stock = self._maker, self._journey, self._stock
        task = journey.tasks[place].name
        request = maker.encode(task, self._user, ordinal)
        name = request.task or task
        if self._slow:
            name = f"{name} (slow {self._slow})"
        errand = maker.errand(name, journey.name, request.facts)
        shot = Shot(owner, ordinal, request.data, errand, request.facts, due)
        shot.slow = self._slow
        if maker.exchange_header:
            shot.add_exchange(None if maker.zero is None else due - maker.zero)
        elif stock is not None and len(registry) < self._variants and stock.accepts(task, self._user, ordinal):
            registry.append(maker.template(request, errand, ordinal))
        return shot
