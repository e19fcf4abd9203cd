"""A stream arrives in small pieces that fall inside lines, JSON and characters.

HTTP promises nothing about the pieces in which a body comes. Official SDKs survive one byte at a time; parsers written by hand decode
half a character, or half a line.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SplitEvents
from chaosbot.core.exchange import Exchange
from chaosbot.core.registry import option
from chaosbot.faults._llm import StreamFault


@dataclass(frozen=True)
class LlmSplit(StreamFault):
    """A stream in small pieces."""

    size: int = option("count", "bytes in each piece", 1, primary=True)
    pause: float = option("duration", "time between two pieces", 0.0)

    def __post_init__(self) -> None:
        """Refuses pieces of nothing."""
        if self.size < 1:
            raise ValueError("size must be at least 1")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """Pieces of one size."""
        return (SplitEvents(self.size, self.pause),)
