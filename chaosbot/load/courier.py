"""The platform's own sender: a queue per chat, few connections, redelivery with back-off.

Rules (the figures are the platform's, `DeliveryRules`):

- Inside a queue updates are delivered one after the other; one that fails blocks those behind it. Queues run in parallel,
  on at most as many connections as the platform opens.
- Any 2xx acknowledges. Everything else is delivered again: at once, then after pauses that double up to a drawn cap; the
  target's own ``Retry-After`` is honoured.
- Latency counts from the update's arrival to its acknowledgement, however many attempts lie between. Each attempt is a
  request of its own in the counters (planned, started, failed); only the last one has a latency.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.outcome import Fate
from chaosbot.load.frames import Recorder
from chaosbot.load.hub import Hub
from chaosbot.load.pool import Pool
from chaosbot.load.shot import Shot


@dataclass
class Tally:
    """What became of the updates (requests are counted by the recorder)."""

    updates: int = 0
    acknowledged: int = 0
    redelivered: int = 0
    expired: int = 0
    undelivered: int = 0


class _Letter:
    """An update on its way: its current attempt, how many failed before, and who waits for it."""

    __slots__ = ("arrived", "failures", "key", "shot", "then")

    def __init__(self, key: str, shot: Shot, then: Callable[[], None] | None) -> None:
        self.key = key
        self.shot = shot
        self.arrived = shot.due
        self.failures = 0
        self.then = then


class Courier:
    """Delivers updates as the platform does.

    Args:
        hub: The loop.
        recorder: Where attempts are counted.
        pool: The platform's connections.
        rules: How it delivers.
        queue: Which queue an update belongs to.
        dice: The plan's place in the tree of chance.
    """

    def __init__(
        self,
        hub: Hub,
        recorder: Recorder,
        pool: Pool,
        rules: DeliveryRules,
        queue: Callable[[UpdateFacts], str],
        dice: Dice,
    ) -> None:
        self._hub = hub
        self._recorder = recorder
        self._pool = pool
        self._rules = rules
        self._queue_of = queue
        self._dice = dice
        self._queues: dict[str, deque[_Letter]] = {}
        self._ready: deque[str] = deque()
        self._closed = False
        self.tally = Tally()

    @property
    def waiting(self) -> int:
        """Updates that are not acknowledged yet and not on a connection right now."""
        return sum(map(len, self._queues.values())) - self._pool.busy

    @property
    def closed(self) -> bool:
        """Whether the target told the platform to stop (410)."""
        return self._closed

    def post(self, shot: Shot, then: Callable[[], None] | None = None) -> None:
        """Takes an update; `then` is called when it was acknowledged or given up.

        The arrival was counted as planned by whoever brings it; what becomes of it is counted here.
        """
        self.tally.updates += 1
        if self._closed:
            self._recorder.dropped()
            self.tally.undelivered += 1
            return
        shot.owner = self
        key = self._queue_of(shot.facts) if shot.facts is not None else f"task:{shot.task}"
        letter = _Letter(key, shot, then)
        shot.tag = letter
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque((letter,))
            self._ready.append(key)
            self._pump()
        else:
            queue.append(letter)

    def _pump(self) -> None:
        while self._ready and self._pool.free and not self._closed:
            letter = self._queues[self._ready.popleft()][0]
            self._recorder.started()
            self._pool.fire(letter.shot)

    def finished(self, shot: Shot) -> None:
        """An attempt has its fate."""
        self._pool.release(shot)
        letter: _Letter = shot.tag
        over = shot.ok or shot.fate is Fate.CANCELLED
        if not over:
            letter.failures += 1
            over = self._final(letter, shot)
        self._recorder.ended(shot, latency=over)
        if over:
            self.tally.acknowledged += shot.ok
            self._next(letter)
        else:
            pause = self._rules.pause_s(letter.failures, self._dice.at("update", shot.ordinal), shot.retry_after_s())
            self._hub.at(self._hub.clock() + pause, lambda: self._again(letter))
        self._pump()

    def _final(self, letter: _Letter, shot: Shot) -> bool:
        """Whether nobody delivers this again: the webhook was closed, or the update is too old."""
        if shot.fate is Fate.ANSWERED and self._rules.closes(shot.status):
            self._hub.at(0.0, self._shut)
            return True
        kind = shot.facts.kind if shot.facts is not None else None
        if self._rules.expired(kind, self._hub.clock() - letter.arrived):
            self.tally.expired += 1
            return True
        return False

    def _next(self, letter: _Letter) -> None:
        queue = self._queues[letter.key]
        queue.popleft()
        if queue:
            self._ready.append(letter.key)
        else:
            del self._queues[letter.key]
        if letter.then is not None:
            letter.then()

    def _again(self, letter: _Letter) -> None:
        """The next attempt is due."""
        if self._closed or letter.key not in self._queues:
            return
        letter.shot = letter.shot.again()
        self.tally.redelivered += 1
        self._recorder.planned()
        self._ready.append(letter.key)
        self._pump()

    def give_up(self) -> None:
        """The run ends: what never left is dropped, what waits for another attempt stays undelivered."""
        self._shut()
        self.tally.undelivered += sum(map(len, self._queues.values()))

    def _shut(self) -> None:
        """Nothing leaves any more; what is on a connection right now is still waited for."""
        self._closed = True
        self._ready.clear()
        for key, queue in list(self._queues.items()):
            flying = deque(letter for letter in queue if letter.shot.started and letter.shot.fate is None)
            never = sum(not letter.shot.started for letter in queue)
            self.tally.undelivered += len(queue) - len(flying)
            self._recorder.dropped(never)
            if flying:
                self._queues[key] = flying
            else:
                del self._queues[key]
