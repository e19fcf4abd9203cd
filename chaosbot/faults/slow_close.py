"""The end of a connection arrives late.

The peer has all bytes in time but waits for the close: a client that reads until the end of the stream hangs for so long, and
connections pile up on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._directions import direction_option, directions
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect, HoldClose
from chaosbot.model.exchange import Depth, Exchange
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class SlowClose(Fault):
    """The end of a connection arrives late."""

    depth: ClassVar[Depth] = Depth.BYTES

    delay: float = option("duration", "how long the end is held back", primary=True)
    direction: str = direction_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One hold for each direction."""
        return tuple(HoldClose(way, self.delay) for way in directions(self.direction))
