"""The connection is closed in good order without a single byte of an answer.

curl calls it "Empty reply from server" (error 52), Python's clients "remote end closed connection without response". It is what
a crashing worker behind a load balancer looks like. WireMock knows it as EMPTY_RESPONSE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._words import POINTS
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect, Farewell, HangUp, Point
from chaosbot.model.exchange import Depth, Exchange
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class EmptyReply(Fault):
    """No byte, then FIN."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """A FIN instead of an answer."""
        return (HangUp(Point(self.point), Farewell.FIN),)
