"""The keep-alive connection is closed unannounced after an answer.

The client finds out when it sends its next request on it. Pools that check only "is it in the pool" lose that request; a POST
must not be repeated blindly. Idle timeouts of load balancers (60 s with many) do it every day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CloseIdle, Effect, Farewell
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import ENDS


@dataclass(frozen=True)
class StaleKeepalive(Fault):
    """The connection closes after the answer, without a word."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    after: float = option("duration", "how long after the answer", 0.0, primary=True)
    farewell: str = option("text", "how it ends", "fin", choices=ENDS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One end after the answer."""
        return (CloseIdle(self.after, Farewell(self.farewell)),)
