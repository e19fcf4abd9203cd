"""The timer that brings a transport back when a window of its rules opens or closes: to the moment, not by polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chaosbot.injection.engine import RuleEngine


class WindowTimer:
    """Calls `refresh` at every edge of the rules' windows, while it is started.

    Args:
        engine: Tells when the next edge is.
        refresh: Brings connections in line with the rules that are active now; it calls `restart`.
    """

    def __init__(self, engine: RuleEngine, refresh: Callable[[], None]) -> None:
        self._engine = engine
        self._refresh = refresh
        self._running = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins; needs a running loop. An edge that has passed meanwhile is made up for at once."""
        self._running = True
        self._refresh()

    def restart(self) -> None:
        """The plan, or the time, has changed: waits for the edge that is next now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay = self._engine.next_change() if self._running else None
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay, self._refresh)

    def stop(self) -> None:
        """Ends."""
        self._running = False
        self.restart()
