"""One process's part of a load run: builds event loop, connections and executor, takes an interval a second, ends cleanly.

The end of a run, in order: the plan's time is up, so nobody starts anything any more (`over`); what waits and what is on
its way gets its answer or its timeout; then, or when somebody stops the run, the rest is dropped and cancelled
(`give_up`), and the last interval holds the sums.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

import trio

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.errors import EngineError
from chaosbot.core.event import Event, IntervalMeasured, Noted, Trouble
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules, JourneySpec
from chaosbot.core.knee import KneeSearch
from chaosbot.core.pacer import Pacer
from chaosbot.core.platform import Platform
from chaosbot.core.profile import Workload
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.closed import ClosedContext, ClosedExecutor, InFlightLimit
from chaosbot.load.connection import LoadConnection
from chaosbot.load.event_loop import EventLoop
from chaosbot.load.factory import RequestFactory, Source
from chaosbot.load.fast_connection import fast_connections
from chaosbot.load.open import OpenExecutor
from chaosbot.load.pool import ConnectionPool
from chaosbot.load.sender import PlatformSender
from chaosbot.load.spec import LoadSpec, Wish
from chaosbot.load.target import LoadTarget
from chaosbot.load.templates import TemplateFactory

HEAD_START_S: Final = 0.05
LOOK_S: Final = 0.05  # how often somebody asks whether to stop
_END_LOOK_S: Final = 0.01
_NEW_OBJECTS: Final = 50_000
"""After so many the garbage collector looks for cycles, of which the hot path makes none."""
_SWEEPS: Final = 10  # looks for requests past their time, within one timeout


class Load(Protocol):
    """What the engine needs of a workload."""

    @property
    def active(self) -> int:
        """Users at work."""

    @property
    def waiting(self) -> int:
        """Arrivals that wait for their turn."""

    def begin(self) -> None:
        """Starts."""

    def over(self) -> None:
        """The plan's time is up."""

    def give_up(self) -> None:
        """The run ends now."""

    def steer(self, level: float | None, *, paused: bool) -> None:
        """A person wants another level of users or arrivals, or a pause; without either the plan holds."""


class KneeSteps(Protocol):
    """What a search tells when it is over."""

    search: KneeSearch
    lateness_p99_s: float
    limited: bool


@dataclass(frozen=True)
class RunHooks:
    """How the engine and the run around it talk to each other.

    Args:
        emit: Takes the run's events.
        should_stop: Whether somebody wants the run to end.
        on_interval: Sees each interval too (live views).
        phase: The phase that the run is in.
        faults: The faults that are active.
        wish: What a person wants; asked as often as `should_stop`.
    """

    emit: Callable[[Event], None]
    should_stop: Callable[[], bool] = lambda: False
    on_interval: Callable[[IntervalMeasured], None] | None = None
    phase: Callable[[], str] | None = None
    faults: Callable[[], tuple[str, ...]] | None = None
    wish: Callable[[], Wish] = Wish


class LoadEngine:
    """One process's part.

    Args:
        spec: The run.
        target: Its resolved address.
        source: Who encodes.
        hooks: The run's events and switches.
        journeys: Who takes part; empty for the source's own.
        shard: Which part of the plan.
        loop: The loop (with trio's clock and without sockets in tests of virtual hours).
        start: The common start on the loop's clock; None is now.
        make_connection: Opens connections; tests put a target in memory here.
    """

    def __init__(
        self,
        spec: LoadSpec,
        target: LoadTarget,
        source: Source,
        hooks: RunHooks,
        journeys: Sequence[JourneySpec] = (),
        *,
        shard: Shard | None = None,
        loop: EventLoop | None = None,
        start: float | None = None,
        make_connection: Callable[[EventLoop, LoadTarget], LoadConnection] | None = None,
    ) -> None:
        self.spec = spec
        self.target = target
        self.source = source
        self.loop = loop or EventLoop()
        self.hooks = hooks
        self.shard = shard or Shard()
        # A moment ahead, so that what is still being set up does not make the first arrivals late.
        self.start = spec.starts_at(self.loop.clock() + HEAD_START_S) if start is None else start
        self.origin = self.start if spec.started is None else spec.started
        self.how = "completed"
        self.dice = Dice(spec.seed).at("load")
        self.aggregator = MetricsAggregator(
            hooks.emit,
            self.origin,
            self.shard.index,
            every_request=spec.record_requests,
            accepted=spec.accepted,
            bodies=spec.bodies,
            stopped=hooks.should_stop,
        )
        if spec.exchange_header or spec.record_requests or spec.traceparent:
            # Single requests are joined with what proxy and target saw of them, so each is encoded for itself.
            self.factory: RequestFactory = RequestFactory(
                source,
                spec.endpoint,
                self.dice,
                exchange_header=spec.exchange_header,
                slow_share=spec.slow_share,
                traces=spec.traceparent,
            )
        else:
            self.factory = TemplateFactory(source, spec.endpoint, self.dice, slow_share=spec.slow_share)
        self.profile, self.workload, self.pacer = spec.shaped()
        if spec.zero_s is not None and self.workload is Workload.OPEN:
            self.factory.zero = self.start - spec.zero_s
        self.population = Population(tuple(journeys) or tuple(source.journeys()), self.dice)
        self.background: list[Callable[[], Awaitable[None]]] = []
        """Tasks that run beside the load: samplers, streams. They are cancelled when it ends."""
        self.extra_users: Callable[[], int] = lambda: 0
        self.extra_steer: Callable[[Wish], None] = lambda _wish: None
        self.search: KneeSteps | None = None
        self._make_connection: Callable[[EventLoop, LoadTarget], LoadConnection] = make_connection or fast_connections(
            spec.accepted
        )
        self._connections: list[LoadConnection] = []
        self._wished = Wish()
        self._second = 0
        self._interval_at = self.start
        self._give_up_at = math.inf
        self.most_in_flight = None if spec.max_in_flight is None else spec.max_in_flight // self.shard.count
        self.pool = ConnectionPool(self._connection, min(spec.connections, self.most_in_flight or spec.connections))
        self.sender = self._hire() if spec.sender != "raw" else None
        self.load: Load = self.build(self.pacer, self.start)
        self.begin: Callable[[], None] = self._begin

    def _connection(self) -> LoadConnection:
        connection = self._make_connection(self.loop, self.target)
        self._connections.append(connection)
        return connection

    def _hire(self) -> PlatformSender:
        """The platform's sender, with its own few connections."""
        known = self.source if isinstance(self.source, Platform) else None
        rules = known.delivery() if known else DeliveryRules()
        # Shards share the platform's connections; each gets at least one.
        most = min(max(rules.connections // self.shard.count, 1), self.most_in_flight or rules.connections)
        self.pool = ConnectionPool(self._connection, most)
        queue = known.queue if known else _queue
        sender = PlatformSender(self.loop, self.aggregator, self.pool, rules, queue, self.dice)
        if known is not None:
            secret = self.spec.endpoint.secret
            sender.remade = lambda first, attempt, why, later: known.again(first, secret, attempt, why, later)
        return sender

    def build(self, pacer: Pacer, start: float, first: int = 0) -> Load:
        """A workload of this shape; its first arrival has the number `first`."""
        if self.workload is Workload.OPEN:
            people, pool = self.population, self.pool
            return OpenExecutor(
                self.loop,
                self.aggregator,
                self.factory,
                pool,
                self.sender,
                pacer,
                people,
                self.dice,
                self.shard,
                start,
                first,
            )
        peak = max(int(pacer.peak + 1e-9), 1)
        most = None if self.sender is not None else self.most_in_flight
        limit = None if most is None else InFlightLimit(most, self.aggregator)
        repeats = limit is None and self.sender is None and not self.spec.record_requests
        context = ClosedContext(
            self.loop, self.aggregator, self.factory, self._connection, peak, self.dice, self.sender, limit, repeats
        )
        return ClosedExecutor(context, pacer, self.population, self.shard, start)

    def _begin(self) -> None:
        self.load.begin()
        self.loop.at(self.start + self.pacer.duration_s, self.over)

    async def run(self) -> None:
        """Runs the plan to its end, or until somebody stops it."""
        loop = self.loop
        loop.at(self.start + 1, self._interval)
        # From now on, not from the start: who waits for the appointed moment can be stopped too.
        loop.at(loop.clock(), self._look)
        loop.at(self.start, self._sweep)
        self.factory.tick()
        self.begin()
        broken: Exception | None = None
        thresholds = gc.get_threshold()
        gc.set_threshold(_NEW_OBJECTS, *thresholds[1:])
        try:
            async with trio.open_nursery() as nursery:
                for background_task in self.background:
                    nursery.start_soon(self._run_background, background_task)
                try:
                    await loop.run()
                except KeyboardInterrupt:
                    self.how = "interrupted"
                except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery's group
                    broken = error
                nursery.cancel_scope.cancel()
        finally:
            gc.set_threshold(*thresholds)
            self._finish()
        if broken is not None:
            what = str(broken) if isinstance(broken, EngineError) else f"{type(broken).__name__}: {broken}"
            raise EngineError(f"load: {what}; what was measured until then is in the journal") from broken

    async def _run_background(self, background_task: Callable[[], Awaitable[None]]) -> None:
        """Runs a sampler or the stream clients; if one breaks, the run goes on, but cannot be a pass."""
        try:
            await background_task()
        except Exception as error:  # noqa: BLE001 - becomes an event, which makes the run inconclusive
            what = f"{type(error).__name__}: {error}"
            self.hooks.emit(Trouble(self.loop.clock() - self.origin, "load:background_task", what))

    # ── the loop's regular calls ─────────────────────────────────────────────────────────────────────────────────────

    def _interval(self) -> None:
        self._take_interval()
        self.factory.tick()
        # The next full second: an interval that came late does not make the following ones late.
        self.loop.at(self.start + self._second + 1, self._interval)

    def _take_interval(self) -> None:
        now = self.loop.clock()
        hooks = self.hooks
        interval = self.aggregator.interval(
            self._second,
            self.start,
            users=self.load.active + self.extra_users(),
            faults=hooks.faults() if hooks.faults else (),
            phase=hooks.phase() if hooks.phase else "",
            length=now - self._interval_at,
        )
        self._interval_at = now
        self._second += 1
        hooks.emit(interval)
        if hooks.on_interval is not None:
            hooks.on_interval(interval)

    def _look(self) -> None:
        if self.hooks.should_stop():
            self.how = "stopped"
            self.loop.stop()
        wish = self.hooks.wish()
        if wish != self._wished:
            self._wished = wish
            self.load.steer(wish.level, paused=wish.paused)
            self.extra_steer(wish)
        self.loop.at(self.loop.clock() + LOOK_S, self._look)

    def _sweep(self) -> None:
        now = self.loop.clock()
        for connection in self._connections:
            if connection.pending is not None:
                connection.expire(now)
        self.loop.at(now + min(self.target.connecting_s / _SWEEPS, LOOK_S), self._sweep)

    def over(self) -> None:
        """The plan's time is up."""
        self.load.over()
        # Whatever was started has its fate within one timeout; what still waits then will not get its turn.
        self._give_up_at = self.loop.clock() + self.target.timeout_s + LOOK_S
        self._await_last()

    def _await_last(self) -> None:
        now = self.loop.clock()
        if (self.aggregator.in_flight or self.load.waiting) and now < self._give_up_at:
            self.loop.at(now + _END_LOOK_S, self._await_last)
        else:
            self.loop.stop()

    def abandon(self) -> None:
        """Drops what waits and cancels what is on its way."""
        self.load.give_up()
        self.load.over()
        for connection in self._connections:
            connection.abandon()

    def _finish(self) -> None:
        self.abandon()
        if self.loop.clock() > self._interval_at:
            self._take_interval()
        if self.sender is not None:
            tally = asdict(self.sender.tally)
            text = ", ".join(f"{count} {name}" for name, count in tally.items())
            at = self.loop.clock() - self.origin
            self.hooks.emit(Noted(at, "sender", f"telegram: {text}", tally | {"shard": self.shard.index}))
        self.loop.close()


def _queue(facts: UpdateFacts) -> str:
    return f"chat:{facts.chat if facts.chat is not None else facts.user}"
