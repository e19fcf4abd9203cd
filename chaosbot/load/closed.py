"""The closed workload: virtual users who write, wait for the answer, pause, and write again.

A user has a connection of their own, as a client has. What a user does is drawn from their number and their request's
ordinal, so it is the same on one process and on eight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.journey import JourneySpec
from chaosbot.core.outcome import Fate
from chaosbot.core.pacer import Pacer
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.connection import LoadConnection
from chaosbot.load.event_loop import EventLoop
from chaosbot.load.factory import Chance, RequestFactory, UserRequests, draw_block
from chaosbot.load.pending import PendingRequest
from chaosbot.load.sender import PlatformSender
from chaosbot.load.templates import TemplatedRequests


class InFlightLimit:
    """Lets so many requests be on their way at once; the others wait for their turn, first come, first served.

    Args:
        most: How many.
        aggregator: Where starts are counted.
    """

    def __init__(self, most: int, aggregator: MetricsAggregator) -> None:
        self._free = most
        self._aggregator = aggregator
        self._queue: deque[tuple[LoadConnection, PendingRequest]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._queue)

    def fire(self, connection: LoadConnection, pending: PendingRequest) -> None:
        """Sends a request, or lets it wait."""
        if self._free:
            self._free -= 1
            self._aggregator.started()
            connection.fire(pending)
        else:
            self._queue.append((connection, pending))

    def ended(self) -> None:
        """A request is over: the next one has its turn."""
        self._free += 1
        if self._queue:
            self.fire(*self._queue.popleft())

    def give_up(self) -> None:
        """The run ends now: what waits is dropped."""
        self._aggregator.dropped(len(self._queue))
        self._queue.clear()


@dataclass
class ClosedContext:
    """What all users of a run share.

    Args:
        loop: The loop.
        aggregator: Where it is counted.
        factory: Who encodes.
        connection: Opens a connection of one's own.
        dice: The plan's place in the tree of chance.
        peak: Users at the peak; ordinals are counted in steps of it.
        sender: The platform's sender, when it delivers what users write; None gives each user a connection.
        limit: Bounds how many requests are on their way; None does not.
        repeats: Whether users without pauses may take the fast path, on which no request is written on its own.
    """

    loop: EventLoop
    aggregator: MetricsAggregator
    factory: RequestFactory
    connection: Callable[[], LoadConnection]
    peak: int
    dice: Dice
    sender: PlatformSender | None = None
    limit: InFlightLimit | None = None
    repeats: bool = False


MOST_ADDED: Final = 10_000
"""Most users that a person can add to a run beyond its peak."""
ADDED_FROM: Final = 100_000_000
_BLOCK, _LONG_BLOCK = 16, 64  # requests whose chance is drawn at once; more for a user who hardly pauses
_ANSWERED: Final = Fate.ANSWERED


class VirtualUser:
    """One user: between `enter` and `leave` always either waiting for an answer or pausing."""

    __slots__ = (
        "_busy",
        "_connection",
        "_context",
        "_due",
        "_pause_s",
        "_user",
        "_user_requests",
        "chance",
        "count",
        "journey",
        "number",
        "present",
    )

    def __init__(self, context: ClosedContext, number: int, journey: JourneySpec, user: int | str) -> None:
        self._context = context
        self.number = number
        self.journey = journey
        self._user = user
        self._connection: LoadConnection | None = None
        self._due = 0.0
        self._busy = False
        self._pause_s = 0.0
        self.chance: Iterator[Chance] = iter(())
        self._user_requests: UserRequests | None = None
        self.count = 0
        self.present = False

    def enter(self, due: float) -> None:
        """The user comes and writes at once."""
        self.present = True
        if self._connection is None and self._context.sender is None:
            self._connection = self._context.connection()
        self._due = due
        if not self._busy:
            self._write(self._context.loop.clock() - due)

    def leave(self) -> None:
        """The user goes; a request on its way is still waited for."""
        self.present = False
        if self._connection is not None and not self._busy:
            self._connection.hang_up()

    @property
    def numbering(self) -> tuple[int, int]:
        """The number of the first request in the plan and the step to the next; users whom a person added are far beyond the plan's."""
        peak = self._context.peak
        return (self.number, peak) if self.number < peak else (ADDED_FROM + self.number - peak, MOST_ADDED)

    def _write(self, late_s: float) -> None:
        """The next request, which was due so long ago."""
        context = self._context
        chance = next(self.chance, None) or self.draw()
        user_requests = self._user_requests or self._learn()
        first, step = self.numbering
        pending = user_requests.next(self, first + self.count * step, self._due, chance)
        self.count += 1
        self._busy = True
        connection = self._connection
        if connection is not None and context.limit is None:
            context.aggregator.begun(late_s)
            connection.fire(pending)
        elif connection is not None and context.limit is not None:
            context.aggregator.planned(late_s)
            context.limit.fire(connection, pending)
        elif context.sender is not None:
            self._pause_s = pending.pause_s
            context.aggregator.planned(late_s)
            context.sender.post(pending, self._delivered)

    def draw(self) -> Chance:
        """The chance of the next request, and of a block of those after it."""
        block = _BLOCK if self.journey.wait_s[1] else _LONG_BLOCK
        self.chance = draw_block(self._context.dice.at("user", self.number, self.count // block), block)
        return next(self.chance)

    def _learn(self) -> UserRequests:
        self._user_requests = self._context.factory.user_requests(self.journey, self._user)
        return self._user_requests

    def finished(self, pending: PendingRequest) -> None:
        """The answer is there, or will never be: a pause, then the next request."""
        context = self._context
        context.aggregator.ended(pending)
        if context.limit is not None:
            context.limit.ended()
        if self.present and not pending.pause_s and pending.fate is _ANSWERED:
            self._due = pending.ended
            self._write(0.0)
            if context.repeats and self._connection is not None and not self.journey.wait_s[1]:
                requests = self._user_requests
                if isinstance(requests, TemplatedRequests):
                    self._connection.repeat(self, requests, context.aggregator)
        else:
            self._rest(context.loop.clock(), pending.pause_s)

    def _delivered(self) -> None:
        """The platform has delivered it, or has given up."""
        self._rest(self._context.loop.clock(), self._pause_s)

    def _rest(self, now: float, pause_s: float) -> None:
        self._busy = False
        if self.present:
            self._due = now + pause_s
            self._context.loop.at(self._due, self._again)
        elif self._connection is not None:
            self._connection.hang_up()

    def _again(self) -> None:
        late_s = self._context.loop.clock() - self._due
        # A user who left and came back in the meantime has started anew, with another due time.
        if self.present and not self._busy and late_s >= 0:
            self._write(late_s)


class ClosedExecutor:
    """All virtual users of this process.

    Args:
        context: What they share.
        pacer: How many are at work when.
        population: Who they are.
        shard: Which of them are this process's.
        start: The common start on the loop's clock.
    """

    def __init__(
        self, context: ClosedContext, pacer: Pacer, population: Population, shard: Shard, start: float
    ) -> None:
        self._context = context
        self._pacer = pacer
        self._population = population
        self._shard = shard
        self._known = context.peak  # users of all processes, with those whom a person added
        self._start = start
        self._over = False
        self._steered: int | None = None  # users at work, when a person said how many
        self._elsewhere: frozenset[str] = frozenset()
        self.users = []
        for number in range(context.peak):
            journey, user = population.resident(number)
            if shard.owns(user):
                self.users.append(VirtualUser(context, number, journey, user))

    def without(self, kinds: Iterable[str]) -> list[VirtualUser]:
        """Leaves kinds of users to somebody else; returns those that there are."""
        self._elsewhere = frozenset(kinds)
        gone = [user for user in self.users if user.journey.name in self._elsewhere]
        self.users = [user for user in self.users if user.journey.name not in self._elsewhere]
        return gone

    @property
    def active(self) -> int:
        """Users at work."""
        return sum(user.present for user in self.users)

    @property
    def waiting(self) -> int:
        """What users wrote and the platform has not delivered yet, or what waits for its turn."""
        behind = self._context.sender or self._context.limit
        return 0 if behind is None else behind.waiting

    def begin(self) -> None:
        """Schedules when each user comes and goes."""
        for user in self.users:
            for come, go in self._pacer.spans(user.number):
                self._context.loop.at(self._start + come, partial(self._comes, user, self._start + come))
                self._context.loop.at(self._start + go, partial(self._goes, user))

    def _comes(self, user: VirtualUser, due: float) -> None:
        if self._steered is None:
            user.enter(due)

    def _goes(self, user: VirtualUser) -> None:
        if self._steered is None:
            user.leave()

    def steer(self, level: float | None, *, paused: bool) -> None:
        """A person wants so many users, or none for now; without either the plan holds again."""
        if self._over:
            return
        now = self._context.loop.clock()
        self._steered = 0 if paused else None if level is None else int(level)
        wanted = self._steered
        known, self._known = self._known, max(self._known, min(wanted or 0, self._context.peak + MOST_ADDED))
        for number in range(known, self._known):
            journey, who = self._population.resident(number)
            if self._shard.owns(who) and journey.name not in self._elsewhere:
                self.users.append(VirtualUser(self._context, number, journey, who))
        for user in self.users:
            spans = self._pacer.spans(user.number) if wanted is None else ()
            at_work = user.number < wanted if wanted is not None else any(a <= now - self._start < b for a, b in spans)
            if at_work and not user.present:
                user.enter(now)
            elif user.present and not at_work:
                user.leave()

    def over(self) -> None:
        """The plan's time is up: nobody writes any more."""
        self._over = True
        for user in self.users:
            user.leave()

    def give_up(self) -> None:
        """The run ends now: what the platform has not delivered stays undelivered, and what waits is dropped."""
        if self._context.sender is not None:
            self._context.sender.give_up()
        if self._context.limit is not None:
            self._context.limit.give_up()
