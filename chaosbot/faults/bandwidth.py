"""Bytes flow at a limited rate, paced on a clock.

The peer experiences a thin line: a body arrives in small portions and takes its size divided by the rate; a sender that does not
stop is slowed down by back pressure, as on a real line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._directions import direction_option, directions
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect, PaceBytes
from chaosbot.model.exchange import Depth, Exchange
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class Bandwidth(Fault):
    """Bytes flow at a limited rate."""

    depth: ClassVar[Depth] = Depth.BYTES

    rate: int = option("size", "bytes a second, for example 10KB", primary=True)
    direction: str = direction_option()

    def __post_init__(self) -> None:
        """Refuses a line on which nothing moves."""
        if self.rate < 1:
            raise ValueError("rate must be at least 1 byte a second; for a line on which nothing moves use timeout")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One pace for each direction."""
        return tuple(PaceBytes(way, float(self.rate)) for way in directions(self.direction))
