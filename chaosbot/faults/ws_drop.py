"""Messages of a WebSocket are lost.

TCP loses nothing, brokers and overfull queues behind it do. Whoever counts sequence numbers notices and asks for a snapshot; whoever
does not shows wrong prices.
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
class WsDrop(Fault):
    """Messages are lost."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    share: float = option("share", "share of the messages that meet it", 0.1, primary=True)
    stream: str = option("text", "which way the messages run", "both", choices=STREAMS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.DROP, self.share, dice, stream_of(self.stream)),)
