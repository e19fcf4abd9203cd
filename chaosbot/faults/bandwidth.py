"""Bytes flow at a limited rate, paced on a clock.

The peer experiences a thin line: a body arrives in small portions and takes its size divided by the rate; a sender that does not
stop is slowed down by back pressure, as on a real line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, PaceBytes
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class Bandwidth(Fault):
    """Bytes flow at a limited rate."""

    depth: ClassVar[Depth] = Depth.BYTES

    rate: int = option("size", "bytes a second, for example 10KB", primary=True)
    stream: str = stream_option()

    def __post_init__(self) -> None:
        """Refuses a line on which nothing moves."""
        if self.rate < 1:
            raise ValueError("rate must be at least 1 byte a second; for a line on which nothing moves use timeout")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One pace for each direction."""
        return tuple(PaceBytes(way, float(self.rate)) for way in streams_of(self.stream))
