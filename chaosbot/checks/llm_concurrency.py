"""No more calls are under way at once than the bot says it allows.

Judged only where a run names it, since the bound is the bot's own promise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmConcurrency(ModelCheck):
    """A bound of calls at once."""

    on_demand: ClassVar[bool] = True

    most: int = option("count", "calls at once", 16, primary=True)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Counts the calls that are under way at each call's beginning."""
        starts = [call.start for call in models.calls]
        ends = sorted(call.end for call in models.calls)
        for call in models.calls:
            busy = bisect_right(starts, call.start) - bisect_right(ends, call.start)
            yield (
                None
                if busy <= self.most
                else Broken(
                    RootCause("crowd"),
                    "makes more calls of a model at once than it promises",
                    Severity.MEDIUM,
                    call.called.exchange,
                    f"{busy} at once; {self.most} are promised",
                )
            )
