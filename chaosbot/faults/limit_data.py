"""So many bytes pass, then the connection ends.

The peer experiences a message that breaks off: a body shorter than its Content-Length, then an orderly end (`fin`), a reset
(`rst`) or nothing more at all (`silence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._directions import direction_option, directions
from chaosbot.model.dice import Dice
from chaosbot.model.effect import CutAfter, Effect, Farewell
from chaosbot.model.exchange import Depth, Exchange
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class LimitData(Fault):
    """So many bytes pass, then the connection ends."""

    depth: ClassVar[Depth] = Depth.BYTES

    limit: int = option("size", "how many bytes pass", primary=True)
    farewell: str = option("text", "how the connection ends then", "fin", choices=tuple(Farewell))
    direction: str = direction_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One cut for each direction."""
        return tuple(CutAfter(way, self.limit, Farewell(self.farewell)) for way in directions(self.direction))
