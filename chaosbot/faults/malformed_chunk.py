"""An answer announces chunks and then sends something that is none.

Parsers must refuse it as a protocol error; one that hangs or takes the garbage as data is broken. WireMock knows it as
MALFORMED_RESPONSE_CHUNK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Point, SendRaw
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import POINTS


@dataclass(frozen=True)
class MalformedChunk(Fault):
    """A good head, then a chunk length that is none."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """Exact bytes."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        return (SendRaw(Point(self.point), head + b'5\r\n{"ok"\r\nZZ;' + dice.data(16).hex().encode() + b"\r\n"),)
