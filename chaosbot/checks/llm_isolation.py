"""A user whose call stalls does not hold up the others.

One queue, one lock, or a small pool for all users turns a single silent stream into silence for everybody. Compared: how soon users get
their answer while others stall, and otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity

_STALL_S: Final = 2.0
_FEW: Final = 5


@dataclass(frozen=True)
class LlmIsolation(ModelCheck):
    """Stalled users do not hold up others."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Compares the time to the first reply of users whose calls were not harmed."""
        stalls = [
            (call.start, call.end)
            for call in models.calls
            if call.faults and not call.refused and call.end - call.start >= _STALL_S
        ]
        calm: list[float] = []
        beside: list[tuple[float, str]] = []
        for marker, calls in models.by_marker.items():
            asked = models.asked.get(marker)
            if asked is None or any(call.faults for call in calls):
                continue
            first = min((one.t for one in models.replies(marker, asked.start)), default=None)
            if first is None:
                continue
            if any(start + 0.5 < asked.start < end - 0.5 for start, end in stalls):
                beside.append((first - asked.start, calls[0].called.exchange))
            else:
                calm.append(first - asked.start)
        if len(calm) < _FEW or len(beside) < _FEW:
            return
        usual, held = median(calm), median(took for took, _ in beside)
        yield (
            None
            if held <= max(3 * usual, usual + _STALL_S)
            else Broken(
                RootCause("held-up"),
                "answers nobody while one user's call of a model stalls",
                Severity.HIGH,
                max(beside)[1],
                f"{held:.1f} s until the answer while others stall, {usual:.1f} s otherwise",
            )
        )
