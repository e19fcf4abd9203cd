"""An answer is paid once: an update that is delivered again costs no second answer, and nothing that came whole is asked again.

Platforms deliver again what is not acknowledged in time, and every answer costs money. Compared with updates of the same run that were
delivered once and met no fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmPaidOnce(ModelCheck):
    """No answer is paid twice."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Compares answers that came whole with what is usual for an update."""
        usual = max(
            (
                sum(call.paid for call in calls)
                for marker, calls in models.by_marker.items()
                if (asked := models.asked.get(marker)) is not None
                and asked.deliveries == 1
                and all(call.good and not call.faults for call in calls)
            ),
            default=1,
        )
        for marker, calls in models.by_marker.items():
            paid = [call.called.call for call in calls if call.good]
            asked = models.asked.get(marker)
            again = asked is not None and asked.deliveries > 1
            if not paid or not (again or len(paid) > 1):
                continue
            twice = len(paid) > max(usual, 1) if again else len(paid) > len(set(paid))
            yield (
                None
                if not twice
                else Broken(
                    RootCause("delivered-again" if again else "asked-again"),
                    "pays a second answer for an update that is delivered again"
                    if again
                    else "asks for an answer again that it has",
                    Severity.MEDIUM,
                    calls[-1].called.exchange,
                    f"{len(paid)} answers for one update; {usual} are usual",
                )
            )
