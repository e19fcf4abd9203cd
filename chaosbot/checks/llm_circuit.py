"""While a provider is down, calls become rare: a circuit opens after some failures in a row, and lets a few through to see whether it is back.

Judged only where a run names it: a bot without a circuit is slow while its provider is down, and not wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._models import Broken, Call, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity

_LONG_S: Final = 5.0


@dataclass(frozen=True)
class LlmCircuit(ModelCheck):
    """Calls become rare during an outage."""

    on_demand: ClassVar[bool] = True

    failures: int = option("count", "failures in a row that open the circuit", 5, primary=True)
    most: float = option("frequency", "calls that may still be made", 2.0)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Looks at outages: spans in which no call was good."""
        span: list[Call] = []
        for call in [*models.calls, None]:
            if call is not None and not call.good:
                span.append(call)
                continue
            if len(span) >= 2 * self.failures and span[-1].start - span[0].start >= _LONG_S:
                began = span[self.failures - 1].start
                middle = (began + span[-1].start) / 2
                early = sum(one.start <= middle for one in span[self.failures :])
                rare = len(span) - self.failures <= (span[-1].start - began) * self.most
                yield (
                    None
                    if rare
                    else Broken(
                        RootCause("no-circuit"),
                        "calls a model that is down as often as one that is up",
                        Severity.LOW,
                        span[-1].called.exchange,
                        f"{len(span)} failed calls in a row, {early} of them in the first half",
                    )
                )
            span = []
