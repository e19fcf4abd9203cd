"""The answer's body trickles: a few bytes, a pause, a few bytes …

Timeouts that count from the last byte never fire; only a bound on the whole answer helps. WireMock knows it as "chunked dribble
delay".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core import effect
from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Dribble(Fault):
    """The answer's body trickles."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    chunk: int = option("size", "bytes at a time", 16, primary=True)
    pause: float = option("duration", "pause between them", 0.1)

    def __post_init__(self) -> None:
        """Refuses chunks of nothing."""
        if self.chunk < 1:
            raise ValueError("chunk must be at least 1 byte")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One trickle."""
        return (effect.Dribble(Side.RESPONSE, self.chunk, self.pause),)
