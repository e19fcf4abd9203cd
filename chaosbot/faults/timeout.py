"""A black hole: nothing passes any more, and the connection is closed after a while or never.

The peer experiences a connection that stays open and says nothing: neither an answer nor an error. Only a timeout of its own saves
it. What was sent meanwhile is lost, so when the fault is lifted its connections are closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._directions import direction_option, directions
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect, Silence
from chaosbot.model.exchange import Depth, Exchange
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class Timeout(Fault):
    """Nothing passes any more."""

    depth: ClassVar[Depth] = Depth.BYTES

    after: float | None = option("duration", "when the connection is closed; without it: never", None, primary=True)
    direction: str = direction_option()

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One silence for each direction."""
        return tuple(Silence(way, self.after) for way in directions(self.direction))
