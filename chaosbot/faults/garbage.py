"""Random bytes instead of an HTTP answer, then the end of the connection.

Every client must report a protocol error and drop the connection; one that keeps it reads the rest as its next answer. WireMock knows it as RANDOM_DATA_THEN_CLOSE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Point, SendRaw
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import POINTS

_LONGEST_DRAW: Final = 1 << 16


@dataclass(frozen=True)
class Garbage(Fault):
    """Random bytes, then FIN."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    size: int = option("size", "how many bytes", 64, primary=True)
    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """Exact bytes, drawn from the dice; what is longer than the longest draw is that draw again and again."""
        data = dice.data(min(max(1, self.size), _LONGEST_DRAW))
        return (SendRaw(Point(self.point), data, count=self.size if self.size > _LONGEST_DRAW else None),)
