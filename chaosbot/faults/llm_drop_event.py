"""One event of a stream is missing, as gateways lose them.

Nothing notices a missing piece of text. Without its beginning, its reason to stop or its last event, SDKs differ: some raise an
AssertionError or an AttributeError of their own, some end quietly with what they have.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import EditEvents, Effect
from chaosbot.core.exchange import Exchange
from chaosbot.core.registry import option
from chaosbot.faults._llm import CONTENT, LAST, REASON, StreamFault


@dataclass(frozen=True)
class LlmDropEvent(StreamFault):
    """A missing event."""

    which: str = option(
        "text",
        "a piece of content, the first event, what says why it ends, or the last",
        "content",
        primary=True,
        choices=("content", "first", "reason", "last"),
    )
    skip: int = option("count", "so many pieces of content pass before", 2)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One event less."""
        pattern = {"content": CONTENT, "first": b"", "reason": REASON, "last": LAST}[self.which]
        return (EditEvents(pattern, 0, self.skip if self.which == "content" else 0),)
