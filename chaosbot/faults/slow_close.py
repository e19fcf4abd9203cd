"""The end of a connection arrives late.

The peer has all bytes in time but waits for the close: a client that reads until the end of the stream hangs for so long, and
connections pile up on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, HoldClose
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class SlowClose(Fault):
    """The end of a connection arrives late."""

    depth: ClassVar[Depth] = Depth.BYTES

    delay: float = option("duration", "how long the end is held back", primary=True)
    stream: str = stream_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One hold for each direction."""
        return tuple(HoldClose(way, self.delay) for way in streams_of(self.stream))
