"""One update costs a bounded amount: loops of tools end, and a conversation does not grow without end.

A model that calls tools for ever, or a history that is sent whole each time, costs more with every turn, until the provider refuses it as
too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.prices import cost_of
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmSpendBounded(ModelCheck):
    """An update has a price that it cannot exceed."""

    most: float = option("number", "US dollars for one update, at the run's prices", 0.5, primary=True)
    rounds: int = option("count", "answers with calls of tools for one update", 10)
    turns: int = option("count", "turns in one call", 100)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Adds up each update's calls."""
        for calls in models.by_marker.values():
            cost = sum(cost_of(call.called, models.prices) for call in calls)
            turns = sum(bool(call.called.tools) for call in calls)
            longest = max(calls, key=lambda call: call.called.turns)
            if cost > self.most:
                why = ("cost", "an update costs more than it may", f"${cost:.2f} in {len(calls)} calls")
            elif turns > self.rounds:
                why = ("loop", "lets a model call tools again and again", f"{turns} calls of tools for one update")
            elif longest.called.turns > self.turns:
                why = (
                    "history",
                    "sends a history that grows without a bound",
                    f"{longest.called.turns} turns in one call",
                )
            else:
                yield None
                continue
            yield Broken(RootCause(why[0]), why[1], Severity.MEDIUM, longest.called.exchange, why[2])
