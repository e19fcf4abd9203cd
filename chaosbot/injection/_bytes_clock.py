"""A line that is looked after: its due times become timers of the loop, what it gives out is performed."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import assert_never

from chaosbot.core.effect import BytesEffect, StreamDirection
from chaosbot.injection._bytes_ends import Ends
from chaosbot.injection._bytes_line import Acted, Line
from chaosbot.injection._bytes_stages import Mark


class ClockedLine(ABC):
    """A line that is looked after: its due times become timers of the loop."""

    def __init__(
        self, stream: StreamDirection, ends: Ends, effects: tuple[BytesEffect, ...] = (), acted: Acted | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._line = Line(stream, self._loop.time(), acted)
        self._ends = ends
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        if effects:
            self.set_effects(effects)

    @property
    def held(self) -> int:
        """Bytes that wait inside."""
        return self._line.held

    def set_effects(self, effects: tuple[BytesEffect, ...]) -> None:
        """From now on these effects act, in this order; those of the other direction are ignored."""
        self._line.set_effects(effects, self._loop.time())
        self._pump()

    def admit(self) -> None:
        """Reports what effects have done so far, bytes that they still hold included."""
        self._line.admit(self._loop.time())

    def _pump(self) -> None:
        """Performs what is due and comes back when more is."""
        line = self._line
        for item in line.take(self._loop.time()):
            if isinstance(item, bytes):
                self._pass(item)
            else:
                self._mark(item)
        due = line.due()
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = self._due = None
        self._pump()

    def _mark(self, mark: Mark) -> None:
        """An end comes out."""
        self._perform(mark)

    def _perform(self, mark: Mark) -> None:
        """Performs an end."""
        match mark:
            case Mark.END:
                self._finished()
            case Mark.FIN:
                self._ends.close()
                self._over()
            case Mark.RST:
                self._ends.reset()
                self._over()
            case _:
                assert_never(mark)

    @abstractmethod
    def _pass(self, data: bytes) -> None:
        """Bytes come out."""

    @abstractmethod
    def _finished(self) -> None:
        """The source's end comes out."""

    @abstractmethod
    def _over(self) -> None:
        """FIN or RST was performed."""

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
