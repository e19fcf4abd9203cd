"""A byte of a message is changed; the frame stays whole.

JSON inside no longer parses, or parses as something else. A text frame that is no UTF-8 must be answered by closing with 1007.
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
class WsCorrupt(Fault):
    """A byte changes."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    share: float = option("share", "share of the messages that meet it", 0.1, primary=True)
    stream: str = option("text", "which way the messages run", "both", choices=STREAMS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.CORRUPT, self.share, dice, stream_of(self.stream)),)
