"""An HTTP/2 connection is told to go away (GOAWAY).

Servers send it before they restart. Requests above its last stream id were not processed and may be repeated; a client that
treats all of them as failed, or repeats all of them, is wrong. Needs HTTP/2 (``--http2`` and TLS); nothing happens on HTTP/1.
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
class H2Goaway(Fault):
    """GOAWAY on the client's connection."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    error_code: int = option("count", "error code (RFC 9113, section 7)", 0, primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One frame."""
        return (SendH2Frame("GOAWAY", self.error_code),)
