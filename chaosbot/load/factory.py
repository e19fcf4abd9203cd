"""The request factory: turns what a virtual user does into a pending request, encoded by the platform (or a journey file, or a corpus).

This is the plain path: every request is encoded from scratch. `chaosbot.load.templates` holds the fast path, which re-uses what
was encoded before; tests/load/test_templates.py compares the two.

Every request has three words of chance: which task, what is renewed in it, and how long the pause after it. They are drawn in
blocks, because one keyed hash gives enough for several requests.
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
from chaosbot.core.journey import JourneySpec, StreamSpec
from chaosbot.core.platform import Endpoint, Request
from chaosbot.load.connection import SLOW_BODY, SLOW_READER
from chaosbot.load.pending import Owner, PendingRequest, RequestLabel

Chance: TypeAlias = tuple[int, int, int]
"""Three words of 64 bits."""
_WORDS: Final = struct.Struct(">3Q")
_SCALE: Final = 1 << 64
SLOW_MANNERS: Final = (SLOW_BODY, SLOW_READER)
"""How users may be slow on purpose."""
MOST_USERS: Final = 20_000
"""How many users are remembered with what was encoded for them."""


def draw_block(dice: Dice, count: int) -> Iterator[Chance]:
    """The chance of `count` requests in a row."""
    chances: Iterator[Chance] = _WORDS.iter_unpack(dice.data(_WORDS.size * count))
    return chances


def slowly(task: str, how: str) -> str:
    """What a task's requests count as where their user is slow on purpose."""
    return f"{task} (slow {how})"


class Source(Protocol):
    """What people do and how it is encoded; a platform is one, a journey file and a corpus are others."""

    @property
    def alike(self) -> int | None:
        """Users of a journey are alike but for their ids where these agree modulo this number; None: none are."""

    def journeys(self) -> Sequence[JourneySpec]:
        """The kinds of users."""

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task."""

    def streams(self) -> Sequence[StreamSpec]:
        """The scenarios of WebSocket clients."""


class RequestFactory:
    """Encodes the requests of all users of a run, each from scratch.

    Args:
        source: Encodes a task.
        endpoint: Where it goes.
        dice: The plan's random stream.
        exchange_header: Whether requests carry their exchange id (a proxy listens).
        slow_share: Share of users who send slowly, or leave their answer unread (0..1).
        traces: Whether requests carry a W3C trace context.
        wall: The Unix time in seconds.
    """

    def __init__(
        self,
        source: Source,
        endpoint: Endpoint,
        dice: Dice,
        *,
        exchange_header: bool = False,
        slow_share: float = 0.0,
        traces: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.exchange_header = exchange_header
        self.traces = traces
        self.zero: float | None = None
        """The run's zero on this clock, for drivers that tell the proxy when a request was due."""
        self._build = source.build
        self._endpoint = endpoint
        self._dice = dice
        self._slow_share = slow_share
        self._wall = wall
        self._labels: dict[tuple[str, str, str | None, str | None], RequestLabel] = {}
        self._users: dict[tuple[int, int | str], UserRequests] = {}
        self._bounds: dict[int, list[int]] = {}

    def tick(self) -> None:
        """A second has passed: requests claim the new time."""
        self._endpoint = dataclasses.replace(self._endpoint, now=int(self._wall()))

    def user_requests(self, journey: JourneySpec, user: int | str) -> UserRequests:
        """The requests of one user, remembered for the first `MOST_USERS` users."""
        key = id(journey), user
        found = self._users.get(key)
        if found is None:
            kept = len(self._users) < MOST_USERS
            slow = self._slowness(user)
            ordered = journey.ordered
            found = (
                OrderedRequests(self, journey, user, slow)
                if ordered
                else self._requests_of(journey, user, slow, kept=kept)
            )
            if kept:
                self._users[key] = found
        return found

    def _requests_of(self, journey: JourneySpec, user: int | str, slow: str, *, kept: bool) -> UserRequests:  # noqa: ARG002 - for the fast path
        return UserRequests(self, journey, user, slow)

    def bounds(self, journey: JourneySpec) -> list[int]:
        """The words of chance at which the next one of a journey's tasks begins."""
        bounds = self._bounds.get(id(journey))
        if bounds is None:
            passed = list(accumulate(task.weight for task in journey.tasks))
            # Without the last bound, so that every word falls on a task.
            bounds = self._bounds[id(journey)] = [int(point / passed[-1] * _SCALE) for point in passed[:-1]]
        return bounds

    def encode(self, task: str, user: int | str, ordinal: int, begun: int | None = None) -> Request:
        """Encodes a request from scratch; `begun` is the number of the request with which its round began, in a journey of rounds."""
        dice = self._dice.at(ordinal) if begun is None else self._dice.at("round", begun)
        return self._build(task, user, ordinal, dice, self._endpoint)

    def trace(self, ordinal: int) -> tuple[str, str]:
        """The trace id and the span id of a request: of this moment and its number, so that two runs share none."""
        data = self._dice.at("trace", ordinal, self._endpoint.started).data(24).hex()
        return data[:32], data[32:]

    def label(self, task: str, tier: str, facts: UpdateFacts | None) -> RequestLabel:
        """What such requests count as; equal ones share one label."""
        kind, command = (None, None) if facts is None else (facts.kind, facts.command)
        key = task, tier, kind, command
        label = self._labels.get(key)
        if label is None:
            label = self._labels[key] = RequestLabel(task, tier, kind, command)
        return label

    def _slowness(self, user: int | str) -> str:
        """How a user is slow on purpose. It belongs to the user, not to the request: the same users are slow all the time."""
        dice = self._dice.at("slow", user)
        if self._slow_share and dice.chance(self._slow_share):
            return dice.at("manner").choice(SLOW_MANNERS)
        return ""


class UserRequests:
    """One user as a source of requests: their tasks and the pauses between them.

    Args:
        factory: Encodes.
        journey: What the user does.
        user: The user's id.
        slow: How the user is slow on purpose; empty when not.
    """

    __slots__ = ("_bounds", "_factory", "_journey", "_pause_s", "_slow", "_span_s", "_user")

    def __init__(self, factory: RequestFactory, journey: JourneySpec, user: int | str, slow: str) -> None:
        self._factory = factory
        self._journey = journey
        self._user = user
        self._slow = slow
        low, high = journey.wait_s
        self._pause_s, self._span_s = low, (high - low) / _SCALE
        self._bounds = factory.bounds(journey)

    def next(self, owner: Owner, ordinal: int, due: float, chance: Chance) -> PendingRequest:
        """The request with this number in the plan, with the pause after it."""
        which, word, pause = chance
        pending = self._made(bisect_right(self._bounds, which), word, owner, ordinal, due)
        pending.pause_s = self._pause_s + self._span_s * pause
        return pending

    def _made(self, task: int, word: int, owner: Owner, ordinal: int, due: float) -> PendingRequest:  # noqa: ARG002 - the fast path renews by it
        return self._encoded(
            self._factory.encode(self._journey.tasks[task].name, self._user, ordinal), task, owner, ordinal, due
        )

    def _encoded(self, request: Request, task: int, owner: Owner, ordinal: int, due: float) -> PendingRequest:
        factory = self._factory
        name = request.task or self._journey.tasks[task].name
        if self._slow:
            name = slowly(name, self._slow)
        label = factory.label(name, self._journey.name, request.facts)
        pending = PendingRequest(owner, ordinal, request.data, label, request.facts, due)
        pending.slow = self._slow
        if factory.traces:
            pending.add_trace(*factory.trace(ordinal))
        if factory.exchange_header:
            pending.add_exchange(None if factory.zero is None else due - factory.zero)
        return pending


class OrderedRequests(UserRequests):
    """One user of an ordered journey: the tasks in turn, round after round."""

    __slots__ = ("_begun", "_count")

    def __init__(self, factory: RequestFactory, journey: JourneySpec, user: int | str, slow: str) -> None:
        super().__init__(factory, journey, user, slow)
        self._count = 0
        self._begun = 0

    def next(self, owner: Owner, ordinal: int, due: float, chance: Chance) -> PendingRequest:
        """The next task's request, with the pause after it."""
        tasks = self._journey.tasks
        step = self._count % len(tasks)
        self._count += 1
        if step == 0:
            self._begun = ordinal
        request = self._factory.encode(tasks[step].name, self._user, ordinal, self._begun)
        pending = self._encoded(request, step, owner, ordinal, due)
        pending.pause_s = self._pause_s + self._span_s * chance[2]
        return pending
