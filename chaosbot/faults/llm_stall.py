"""A model falls silent in the middle of its answer, and goes on much later.

The user sees half a sentence or nothing at all. Read timeouts help only where nothing comes: with `pings` the provider's own signs of
life reset them, so that only a deadline for the whole call ends it. The timeouts of the JavaScript SDKs count until the headers only. A
call that does not stream is answered so much later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Point, StallEvents, Wait
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._llm import ANSWERS, generating, ping_of, streams


@dataclass(frozen=True)
class LlmStall(Fault):
    """Silence in the middle of an answer."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    possible_when: ClassVar[str] = ANSWERS

    time: float = option("duration", "how long it is silent", 120.0, primary=True)
    after: int = option("count", "events that pass before", 4)
    pings: float = option("duration", "time between signs of life meanwhile; 0 for none", 0.0)

    def possible(self, exchange: Exchange) -> bool:
        """A call to which a model answers, or a stream of events."""
        return streams(exchange) or generating(exchange) is not None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One silence."""
        if not streams(exchange):
            return (Wait(Point.AFTER, self.time),)
        return (StallEvents(self.after, self.time, ping_of(exchange) if self.pings else b"", self.pings),)
