"""What the parts of the exchange engine need of each other; they know this and not the engine, which knows them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from chaosbot.addons._mitm import Carrier
from chaosbot.addons.exchange_context import ExchangeContext
from chaosbot.addons.spec import ProxySpec
from chaosbot.core.event import Event
from chaosbot.injection.engine import ArmedFault, RuleEngine


class Services(Protocol):
    """One worker's exchange engine, as its parts see it."""

    spec: ProxySpec
    rules: RuleEngine

    def emit(self, event: Event, /) -> None:
        """Takes an event."""

    def now(self) -> float:
        """Seconds of the run."""

    def note(self, area: str, text: str, data: dict[str, Any]) -> None:
        """Records something that is no fault."""

    def broke(self, where: str, error: BaseException) -> None:
        """Records an unexpected exception; the run cannot be a pass."""

    def error_of(self, context: ExchangeContext, status: int) -> bytes | None:
        """The body of the upstream's own error of this status; None where no mock knows it."""

    def applied(self, armed: ArmedFault, context: ExchangeContext, detail: str) -> None:
        """A fault physically happened to an exchange."""

    async def pause(self, seconds: float, carrier: Carrier, begun: float = ...) -> None:
        """Waits, unless the client leaves or everything is released."""

    def finish(self, context: ExchangeContext) -> None:
        """The exchange is over, as far as its client will see."""

    def end(self, armed: Iterable[ArmedFault]) -> None:
        """These faults act no longer."""
