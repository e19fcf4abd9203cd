"""Messages of a WebSocket come twice.

It is what a broker does after a reconnect that resumes a little too early. A client
that adds amounts up, or counts messages, is wrong from then on; sequence numbers are there to be looked at.
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
class WsDuplicate(Fault):
    """Messages come twice."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    share: float = option("share", "share of the messages that meet it", 0.1, primary=True)
    direction: str = option("text", "which way the messages run", "both", choices=DIRECTIONS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.DUPLICATE, self.share, dice, direction_of(self.direction)),)
