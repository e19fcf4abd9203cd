"""A frame breaks off in its middle and the connection ends.

The process on the other side was killed while it wrote. The message is incomplete and must not be used; the client must notice the
end and reconnect.
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
class WsHalfFrame(Fault):
    """Half a frame, then the end."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    share: float = option("share", "share of the messages that meet it", 0.05, primary=True)
    direction: str = option("text", "which way the messages run", "both", choices=DIRECTIONS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.HALF_FRAME, self.share, dice, direction_of(self.direction)),)
