"""One exchange on its way through the proxy: what was decided, what happened, who answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from chaosbot.addons.resend import Copy
from chaosbot.addons.script import Script
from chaosbot.core.effect import BytesEffect, DisturbMessages, Farewell, SendAgain
from chaosbot.core.exchange import Exchange, UpdateFacts
from chaosbot.injection.engine import ArmedFault

TAP: Final = 64 * 1024
"""So much of the beginning and of the end of a streamed answer is kept, where it is read."""


@dataclass(eq=False)
class ExchangeContext:
    """One exchange on its way through the proxy.

    Args:
        exchange: What is known of it.
        started: When its request was complete (or its head, for one that is streamed), in seconds of the run.
        ordinal: How many exchanges of its direction came before it.
        flow: mitmproxy's flow.
        carrier: The connection that carries it.
        upstream: Where its listener leads; None when it says so itself.
        waited: For how many seconds before that faults held back what its client had sent.
    """

    exchange: Exchange
    started: float
    ordinal: int
    flow: Any
    carrier: Any
    upstream: tuple[str, int] | None
    waited: float = 0.0
    faults: list[ArmedFault] = field(default_factory=list)
    script: Script = field(default_factory=Script)
    status: int | None = None
    upstream_status: int | None = None
    by: str = "target"
    asked_upstream: bool = True
    byte_faults: list[tuple[ArmedFault, BytesEffect]] = field(default_factory=list)
    disturb: list[tuple[ArmedFault, DisturbMessages]] = field(default_factory=list)
    again: list[tuple[Copy, SendAgain]] = field(default_factory=list)
    messages: int = 0
    answered: bool = False
    over: bool = False
    began: float | None = None
    tap: bytearray = field(default_factory=bytearray)

    def taste(self, data: bytes) -> bytes:
        """Lets a piece of a streamed answer pass and keeps the beginning and the end of the whole."""
        self.tap += data
        if len(self.tap) > 2 * TAP:
            del self.tap[TAP:-TAP]
        return data

    @property
    def silenced(self) -> bool:
        """Whether its client waits for an answer that will not come; the fault acts until the client leaves."""
        return self.script.stops and self.script.farewell is Farewell.SILENCE


def about(facts: UpdateFacts | None) -> dict[str, Any]:
    """What the event of an exchange says of its update."""
    if facts is None:
        return {}
    names = ("update_id", "kind", "chat", "user", "command", "marker")
    return {name: getattr(facts, name) for name in names}
