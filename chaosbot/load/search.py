"""Performs a knee search: one step of constant arrivals after the other, each told to the run as a note."""

from __future__ import annotations

from typing import Final

from chaosbot.load.engine import Engine
from chaosbot.load.open import Open
from chaosbot.model.event import Noted
from chaosbot.model.knee import KneeSearch, StepResult
from chaosbot.model.pacer import Pacer

_PAUSE_S: Final = 0.05
_CLEAR_S: Final = 5.0
"""After an overloaded step its backlog gets this long to drain; what is left then would spoil the next one."""


class Steps:
    """The steps of one search.

    Args:
        engine: Whose workload is exchanged step by step.
        search: The search before its first step.
    """

    def __init__(self, engine: Engine, search: KneeSearch) -> None:
        self._engine = engine
        self.search = search
        self._number = 0
        self._from = (0, 0)
        self._half = 0
        self._clear_at = 0.0
        engine.begin = self.begin

    def begin(self) -> None:
        """Starts a step."""
        engine, hub = self._engine, self._engine.hub
        start = hub.clock() + _PAUSE_S
        self._from = self._counts()
        hold = self.search.hold_s
        engine.load = engine.build(Pacer.constant(self.search.rate, hold), start, self._number)
        engine.load.begin()
        hub.at(start + hold / 2, self._halfway)
        hub.at(start + hold, self._judge)

    def _counts(self) -> tuple[int, int]:
        total, now = self._engine.recorder.total, self._engine.recorder.now
        return total.planned + now.planned, total.completed + now.completed

    def _backlog(self) -> int:
        return self._engine.recorder.in_flight + self._engine.load.waiting

    def _halfway(self) -> None:
        self._half = self._backlog()

    def _judge(self) -> None:
        engine, search = self._engine, self.search
        planned, completed = (after - before for after, before in zip(self._counts(), self._from, strict=True))
        # What is on its way at the step's end is no failure as long as it is no more than was at its middle.
        backlog = self._backlog()
        result = StepResult(planned, completed + min(backlog, self._half), (backlog - self._half) / (search.hold_s / 2))
        self.search = search.after(result)
        engine.outside.emit(
            Noted(
                engine.hub.clock() - engine.origin,
                "knee",
                f"{search.rate:g}/s {'sustained' if result.sustained(search.rate) else 'not sustained'}"
                f"{' (confirmation)' if search.confirming else ''}",
                {
                    "rate": search.rate,
                    "planned": planned,
                    "completed": completed,
                    "backlog_slope": result.backlog_slope,
                    "sustained": result.sustained(search.rate),
                },
            )
        )
        if isinstance(engine.load, Open):
            self._number = engine.load.next_number
        engine.load.over()
        self._clear_at = engine.hub.clock() + min(_CLEAR_S, engine.target.timeout_s)
        self._clear()

    def _clear(self) -> None:
        engine = self._engine
        if self._backlog() and engine.hub.clock() < self._clear_at:
            engine.hub.at(engine.hub.clock() + _PAUSE_S, self._clear)
            return
        engine.abandon()
        if self.search.done:
            engine.over()
        else:
            self.begin()
