"""The platform's own sender: a queue per chat, few connections, redelivery with back-off.

Rules (the figures are the platform's, `DeliveryRules`):

- Inside a queue updates are delivered one after the other; one that fails blocks those behind it. Queues run in parallel,
  on at most as many connections as the platform opens.
- Any 2xx acknowledges. Everything else is delivered again: at once, then after pauses that double up to a drawn cap, or by the
  platform's schedule; the target's own ``Retry-After`` is honoured. The platform may sign anew and say which attempt it is.
- Latency counts from the update's arrival to its acknowledgement, however many attempts lie between. Each attempt is a
  request of its own in the counters (planned, started, failed); only the last one has a latency.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.outcome import Fate
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.event_loop import EventLoop
from chaosbot.load.pending import PendingRequest
from chaosbot.load.pool import ConnectionPool

_REASONS: Final = {Fate.TIMEOUT: "late", Fate.ANSWERED: "status"}


@dataclass
class DeliveryCounts:
    """What became of the updates (requests are counted by the aggregator)."""

    updates: int = 0
    acknowledged: int = 0
    redelivered: int = 0
    expired: int = 0
    undelivered: int = 0


class _Delivery:
    """An update on its way: its current attempt, how many failed before, and who waits for it."""

    __slots__ = ("arrived", "failures", "first", "key", "pending", "then", "why")

    def __init__(self, key: str, pending: PendingRequest, then: Callable[[], None] | None) -> None:
        self.key = key
        self.pending = pending
        self.arrived = pending.due
        self.failures = 0
        self.first = pending.data
        self.why = ""
        self.then = then


class PlatformSender:
    """Delivers updates as the platform does.

    Args:
        loop: The loop.
        aggregator: Where attempts are counted.
        pool: The platform's connections.
        rules: How it delivers.
        queue: Which queue an update belongs to.
        dice: The plan's place in the tree of chance.
    """

    def __init__(
        self,
        loop: EventLoop,
        aggregator: MetricsAggregator,
        pool: ConnectionPool,
        rules: DeliveryRules,
        queue: Callable[[UpdateFacts], str],
        dice: Dice,
    ) -> None:
        self._loop = loop
        self._aggregator = aggregator
        self._pool = pool
        self._rules = rules
        self._queue_of = queue
        self._dice = dice
        self.remade: Callable[[bytes, int, str, int], bytes] = lambda first, *_: first
        """Makes the request of another attempt of the first one: its bytes, the number of the repetition, why the one before failed,
        and how many seconds ago the first one was."""
        self._queues: dict[str, deque[_Delivery]] = {}
        self._ready: deque[str] = deque()
        self._closed = False
        self.tally = DeliveryCounts()

    @property
    def waiting(self) -> int:
        """Updates that are not acknowledged yet and not on a connection right now."""
        return sum(map(len, self._queues.values())) - self._pool.busy

    @property
    def closed(self) -> bool:
        """Whether the target told the platform to stop (410)."""
        return self._closed

    def post(self, pending: PendingRequest, then: Callable[[], None] | None = None) -> None:
        """Takes an update; `then` is called when it was acknowledged or given up.

        The arrival was counted as planned by whoever brings it; what becomes of it is counted here.
        """
        self.tally.updates += 1
        if self._closed:
            self._aggregator.dropped()
            self.tally.undelivered += 1
            return
        pending.owner = self
        key = self._queue_of(pending.facts) if pending.facts is not None else f"task:{pending.task}"
        delivery = _Delivery(key, pending, then)
        pending.tag = delivery
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque((delivery,))
            self._ready.append(key)
            self._pump()
        else:
            queue.append(delivery)

    def _pump(self) -> None:
        while self._ready and self._pool.free and not self._closed:
            delivery = self._queues[self._ready.popleft()][0]
            self._aggregator.started()
            self._pool.fire(delivery.pending)

    def finished(self, pending: PendingRequest) -> None:
        """An attempt has its fate."""
        self._pool.release(pending)
        delivery: _Delivery = pending.tag
        over = pending.ok or pending.fate is Fate.CANCELLED
        if not over:
            delivery.failures += 1
            delivery.why = _REASONS.get(pending.fate or Fate.CANCELLED, "connection")
            over = self._final(delivery, pending)
        self._aggregator.ended(pending, latency=over)
        if over:
            self.tally.acknowledged += pending.ok
            self._next(delivery)
        else:
            pause = self._rules.pause_s(
                delivery.failures, self._dice.at("update", pending.ordinal), pending.retry_after_s()
            )
            self._loop.at(self._loop.clock() + pause, lambda: self._again(delivery))
        self._pump()

    def _final(self, delivery: _Delivery, pending: PendingRequest) -> bool:
        """Whether nobody delivers this again: the webhook was closed, the update is too old, or it was tried often enough."""
        if pending.fate is Fate.ANSWERED and self._rules.closes(pending.status):
            self._loop.at(0.0, self._shut)
            return True
        kind = pending.facts.kind if pending.facts is not None else None
        if self._rules.expired(kind, self._loop.clock() - delivery.arrived):
            self.tally.expired += 1
            return True
        stop = self._rules.stop_header
        if self._rules.gives_up(kind, delivery.failures) or (stop and (stop, "1") in pending.headers()):
            self.tally.undelivered += 1
            return True
        return False

    def _next(self, delivery: _Delivery) -> None:
        queue = self._queues[delivery.key]
        queue.popleft()
        if queue:
            self._ready.append(delivery.key)
        else:
            del self._queues[delivery.key]
        if delivery.then is not None:
            delivery.then()

    def _again(self, delivery: _Delivery) -> None:
        """The next attempt is due."""
        if self._closed or delivery.key not in self._queues:
            return
        delivery.pending = pending = delivery.pending.again()
        later = int(self._loop.clock() - delivery.arrived)
        remade = self.remade(delivery.first, delivery.failures, delivery.why, later)
        if remade is not delivery.first:
            pending.data = remade
        self.tally.redelivered += 1
        self._aggregator.planned()
        self._ready.append(delivery.key)
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
            flying = deque(delivery for delivery in queue if delivery.pending.started and delivery.pending.fate is None)
            never = sum(not delivery.pending.started for delivery in queue)
            self.tally.undelivered += len(queue) - len(flying)
            self._aggregator.dropped(never)
            if flying:
                self._queues[key] = flying
            else:
                del self._queues[key]
