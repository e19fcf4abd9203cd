"""A real RST ends the connection, on both sides.

The peer experiences ECONNRESET, not an orderly end: `connect` resets the connection at once, `before` when the request's first
byte has come (the upstream sees nothing of it), `after` when the upstream has answered (it has acted, the client cannot know).
A peer that closes before it has sent a byte is answered with a RST too.
With `at_byte` so many bytes of the request (`before`) or of the answer (`after`) pass first: a reset in the middle of a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, ResetConnection, StreamDirection
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class ResetPeer(Fault):
    """A real RST ends the connection."""

    depth: ClassVar[Depth] = Depth.BYTES

    when: str = option(
        "text",
        "at once, when the request comes, or when the answer comes",
        "before",
        choices=("connect", "before", "after"),
        primary=True,
    )
    at_byte: int = option("size", "so many bytes of the request (before) or the answer (after) pass first", 0)
    delay: float = option("duration", "wait so long before the reset", 0.0)

    def __post_init__(self) -> None:
        """Refuses a byte count where no bytes are waited for."""
        if self.when == "connect" and self.at_byte:
            raise ValueError("at_byte has no meaning with when = connect; use before or after")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One reset, set off by the clock or by bytes of one direction."""
        match self.when:
            case "connect":
                return (ResetConnection(StreamDirection.UP, self.delay),)
            case "before":
                return (ResetConnection(StreamDirection.UP, self.delay, self.at_byte),)
            case _:
                return (ResetConnection(StreamDirection.DOWN, self.delay, self.at_byte),)
