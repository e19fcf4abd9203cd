"""An answer that streams ends too early: before it says why it ends, or in the middle of a line.

Of the four ends the clean one is the worst: official SDKs take what has come for the whole answer and raise nothing. A bot must look at
the reason to stop (`stop_reason`, `finish_reason`, `response.completed`) before it believes an answer, and say so or ask again where it
is missing. Of any other stream of events the first `after` events pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import CutEvents, Effect, Ending
from chaosbot.core.exchange import Exchange
from chaosbot.core.registry import option
from chaosbot.faults._llm import LAST, REASON, StreamFault


@dataclass(frozen=True)
class LlmCutStream(StreamFault):
    """A stream ends too early."""

    after: int = option(
        "count", "events that pass; with where=reason and where=last it does not count", 6, primary=True
    )
    where: str = option(
        "text",
        "after so many events; inside the next one's line; before the event that says why it ends; before the last",
        "events",
        choices=("events", "line", "reason", "last"),
    )
    end: str = option(
        "text",
        "clean: as if complete; fin, rst: inside the framing; eof: without framing",
        "clean",
        choices=tuple(Ending),
    )

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One cut."""
        ending = Ending(self.end)
        match self.where:
            case "reason":
                return (CutEvents(until=REASON, ending=ending),)
            case "last":
                return (CutEvents(until=LAST, ending=ending),)
            case _:
                return (CutEvents(self.after, keep_bytes=30 if self.where == "line" else 0, ending=ending),)
