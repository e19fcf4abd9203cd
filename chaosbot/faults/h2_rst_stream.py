"""A stream of an HTTP/2 connection is reset (RST_STREAM) instead of answered; the others go on.

REFUSED_STREAM (7) may be repeated safely, INTERNAL_ERROR (2) and CANCEL (8) may not. Needs HTTP/2 (``--http2`` and TLS); nothing
happens on HTTP/1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SendH2Frame
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class H2RstStream(Fault):
    """RST_STREAM instead of an answer."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    error_code: int = option("count", "error code (RFC 9113, section 7)", 2, primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One frame."""
        return (SendH2Frame("RST_STREAM", self.error_code),)
