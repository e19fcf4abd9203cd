"""One process's part of a load run: builds hub, connections and workload, takes a frame a second, ends cleanly.

The end of a run, in order: the plan's time is up, so nobody starts anything any more (`over`); what waits and what is on
its way gets its answer or its timeout; then, or when somebody stops the run, the rest is dropped and cancelled
(`give_up`), and the last frame holds the sums.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final, Protocol

import trio

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.errors import EngineError
from chaosbot.core.event import Event, IntervalMeasured, Noted, Trouble
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.knee import KneeSearch
from chaosbot.core.pacer import Pacer
from chaosbot.core.platform import Platform
from chaosbot.core.profile import Workload
from chaosbot.load.closed import Closed, Floor
from chaosbot.load.courier import Courier
from chaosbot.load.frames import Recorder
from chaosbot.load.hub import Hub
from chaosbot.load.line import Line
from chaosbot.load.maker import Maker, Source
from chaosbot.load.open import Open
from chaosbot.load.pool import Pool
from chaosbot.load.spec import LoadSpec
from chaosbot.load.target import Target

HEAD_START_S: Final = 0.05
LOOK_S: Final = 0.05  # how often somebody asks whether to stop
_END_LOOK_S: Final = 0.01
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


class KneeSteps(Protocol):
    """What a search tells when it is over."""

    search: KneeSearch
    lateness_p99_s: float
    limited: bool


@dataclass(frozen=True)
class Surroundings:
    """What the engine is told by, and tells, the outside.

    Args:
        emit: Takes the run's events.
        should_stop: Whether somebody wants the run to end.
        on_frame: Sees each frame too (live views).
        phase: The phase that the run is in.
        faults: The faults that are active.
    """

    emit: Callable[[Event], None]
    should_stop: Callable[[], bool] = lambda: False
    on_frame: Callable[[IntervalMeasured], None] | None = None
    phase: Callable[[], str] | None = None
    faults: Callable[[], tuple[str, ...]] | None = None


class Engine:
    """One process's part.

    Args:
        spec: The run.
        target: Its resolved address.
        source: Who encodes.
        outside: The run's events and switches.
        shard: Which part of the plan.
        hub: The loop (with trio's clock and without sockets in tests of virtual hours).
        start: The common start on the hub's clock; None is now.
        make_line: Opens connections; tests put a target in memory here.
    """

    def __init__(
        self,
        spec: LoadSpec,
        target: Target,
        source: Source | Platform,
        outside: Surroundings,
        *,
        shard: Shard | None = None,
        hub: Hub | None = None,
        start: float | None = None,
        make_line: Callable[[Hub, Target], Line] = Line,
    ) -> None:
        self.spec = spec
        self.target = target
        self.source = source
        self.hub = hub or Hub()
        self.outside = outside
        self.shard = shard or Shard()
        # A moment ahead, so that what is still being set up does not make the first arrivals late.
        self.start = spec.starts_at(self.hub.clock() + HEAD_START_S) if start is None else start
        self.origin = self.start if spec.started is None else spec.started
        self.how = "completed"
        self.dice = Dice(spec.seed).at("load")
        self.recorder = Recorder(outside.emit, self.origin, self.shard.index, every_request=spec.record_requests)
        self.maker = Maker(
            source,
            spec.endpoint,
            self.dice,
            exchange_header=spec.exchange_header,
            stock=not (spec.exchange_header or spec.record_requests),
            slow_share=spec.slow_share,
        )
        self.profile, self.workload, self.pacer = spec.shaped()
        if spec.zero_s is not None and self.workload is Workload.OPEN:
            self.maker.zero = self.start - spec.zero_s
        self.population = Population(tuple(source.journeys()), self.dice)
        self.companions: list[Callable[[], Awaitable[None]]] = []
        """Tasks that run beside the load: samplers, streams. They are cancelled when it ends."""
        self.extra_users: Callable[[], int] = lambda: 0
        self.search: KneeSteps | None = None
        self._make_line = make_line
        self._lines: list[Line] = []
        self._second = 0
        self._frame_at = self.start
        self._give_up_at = math.inf
        self.pool = Pool(self._line, spec.connections)
        self.courier = self._hire() if spec.sender == "telegram" else None
        self.load: Load = self.build(self.pacer, self.start)
        self.begin: Callable[[], None] = self._begin

    def _line(self) -> Line:
        line = self._make_line(self.hub, self.target)
        self._lines.append(line)
        return line

    def _hire(self) -> Courier:
        """The platform's sender, with its own few connections."""
        known = self.source if isinstance(self.source, Platform) else None
        rules = known.delivery() if known else DeliveryRules()
        # Shards share the platform's connections; each gets at least one.
        most = max(rules.connections // self.shard.count, 1)
        self.pool = Pool(self._line, most)
        return Courier(self.hub, self.recorder, self.pool, rules, known.queue if known else _queue, self.dice)

    def build(self, pacer: Pacer, start: float, first: int = 0) -> Load:
        """A workload of this shape; its first arrival has the number `first`."""
        if self.workload is Workload.OPEN:
            people, pool = self.population, self.pool
            return Open(
                self.hub,
                self.recorder,
                self.maker,
                pool,
                self.courier,
                pacer,
                people,
                self.dice,
                self.shard,
                start,
                first,
            )
        peak = max(int(pacer.peak + 1e-9), 1)
        floor = Floor(self.hub, self.recorder, self.maker, self._line, peak, self.dice, self.courier)
        return Closed(floor, pacer, self.population, self.shard, start)

    def _begin(self) -> None:
        self.load.begin()
        self.hub.at(self.start + self.pacer.duration_s, self.over)

    async def run(self) -> None:
        """Runs the plan to its end, or until somebody stops it."""
        hub = self.hub
        hub.at(self.start + 1, self._frame)
        # From now on, not from the start: who waits for the appointed moment can be stopped too.
        hub.at(hub.clock(), self._look)
        hub.at(self.start, self._sweep)
        self.maker.tick()
        self.begin()
        broken: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                for companion in self.companions:
                    nursery.start_soon(self._accompany, companion)
                try:
                    await hub.run()
                except KeyboardInterrupt:
                    self.how = "interrupted"
                except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery's group
                    broken = error
                nursery.cancel_scope.cancel()
        finally:
            self._finish()
        if broken is not None:
            raise EngineError(
                f"load: {type(broken).__name__}: {broken}; what was measured until then is in the journal"
            ) from broken

    async def _accompany(self, companion: Callable[[], Awaitable[None]]) -> None:
        """Runs a sampler or the stream clients; if one breaks, the run goes on, but cannot be a pass."""
        try:
            await companion()
        except Exception as error:  # noqa: BLE001 - becomes an event, which makes the run inconclusive
            what = f"{type(error).__name__}: {error}"
            self.outside.emit(Trouble(self.hub.clock() - self.origin, "load:companion", what))

    # ── the loop's regular calls ─────────────────────────────────────────────────────────────────────────────────────

    def _frame(self) -> None:
        self._take_frame()
        self.maker.tick()
        # The next full second: a frame that came late does not make the following ones late.
        self.hub.at(self.start + self._second + 1, self._frame)

    def _take_frame(self) -> None:
        now = self.hub.clock()
        outside = self.outside
        frame = self.recorder.frame(
            self._second,
            self.start,
            users=self.load.active + self.extra_users(),
            faults=outside.faults() if outside.faults else (),
            phase=outside.phase() if outside.phase else "",
            length=now - self._frame_at,
        )
        self._frame_at = now
        self._second += 1
        outside.emit(frame)
        if outside.on_frame is not None:
            outside.on_frame(frame)

    def _look(self) -> None:
        if self.outside.should_stop():
            self.how = "stopped"
            self.hub.stop()
        self.hub.at(self.hub.clock() + LOOK_S, self._look)

    def _sweep(self) -> None:
        now = self.hub.clock()
        for line in self._lines:
            if line.shot is not None:
                line.expire(now)
        self.hub.at(now + min(self.target.connecting_s / _SWEEPS, LOOK_S), self._sweep)

    def over(self) -> None:
        """The plan's time is up."""
        self.load.over()
        # Whatever was started has its fate within one timeout; what still waits then will not get its turn.
        self._give_up_at = self.hub.clock() + self.target.timeout_s + LOOK_S
        self._await_last()

    def _await_last(self) -> None:
        now = self.hub.clock()
        if (self.recorder.in_flight or self.load.waiting) and now < self._give_up_at:
            self.hub.at(now + _END_LOOK_S, self._await_last)
        else:
            self.hub.stop()

    def abandon(self) -> None:
        """Drops what waits and cancels what is on its way."""
        self.load.give_up()
        self.load.over()
        for line in self._lines:
            line.abandon()

    def _finish(self) -> None:
        self.abandon()
        if self.hub.clock() > self._frame_at:
            self._take_frame()
        if self.courier is not None:
            tally = asdict(self.courier.tally)
            text = ", ".join(f"{count} {name}" for name, count in tally.items())
            at = self.hub.clock() - self.origin
            self.outside.emit(Noted(at, "sender", f"telegram: {text}", tally | {"shard": self.shard.index}))
        self.hub.close()


def _queue(facts: UpdateFacts) -> str:
    return f"chat:{facts.chat if facts.chat is not None else facts.user}"
