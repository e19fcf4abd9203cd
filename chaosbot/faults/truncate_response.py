"""Only a part of the answer's body arrives while Content-Length promises the whole.

Clients see an incomplete read or a connection reset in the middle of JSON; one that parses what it got shows a parser's error
far from the cause. The upstream has acted. An answer that streams is held until it has ended: its length must be known.
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
class TruncateResponse(Fault):
    """The answer's body is cut."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    keep: float = option("share", "share of the body that passes", 0.5, primary=True)
    farewell: str = option("text", "how the connection ends then", "fin", choices=ENDS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One cut."""
        return (CutBody(Side.RESPONSE, self.keep, Farewell(self.farewell)),)
