"""Failing calls are made again a few times and not for ever: few attempts for an update, and not many times the usual number of calls.

An SDK makes three attempts; a loop of three around it makes nine, and a platform that delivers again multiplies them once more, just when the
provider can stand it least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmRetryBounded(ModelCheck):
    """Few attempts for one update."""

    most: int = option("count", "failed calls for one update", 6, primary=True)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Counts the calls of updates of which some failed."""
        calm = [len(calls) for calls in models.by_marker.values() if all(call.good for call in calls)]
        usual = sum(calm) / len(calm) if calm else 1.0
        for calls in models.by_marker.values():
            failed = [call for call in calls if not call.good and not call.called.tools]
            if not failed:
                continue
            most = max(self.most, round(3.2 * usual))
            yield (
                None
                if len(failed) <= most
                else Broken(
                    RootCause("storm"),
                    "calls a failing model many times for one update",
                    Severity.HIGH,
                    failed[-1].called.exchange,
                    f"{len(failed)} failed calls for one update; {usual:.1f} calls are usual",
                )
            )
