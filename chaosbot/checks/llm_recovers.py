"""Once the provider is well again, users get answers as before.

A circuit that stays open, a pool of calls that never ended, or a history that the provider refuses outlasts the outage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity

_FEW: Final = 10
_SETTLED_S: Final = 2.0


@dataclass(frozen=True)
class LlmRecovers(ModelCheck):
    """Answers come back."""

    within: float = option("duration", "how long it may take", 5.0, primary=True)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Compares the share of updates that got a model's answer, before the first fault and after the last."""
        troubled = [call for call in models.calls if call.faults]
        if not troubled:
            return
        first = troubled[0].start
        last = max(call.end for call in troubled)
        driven = any(asked.load for asked in models.asked.values())  # a campaign after the load has its own ways
        before = [
            marker for marker, asked in models.asked.items() if asked.load >= driven and asked.start < first - 0.5
        ]
        after = [
            marker
            for marker, asked in models.asked.items()
            if asked.load >= driven and last + self.within < asked.start < models.end_s - _SETTLED_S
        ]
        if len(before) < _FEW or len(after) < _FEW:
            return

        def share(markers: list[str]) -> float:
            # What never leads to a call counts on both sides alike.
            return sum(any(one.answers for one in models.replies(marker)) for marker in markers) / len(markers)

        usual, now = share(before), share(after)
        yield (
            None
            if now >= 0.7 * usual
            else Broken(
                RootCause("gone"),
                "gives fewer answers than before once the provider is well again",
                Severity.HIGH,
                troubled[-1].called.exchange,
                f"{now:.0%} of the updates got a model's answer, {usual:.0%} before",
            )
        )
