"""Bytes are damaged on their way: single bits flip, lengths stay.

The peer experiences a message that is no longer what was sent: broken JSON, a header with a strange name, a signature that does
not match. Which bits flip depends on the seed and on their place in the stream, so a run can be repeated. `skip` spares the
first bytes (a request line, say).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CorruptBytes, Effect
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class Corrupt(Fault):
    """Bytes are damaged on their way."""

    depth: ClassVar[Depth] = Depth.BYTES

    share: float = option("share", "probability that a byte is damaged", 0.01, primary=True)
    skip: int = option("size", "so many bytes pass unharmed first", 0)
    stream: str = stream_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One damage for each direction, on dice of its own."""
        return tuple(CorruptBytes(way, self.share, dice.at(way), self.skip) for way in streams_of(self.stream))
