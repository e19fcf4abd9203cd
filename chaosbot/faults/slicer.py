"""Bytes arrive in small slices, with a pause after each.

The peer experiences reads that return a few bytes at a time: a header split in its middle, a JSON body in crumbs. Code that
takes one read for one message breaks; code that reads until the end does not notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SliceBytes
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class Slicer(Fault):
    """Bytes arrive in small slices."""

    depth: ClassVar[Depth] = Depth.BYTES

    size: int = option("size", "average size of a slice", primary=True)
    variation: int = option("size", "how much a slice may be larger or smaller", 0, primary=True)
    pause: float = option("duration", "pause after each slice", 0.0)
    stream: str = stream_option()

    def __post_init__(self) -> None:
        """Refuses slices of nothing."""
        if self.size < 1:
            raise ValueError("size must be at least 1 byte")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One knife for each direction, on dice of its own."""
        return tuple(
            SliceBytes(way, self.size, self.variation, self.pause, dice.at(way)) for way in streams_of(self.stream)
        )
