"""So many bytes pass, then the connection ends.

The peer experiences a message that breaks off: a body shorter than its Content-Length, then an orderly end (`fin`), a reset
(`rst`) or nothing more at all (`silence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CutAfter, Effect, Farewell
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class LimitData(Fault):
    """So many bytes pass, then the connection ends."""

    depth: ClassVar[Depth] = Depth.BYTES

    limit: int = option("size", "how many bytes pass", primary=True)
    farewell: str = option("text", "how the connection ends then", "fin", choices=tuple(Farewell))
    stream: str = stream_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One cut for each direction."""
        return tuple(CutAfter(way, self.limit, Farewell(self.farewell)) for way in streams_of(self.stream))
