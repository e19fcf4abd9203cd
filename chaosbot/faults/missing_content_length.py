"""The answer has a body, no Content-Length and no chunks; it ends with the connection.

Right by RFC 9112, section 6.3, and still a surprise to clients that insist on a length. The connection closes after the body, as
it must.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CloseIdle, Effect, SetHeader, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault


@dataclass(frozen=True)
class MissingContentLength(Fault):
    """No Content-Length; the body ends with the connection."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """A header less."""
        return (SetHeader(Side.RESPONSE, "content-length", None), CloseIdle())
