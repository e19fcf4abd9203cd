"""A model that falls silent is given up: there is a deadline for the whole call, and it is shorter than a user's patience.

SDKs wait ten minutes by default, three times; a silent stream holds a task, a connection and whatever stands behind them in its queue. The
time that an SDK announces in its requests is judged without waiting for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmTimeout(ModelCheck):
    """Silent models are given up."""

    within: float = option("duration", "the longest that a call may be waited for", 25.0, primary=True)
    announced: float = option("duration", "the longest read timeout that an SDK may announce", 120.0)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Looks at how long calls were waited for, and what their SDKs say that they would wait."""
        for call in models.calls:
            over = call.seen is not None
            waited = (call.end if over else models.end_s) - call.start
            held = waited > self.within and bool(call.faults)
            announced = call.called.read_timeout_s or 0.0
            if held:
                yield Broken(
                    RootCause("no-timeout"),
                    "still waits for a model that has been silent for a long time",
                    Severity.HIGH,
                    call.called.exchange,
                    f"{waited:.0f} s{'' if over else ' and not over'}",
                )
            elif announced > self.announced:
                yield Broken(
                    RootCause("patient"),
                    "would wait minutes for a model that falls silent",
                    Severity.LOW,
                    call.called.exchange,
                    f"its SDK says that it waits {announced:g} s for the next byte, in each of its attempts",
                )
            else:
                yield None
