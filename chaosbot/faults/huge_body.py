"""The answer's body becomes enormous.

A client that reads answers whole runs out of memory; a careful one gives up at a bound of its own. The body is produced while it
is sent and never held. The bytes are blanks, which JSON allows before a value, so that parsers keep reading. Bots download files of up
to 20 MB; an API's answer of 10 MB to 1 GB is beyond everything that is right. An answer that streams is held until it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, StreamBody
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class HugeBody(Fault):
    """A body of this size, produced while it is sent."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    size: int = option("size", "length of the body", 10_000_000, primary=True)
    status: int = option("count", "status of the answer", 200)
    content_type: str = option("text", "its Content-Type", "application/json")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One body."""
        return (StreamBody(self.size, b" ", self.status, self.content_type),)
