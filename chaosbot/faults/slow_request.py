"""The request trickles to the upstream, its head included (a "slowloris").

The server behind keeps a connection and often a worker busy for nothing. A server with a bound on the time for a head and a body
answers 408 or closes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Dribble, Effect, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class SlowRequest(Fault):
    """The request trickles."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    chunk: int = option("size", "bytes at a time", 16, primary=True)
    pause: float = option("duration", "pause between them", 0.1)

    def __post_init__(self) -> None:
        """Refuses chunks of nothing."""
        if self.chunk < 1:
            raise ValueError("chunk must be at least 1 byte")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One trickle."""
        return (Dribble(Side.REQUEST, self.chunk, self.pause),)
