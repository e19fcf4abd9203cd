"""A stream that began well, with status 200, turns into an error.

No SDK tries again here, and the error's class is not the one of the HTTP status: it says 200, or nothing. OpenAI's Responses hand the
event to the program as any other. A bot must treat it as a failed call, and keep what it showed already from looking complete.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CutEvents, Effect
from chaosbot.core.exchange import Exchange
from chaosbot.core.registry import option
from chaosbot.faults._llm import StreamFault, error_event


@dataclass(frozen=True)
class LlmErrorEvent(StreamFault):
    """An error in the middle of a stream."""

    after: int = option("count", "events that pass before; 0 makes it the first", 5, primary=True)
    status: int = option("count", "what kind of error: 529 or 503 is overloaded, 500 an internal one", 529)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The error in place of the rest."""
        message = "Overloaded" if self.status in (503, 529) else "Internal server error"
        return (CutEvents(self.after, last=error_event(exchange, self.status, message)),)
