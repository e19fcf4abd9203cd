"""Performs a knee search: one step of constant arrivals after the other, each told to the run as a note."""

from __future__ import annotations

from collections import Counter
from typing import Final

from chaosbot.core.arrival import LATENESS_P99_BOUND_S
from chaosbot.core.event import Noted
from chaosbot.core.knee import KneeSearch, StepResult
from chaosbot.core.pacer import Pacer
from chaosbot.load.engine import LoadEngine
from chaosbot.load.histogram import lateness_s
from chaosbot.load.open import OpenExecutor

_PAUSE_S: Final = 0.05
_CLEAR_S: Final = 5.0
"""After an overloaded step its backlog gets this long to drain; what is left then would spoil the next one."""


class KneeRun:
    """The steps of one search.

    Args:
        engine: Whose workload is exchanged step by step.
        search: The search before its first step.
    """

    def __init__(self, engine: LoadEngine, search: KneeSearch) -> None:
        self._engine = engine
        self.search = search
        self._number = 0
        self._half = (0, 0, 0)
        self._late: Counter[int] = Counter()
        self._clear_at = 0.0
        self.lateness_p99_s = 0.0
        """How late the generator was in the last step that the target sustained."""
        self.limited = False
        """Whether a step failed in which the generator itself was late: the knee may lie higher."""
        engine.begin = self.begin

    def begin(self) -> None:
        """Starts a step."""
        engine, loop = self._engine, self._engine.loop
        start = loop.clock() + _PAUSE_S
        hold = self.search.hold_s
        self._late = engine.aggregator.lateness()
        engine.load = engine.build(Pacer.constant(self.search.rate, hold), start, self._number)
        engine.load.begin()
        loop.at(start + hold / 2, self._halfway)
        loop.at(start + hold, self._judge)

    def _counts(self) -> tuple[int, int, int]:
        """Arrivals that were due, those that were answered well, and those that are neither done nor failed."""
        aggregator = self._engine.aggregator
        planned = aggregator.total.planned + aggregator.now.planned
        return planned, aggregator.total.completed + aggregator.now.completed, self._backlog()

    def _backlog(self) -> int:
        return self._engine.aggregator.in_flight + self._engine.load.waiting

    def _halfway(self) -> None:
        # The first half fills the pipe: only the second half is judged, where what comes out must be what goes in.
        self._half = self._counts()

    def _judge(self) -> None:
        engine, search = self._engine, self.search
        planned, completed, grown = (now - then for now, then in zip(self._counts(), self._half, strict=True))
        offered = round(search.rate * search.hold_s / 2)
        result = StepResult(max(planned, offered), completed, grown / (search.hold_s / 2))
        sustained = result.sustained(search.rate)
        late = lateness_s(engine.aggregator.lateness() - self._late, 0.99)
        if sustained:
            self.lateness_p99_s = late
        elif late > LATENESS_P99_BOUND_S:
            self.limited = True
        self.search = search.after(result)
        engine.hooks.emit(
            Noted(
                engine.loop.clock() - engine.origin,
                "knee",
                f"{search.rate:g}/s {'sustained' if sustained else 'not sustained'}"
                f"{' (confirmation)' if search.confirming else ''}",
                {
                    "rate": search.rate,
                    "planned": result.planned,
                    "completed": completed,
                    "backlog_slope": result.backlog_slope,
                    "lateness_p99_s": late,
                    "sustained": sustained,
                },
            )
        )
        if isinstance(engine.load, OpenExecutor):
            self._number = engine.load.next_number
        engine.load.over()
        self._clear_at = engine.loop.clock() + min(_CLEAR_S, engine.target.timeout_s)
        self._clear()

    def _clear(self) -> None:
        engine = self._engine
        if self._backlog() and engine.loop.clock() < self._clear_at:
            engine.loop.at(engine.loop.clock() + _PAUSE_S, self._clear)
            return
        engine.abandon()
        if self.search.done:
            engine.over()
        else:
            self.begin()
