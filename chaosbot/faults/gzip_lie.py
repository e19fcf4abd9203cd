"""The answer says ``Content-Encoding: gzip`` and is not compressed.

Clients fail in their decompressor, often with an exception of another kind than for a bad answer, which then escapes the bot's
error handling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetHeader, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class GzipLie(Fault):
    """Content-Encoding lies."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    encoding: str = option("text", "what Content-Encoding says", "gzip", primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """A header."""
        return (SetHeader(Side.RESPONSE, "content-encoding", self.encoding),)
