"""Messages of a WebSocket come late.

Order stays, as TCP promises, so one late message holds up those behind it. Feeds of market data pile up and then arrive at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import DisturbMessages, Effect, MessageAction
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import STREAMS, stream_of


@dataclass(frozen=True)
class WsDelay(Fault):
    """Messages are late."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    delay: float = option("duration", "how late", 0.5, primary=True)
    share: float = option("share", "share of the messages that meet it", 1.0)
    stream: str = option("text", "which way the messages run", "both", choices=STREAMS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.DELAY, self.share, dice, stream_of(self.stream), seconds=self.delay),)
