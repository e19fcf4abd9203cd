"""One process's part of a load run: builds hub, connections and workload, takes a frame a second, ends cleanly.

The end of a run, in order: the plan's time is up, so nobody starts anything any more (`over`); what waits and what is on
its way gets its answer or its timeout; then, or when somebody stops the run, the rest is dropped and cancelled
(`give_up`), and the last frame holds the sums.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, Protocol

from chaosbot.load.closed import Closed, Floor
from chaosbot.load.frames import Recorder
from chaosbot.load.hub import Hub
from chaosbot.load.line import Line
from chaosbot.load.maker import Maker, Source
from chaosbot.load.open import Open, Pool
from chaosbot.load.spec import LoadSpec
from chaosbot.load.target import Target
from chaosbot.model.arrival import Population, Shard
from chaosbot.model.dialect import Dialect
from chaosbot.model.dice import Dice
from chaosbot.model.event import Event, FrameTaken
from chaosbot.model.pacer import Pacer
from chaosbot.model.profile import Workload

_LOOK_S: Final = 0.1  # how often somebody asks whether to stop
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


@dataclasses.dataclass(frozen=True)
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
    on_frame: Callable[[FrameTaken], None] | None = None
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
        source: Source | Dialect,
        outside: Surroundings,
        *,
        shard: Shard | None = None,
        hub: Hub | None = None,
        start: float | None = None,
        make_line: Callable[[Hub, Target], Line] = Line,
    ) -> None:
        self.spec = spec
        self.target = target
        self.hub = hub or Hub()
        self._outside = outside
        self._shard = shard or Shard()
        self.start = self.hub.clock() if start is None else start
        self._make_line = make_line
        self._lines: list[Line] = []
        self._source = source
        self._dice = Dice(spec.seed).at("load")
        self.recorder = Recorder(
            outside.emit,
            self.start if spec.started is None else spec.started,
            self._shard.index,
            every_request=spec.record_requests,
        )
        self.maker = Maker(source, spec.endpoint, self._dice, exchange_header=spec.exchange_header)
        self._population = Population(tuple(source.journeys()), self._dice)
        self._second = 0
        self._frame_at = self.start
        _, self.workload, self.pacer = spec.shaped()
        self.load = self._build(self.pacer)
        self.how = "completed"

    def _line(self) -> Line:
        line = self._make_line(self.hub, self.target)
        self._lines.append(line)
        return line

    def _build(self, pacer: Pacer) -> Load:
        if self.workload is Workload.OPEN:
            pool = Pool(self._line, self.spec.connections)
            return Open(self.hub, self.recorder, self.maker, pool, pacer, self._population, self._shard, self.start)
        peak = max(int(pacer.peak + 1e-9), 1)
        floor = Floor(self.hub, self.recorder, self.maker, self._line, self._dice, peak)
        return Closed(floor, pacer, self._population, self._shard, self.start)

    async def run(self) -> None:
        """Runs the plan to its end, or until somebody stops it."""
        hub = self.hub
        hub.at(self.start + 1, self._frame)
        hub.at(self.start + _LOOK_S, self._look)
        hub.at(self.start, self._sweep)
        self.maker.tick()
        self.load.begin()
        hub.at(self.start + self.pacer.duration_s, self._over)
        try:
            await hub.run()
        except KeyboardInterrupt:
            self.how = "interrupted"
        finally:
            self._finish()

    # ── the loop's regular calls ─────────────────────────────────────────────────────────────────────────────────────

    def _frame(self) -> None:
        self._take_frame()
        self.maker.tick()
        # The next full second: a frame that came late does not make the following ones late.
        self.hub.at(self.start + self._second + 1, self._frame)

    def _take_frame(self) -> None:
        now = self.hub.clock()
        outside = self._outside
        frame = self.recorder.frame(
            self._second,
            self.start,
            users=self.load.active,
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
        if self._outside.should_stop():
            self.how = "stopped"
            self.hub.stop()
        self.hub.at(self.hub.clock() + _LOOK_S, self._look)

    def _sweep(self) -> None:
        now = self.hub.clock()
        for line in self._lines:
            if line.shot is not None and now >= line.deadline:
                line.expire(now)
        shortest = min(self.target.timeout_s, self.target.connect_timeout_s)
        self.hub.at(now + min(shortest / _SWEEPS, _LOOK_S), self._sweep)

    def _over(self) -> None:
        self.load.over()
        self._await_last()

    def _await_last(self) -> None:
        """Ends when everything that was started has its fate; a timeout at the latest gives it one."""
        recorder = self.recorder
        flying = recorder.total.in_flight + recorder.now.started - recorder.now.ended
        if flying or self.load.waiting:
            self.hub.at(self.hub.clock() + 0.01, self._await_last)
        else:
            self.hub.stop()

    def _finish(self) -> None:
        self.load.give_up()
        self.load.over()
        for line in self._lines:
            line.abandon()
        if self.hub.clock() > self._frame_at:
            self._take_frame()
        self.hub.close()
