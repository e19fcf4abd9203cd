"""Messages of a WebSocket come late.

Order stays, as TCP promises, so one late message holds up those behind it. Feeds of market data pile up and then arrive at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._words import DIRECTIONS, direction_of
from chaosbot.model.dice import Dice
from chaosbot.model.effect import DisturbMessages, Effect, MessageAction
from chaosbot.model.exchange import Depth, Exchange
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class WsDelay(Fault):
    """Messages are late."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    delay: float = option("duration", "how late", 0.5, primary=True)
    share: float = option("share", "share of the messages that meet it", 1.0)
    direction: str = option("text", "which way the messages run", "both", choices=DIRECTIONS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (
            DisturbMessages(MessageAction.DELAY, self.share, dice, direction_of(self.direction), seconds=self.delay),
        )
