"""A frame breaks off in its middle and the connection ends.

The process on the other side was killed while it wrote. The message is incomplete and must not be used; the client must notice the
end and reconnect.
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
class WsHalfFrame(Fault):
    """Half a frame, then the end."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    share: float = option("share", "share of the messages that meet it", 0.05, primary=True)
    stream: str = option("text", "which way the messages run", "both", choices=STREAMS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.HALF_FRAME, self.share, dice, stream_of(self.stream)),)
