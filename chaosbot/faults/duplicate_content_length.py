"""The answer carries two Content-Length headers that contradict each other.

RFC 9112, section 6.3, calls it unrecoverable: a client must refuse the answer. Which of the two a lenient one believes is what
request smuggling is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CloseIdle, Effect, SetHeader, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class DuplicateContentLength(Fault):
    """A second Content-Length."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    length: int = option("size", "what the second one says", 1, primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One more header."""
        return (SetHeader(Side.RESPONSE, "content-length", str(self.length), add=True), CloseIdle())
