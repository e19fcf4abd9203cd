"""The open workload: arrivals that come when the plan says, whether or not the target keeps up.

Each arrival has one due time, the pacer's, and its response time counts from there. When every connection is busy it waits
in a bounded queue; what does not fit, or is still waiting when the run is given up, is *dropped* and counted as such.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.pacer import Pacer
from chaosbot.load.courier import Courier
from chaosbot.load.frames import Recorder
from chaosbot.load.hub import SLICE_S, Hub
from chaosbot.load.maker import Chance, Maker, draw_block
from chaosbot.load.pool import Pool
from chaosbot.load.shot import Shot

MOST_WAITING: Final = 100_000
_BLOCK: Final = 256  # arrivals whose chance is drawn at once


class Open:
    """The arrivals of this process.

    Args:
        hub: The loop.
        recorder: Where it is counted.
        maker: Who encodes.
        pool: The connections.
        courier: The platform's sender, when it delivers; None sends at once.
        pacer: Arrivals a second at each moment.
        population: Who comes.
        dice: The plan's place in the tree of chance.
        shard: Which arrivals are this process's.
        start: The common start on the hub's clock.
        first: The number of the first arrival (a search runs several plans one after the other).
    """

    def __init__(
        self,
        hub: Hub,
        recorder: Recorder,
        maker: Maker,
        pool: Pool,
        courier: Courier | None,
        pacer: Pacer,
        population: Population,
        dice: Dice,
        shard: Shard,
        start: float,
        first: int = 0,
    ) -> None:
        self._hub = hub
        self._recorder = recorder
        self._maker = maker
        self._pool = pool
        self._courier = courier
        self._population = population
        self._dice = dice
        self._block = -1
        self._data: tuple[Chance, ...] = ()
        self._shard = shard
        self._start = start
        self._dues = enumerate(pacer.dues(), first)
        self._next: tuple[int, float] | None = None
        self._queue: deque[Shot] = deque()
        self.next_number = first
        self._ended = False

    @property
    def active(self) -> int:
        """Users at work: an open workload has none, only arrivals."""
        return 0

    @property
    def waiting(self) -> int:
        """Arrivals that wait for their turn."""
        queued = len(self._queue) if self._courier is None else self._courier.waiting
        return queued + (self._next is not None)

    def begin(self) -> None:
        """Starts with the first arrival."""
        self._next = next(self._dues, None)
        if self._next is not None:
            self._hub.at(self._start + self._next[1], self._tick)

    def _tick(self) -> None:
        """Starts everything that is due, then sleeps until the next arrival."""
        now, arrival = self._hub.clock(), self._next
        end = now + SLICE_S / 2
        while arrival is not None and not self._ended:
            number, offset = arrival
            due = self._start + offset
            now = self._hub.clock()
            if due > now or now > end:
                break
            self._arrive(number, due, now)
            arrival = next(self._dues, None)
        self._next = arrival
        if arrival is not None and not self._ended:
            # Never earlier than now: answers get their turn before arrivals that are late already.
            self._hub.at(max(self._start + arrival[1], self._hub.clock()), self._tick)

    def _arrive(self, number: int, due: float, now: float) -> None:
        self.next_number = number + 1
        journey, user = self._population.visitor(number)
        if not self._shard.owns(user):
            return
        recorder = self._recorder
        recorder.planned(now - due)
        if self._courier is None and len(self._queue) >= MOST_WAITING:
            recorder.dropped()
            return
        shot = self._maker.writer(journey, user).shot(self, number, due, self._chance(number))
        if self._courier is not None:
            self._courier.post(shot)
        elif self._pool.free and not self._queue:
            recorder.started()
            self._pool.fire(shot)
        else:
            self._queue.append(shot)

    def _chance(self, number: int) -> Chance:
        block, place = divmod(number, _BLOCK)
        if block != self._block:
            self._block, self._data = block, tuple(draw_block(self._dice.at("arrivals", block), _BLOCK))
        return self._data[place]

    def finished(self, shot: Shot) -> None:
        """A request is over: its connection takes the next that waits."""
        self._pool.release(shot)
        self._recorder.ended(shot)
        if self._queue and self._pool.free:
            self._recorder.started()
            self._pool.fire(self._queue.popleft())

    def over(self) -> None:
        """The plan's time is up: nothing to do, its arrivals end by themselves, and late ones still get their turn."""

    def give_up(self) -> None:
        """The run ends now: what never started is dropped, also what was due and the generator did not get to."""
        now, arrival = self._hub.clock(), self._next
        while arrival is not None and not self._ended and self._start + arrival[1] <= now:
            if self._shard.owns(self._population.visitor(arrival[0])[1]):
                self._recorder.planned(now - self._start - arrival[1])
                self._recorder.dropped()
            arrival = next(self._dues, None)
        self._next = None
        if self._courier is not None:
            self._courier.give_up()
        self._recorder.dropped(len(self._queue))
        self._queue.clear()
        self._ended = True
