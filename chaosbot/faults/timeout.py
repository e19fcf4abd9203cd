"""A black hole: nothing passes any more, and the connection is closed after a while or never.

The peer experiences a connection that stays open and says nothing: neither an answer nor an error. Only a timeout of its own saves
it. What was sent meanwhile is lost, so when the fault is lifted its connections are closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Silence
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class Timeout(Fault):
    """Nothing passes any more."""

    depth: ClassVar[Depth] = Depth.BYTES

    after: float | None = option(
        "duration", "closed so long after the last bytes came; without it: never", None, primary=True
    )
    stream: str = stream_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One silence for each direction."""
        return tuple(Silence(way, self.after) for way in streams_of(self.stream))
