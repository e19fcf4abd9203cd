"""The answer's Content-Length says something else than its body.

A length above the body's makes the client wait for bytes that never come, until the connection closes; one below leaves bytes
on the connection that the next exchange would read as its answer.
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
class WrongContentLength(Fault):
    """Content-Length lies."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    length: int = option("size", "what Content-Length says", 1_000_000, primary=True)
    close: bool = option("flag", "close the connection after the body; otherwise the client is left waiting", True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """A header, and the end of the connection."""
        lie = SetHeader(Side.RESPONSE, "content-length", str(self.length))
        return (lie, CloseIdle()) if self.close else (lie,)
