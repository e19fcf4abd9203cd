"""The connection is closed with a code of its own at a message.

1001 (going away), 1011 (internal error), 1012 (service restart) and 1013 (try again later) are what servers send when they are
deployed; RFC 6455, section 7.4, and the IANA registry list them. A client must reconnect with a growing, random pause.
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
class WsClose(Fault):
    """The connection closes with a code."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    code: int = option("count", "close code", 1011, primary=True)
    share: float = option("share", "share of the messages that meet it", 0.05)
    stream: str = option("text", "which way the messages run", "both", choices=STREAMS)

    def __post_init__(self) -> None:
        """Refuses codes that must not be sent."""
        if not (1000 <= self.code <= 4999 and self.code not in (1004, 1005, 1006, 1015)):
            raise ValueError(f"close code {self.code} must not be sent (RFC 6455, section 7.4); choose 1000 to 4999")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One disturbance for the whole connection."""
        return (DisturbMessages(MessageAction.CLOSE, self.share, dice, stream_of(self.stream), code=self.code),)
