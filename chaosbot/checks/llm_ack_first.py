"""A webhook is acknowledged before the model has answered, not after.

Models take seconds, sometimes minutes; platforms deliver again what is not acknowledged in time (Telegram after about a minute), and one chat's
updates wait behind each other. The answer is then paid twice and the chat is stuck.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmAckFirst(ModelCheck):
    """The webhook does not wait for the model."""

    slow: float = option("duration", "how long a call must take to tell", 2.0, primary=True)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Looks at updates whose calls took long enough to tell."""
        for marker, calls in models.by_marker.items():
            asked = models.asked.get(marker)
            slow = [call for call in calls if call.end - call.start >= self.slow]
            if asked is None or not slow:
                continue
            waited = asked.answered is None or asked.answered >= min(call.end for call in slow) - 0.05
            behind = asked.answered is None and min(call.start for call in slow) - asked.start > self.slow
            yield (
                None
                if not waited or behind
                else Broken(
                    RootCause("waits"),
                    "acknowledges an update only when the model has answered",
                    Severity.HIGH,
                    slow[0].called.exchange,
                    f"a call took {slow[0].end - slow[0].start:.1f} s, the acknowledgement "
                    + ("never came" if asked.answered is None else f"{asked.took_s:.1f} s"),
                )
            )
