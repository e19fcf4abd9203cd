"""The connection is closed in good order without a single byte of an answer.

curl calls it "Empty reply from server" (error 52), Python's clients "remote end closed connection without response". It is what
a crashing worker behind a load balancer looks like. WireMock knows it as EMPTY_RESPONSE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Farewell, HangUp, Point
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import POINTS


@dataclass(frozen=True)
class EmptyReply(Fault):
    """No byte, then FIN."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """A FIN instead of an answer."""
        return (HangUp(Point(self.point), Farewell.FIN),)
