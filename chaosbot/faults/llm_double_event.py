"""One event of a stream comes twice, as behind gateways that try again.

SDKs hand on both: a word stands twice in the text, or a tool's arguments are no JSON any more. A bot cannot see it; it must survive it.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import EditEvents, Effect
from chaosbot.core.exchange import Exchange
from chaosbot.core.registry import option
from chaosbot.faults._llm import CONTENT, StreamFault


@dataclass(frozen=True)
class LlmDoubleEvent(StreamFault):
    """An event twice."""

    skip: int = option("count", "so many pieces of content pass before", 2, primary=True)
    times: int = option("count", "how often it comes", 2)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One event more."""
        return (EditEvents(CONTENT, self.times, self.skip),)
