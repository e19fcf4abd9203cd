"""A tool call that cannot be carried out ends in a word to the user.

Models call tools that there are not, with arguments that do not fit. A bot that raises there answers nothing; one that drops the call from
its history, or leaves it without a result, is refused by the provider from then on (`llm_history_valid`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import PATIENCE_S, Broken, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmBadToolSurvived(ModelCheck):
    """A bad tool call is survived."""

    within: float = option(
        "duration", "how long a user may wait for a word after the last call", PATIENCE_S, primary=True
    )

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Goes through updates whose model called a tool that cannot be carried out."""
        for marker, calls in models.by_marker.items():
            bad = [call for call in calls if "llm_bad_tool" in call.faults]
            if not bad:
                continue
            if models.replies(marker, bad[0].end):
                yield None
            elif models.end_s - calls[-1].end >= self.within:
                yield Broken(
                    RootCause("silent"),
                    "says nothing when a model calls a tool that cannot be carried out",
                    Severity.HIGH,
                    bad[0].called.exchange,
                    f"the model called {', '.join(bad[0].called.tools)}; nothing reached the user",
                )
