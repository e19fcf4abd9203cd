"""The open workload: arrivals that come when the plan says, whether or not the target keeps up.

Each arrival has one due time, the pacer's, and its response time counts from there. When every connection is busy it waits
in a bounded queue; what does not fit, or is still waiting when the run is given up, is *dropped* and counted as such.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import Final

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.pacer import Pacer
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.event_loop import SLICE_S, EventLoop
from chaosbot.load.factory import Chance, RequestFactory, draw_block
from chaosbot.load.pending import PendingRequest
from chaosbot.load.pool import ConnectionPool
from chaosbot.load.sender import PlatformSender

MOST_WAITING: Final = 100_000
_BLOCK: Final = 256  # arrivals whose chance is drawn at once


class OpenExecutor:
    """The arrivals of this process.

    Args:
        loop: The loop.
        aggregator: Where it is counted.
        factory: Who encodes.
        pool: The connections.
        sender: The platform's sender, when it delivers; None sends at once.
        pacer: Arrivals a second at each moment.
        population: Who comes.
        dice: The plan's place in the tree of chance.
        shard: Which arrivals are this process's.
        start: The common start on the loop's clock.
        first: The number of the first arrival (a search runs several plans one after the other).
    """

    def __init__(
        self,
        loop: EventLoop,
        aggregator: MetricsAggregator,
        factory: RequestFactory,
        pool: ConnectionPool,
        sender: PlatformSender | None,
        pacer: Pacer,
        population: Population,
        dice: Dice,
        shard: Shard,
        start: float,
        first: int = 0,
    ) -> None:
        self._loop = loop
        self._aggregator = aggregator
        self._factory = factory
        self._pool = pool
        self._sender = sender
        self._population = population
        self._dice = dice
        self._block = -1
        self._data: tuple[Chance, ...] = ()
        self._shard = shard
        self._start = start
        self._begun = start
        self._pacer = pacer
        self._turn = 0  # which series of ticks holds; steering begins another one
        self._series = pacer, first  # what is followed at present, and the number of its first arrival
        self._dues = enumerate(pacer.dues(), first)
        self._next: tuple[int, float] | None = None
        self._queue: deque[PendingRequest] = deque()
        self.next_number = first
        self._ended = False

    @property
    def active(self) -> int:
        """Users at work: an open workload has none, only arrivals."""
        return 0

    @property
    def waiting(self) -> int:
        """Arrivals that wait for their turn."""
        queued = len(self._queue) if self._sender is None else self._sender.waiting
        return queued + (self._next is not None)

    def begin(self) -> None:
        """Starts with the first arrival."""
        self._next = next(self._dues, None)
        if self._next is not None:
            self._loop.at(self._start + self._next[1], partial(self._tick, self._turn))

    def steer(self, level: float | None, *, paused: bool) -> None:
        """A person wants so many arrivals a second, or none for now; without either the plan holds again, where it would be now."""
        now = self._loop.clock()
        left = self._begun + self._pacer.duration_s - now
        self._turn += 1
        self._next = None
        if paused or left <= 0 or self._ended:
            return
        if level is None:
            missed = math.ceil(self._pacer.total(now - self._begun))
            self._start, dues = self._begun, self._pacer.dues(missed)
            self._series = self._pacer, self.next_number - missed
        else:
            steered = Pacer.constant(level, left)
            self._start, dues = now, steered.dues()
            self._series = steered, self.next_number
        # Numbers go on, so that nothing that was sent is sent again.
        self._dues = enumerate(dues, self.next_number)
        self.begin()

    def _tick(self, turn: int) -> None:
        """Starts everything that is due, then sleeps until the next arrival."""
        if turn != self._turn:
            return
        now, arrival = self._loop.clock(), self._next
        end = now + SLICE_S / 2
        while arrival is not None and not self._ended:
            number, offset = arrival
            due = self._start + offset
            now = self._loop.clock()
            if due > now or now > end:
                break
            self._arrive(number, due, now)
            arrival = next(self._dues, None)
        self._next = arrival
        if arrival is not None and not self._ended:
            # Never earlier than now: answers get their turn before arrivals that are late already.
            self._loop.at(max(self._start + arrival[1], self._loop.clock()), partial(self._tick, turn))

    def _arrive(self, number: int, due: float, now: float) -> None:
        self.next_number = number + 1
        journey, user = self._population.visitor(number)
        if not self._shard.owns(user):
            return
        aggregator = self._aggregator
        aggregator.planned(now - due)
        if self._sender is None and len(self._queue) >= MOST_WAITING:
            aggregator.dropped()
            return
        pending = self._factory.user_requests(journey, user).next(self, number, due, self._chance(number))
        if self._sender is not None:
            self._sender.post(pending)
        elif self._pool.free and not self._queue:
            aggregator.started()
            self._pool.fire(pending)
        else:
            self._queue.append(pending)

    def _chance(self, number: int) -> Chance:
        block, place = divmod(number, _BLOCK)
        if block != self._block:
            self._block, self._data = block, tuple(draw_block(self._dice.at("arrivals", block), _BLOCK))
        return self._data[place]

    def finished(self, pending: PendingRequest) -> None:
        """A request is over: its connection takes the next that waits."""
        self._pool.release(pending)
        self._aggregator.ended(pending)
        if self._queue and self._pool.free:
            self._aggregator.started()
            self._pool.fire(self._queue.popleft())

    def over(self) -> None:
        """The plan's time is up: nothing to do, its arrivals end by themselves, and late ones still get their turn."""

    def give_up(self) -> None:
        """The run ends now: what never started is dropped, also what was due and the generator did not get to."""
        now, arrival = self._loop.clock(), self._next
        if self._shard.count == 1 and arrival is not None and not self._ended:
            # All at once: a generator that could not keep up has missed millions.
            pacer, first = self._series
            number, offset = arrival
            missed = first + math.ceil(pacer.total(now - self._start) - 1e-9) - number
            if missed > 0:
                self._aggregator.missed(missed, now - self._start - offset)
            arrival = None
        while arrival is not None and not self._ended and self._start + arrival[1] <= now:
            if self._shard.owns(self._population.visitor(arrival[0])[1]):
                self._aggregator.missed(1, now - self._start - arrival[1])
            arrival = next(self._dues, None)
        self._next = None
        if self._sender is not None:
            self._sender.give_up()
        self._aggregator.dropped(len(self._queue))
        self._queue.clear()
        self._ended = True
