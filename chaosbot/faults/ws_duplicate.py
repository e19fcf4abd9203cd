"""Messages of a WebSocket come twice.

It is what a broker does after a reconnect that resumes a little too early. A client
that adds amounts up, or counts messages, is wrong from then on; sequence numbers are there to be looked at.
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
class WsDuplicate(Fault):
    """Messages come twice."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    share: float = option("share", "share of the messages that meet it", 0.1, primary=True)
    stream: str = option("text", "which way the messages run", "both", choices=STREAMS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.DUPLICATE, self.share, dice, stream_of(self.stream)),)
