"""The client's connection ends in the middle of an exchange, by FIN or by a real RST.

A client sees "connection reset by peer" or an answer that breaks off. Placed ``before``, the upstream never hears of the
request; placed ``after``, it has acted. With ``after_bytes`` the first bytes of the answer (head included) pass. ``silence``
leaves the connection open without an answer, so that the client meets its own timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core import effect
from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Farewell, Point
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import ENDS, POINTS


@dataclass(frozen=True)
class HangUp(Fault):
    """The connection ends instead of an answer."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    farewell: str = option("text", "how the connection ends", "rst", choices=ENDS, primary=True)
    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)
    after_bytes: int = option("size", "bytes of the answer that pass first (needs point = after)", 0)

    def __post_init__(self) -> None:
        """Refuses to pass bytes of an answer that does not exist."""
        if self.after_bytes and self.point == Point.BEFORE:
            raise ValueError("after_bytes counts bytes of the upstream's answer; set point = after")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One end of the connection."""
        return (effect.HangUp(Point(self.point), Farewell(self.farewell), self.after_bytes),)
