"""What the parts of an engine need of it; they know this and not the engine, which knows them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from chaosbot.addons._mitm.connection import Handler
from chaosbot.addons.spec import ProxySpec
from chaosbot.core.event import Event
from chaosbot.injection.recorder import Ledger
from chaosbot.injection.visit import Fired, Visit


class Hub(Protocol):
    """One worker's engine, as its parts see it."""

    spec: ProxySpec
    ledger: Ledger

    def emit(self, event: Event, /) -> None:
        """Takes an event."""

    def now(self) -> float:
        """Seconds of the run."""

    def note(self, area: str, text: str, data: dict[str, Any]) -> None:
        """Records something that is no fault."""

    def broke(self, where: str, error: BaseException) -> None:
        """Records what nobody foresaw; the run cannot be a pass."""

    async def pause(self, seconds: float, handler: Handler) -> None:
        """Waits, unless the client leaves or everything is released."""

    def finish(self, visit: Visit) -> None:
        """The exchange is over, as far as its client will see."""

    def end(self, fired: Iterable[Fired]) -> None:
        """These faults act no longer."""
