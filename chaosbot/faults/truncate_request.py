"""Only a part of the request's body reaches the upstream while Content-Length promises the whole.

The server behind sees a body that ends too early: a sender that was killed while it sent. Right answers are 400 or a closed
connection, soon; a server that waits for the rest until some timeout can be tied up by a few such requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CutBody, Effect, Farewell, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import ENDS


@dataclass(frozen=True)
class TruncateRequest(Fault):
    """The request's body is cut."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    keep: float = option("share", "share of the body that passes", 0.5, primary=True)
    farewell: str = option("text", "how the upstream's connection ends then", "fin", choices=ENDS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One cut."""
        return (CutBody(Side.REQUEST, self.keep, Farewell(self.farewell)),)
