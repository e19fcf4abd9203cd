"""What a provider refuses for good is not asked again: a bad request, a wrong key, a retired model, an empty account.

Such calls fail however often they are made, and keep the user waiting. SDKs try a quota's 429 again twice by themselves, which is let pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity

_FOR_GOOD: Final = frozenset({400, 401, 402, 403, 404, 413, 422})
_EMPTY: Final = frozenset({"insufficient_quota", "enforced_spend_limit_reached", "credit_balance_exhausted"})


@dataclass(frozen=True)
class LlmNotRetried(ModelCheck):
    """Refusals for good are final."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Counts attempts at the same after a refusal for good."""
        for calls in models.same:
            for number, call in enumerate(calls):
                called = call.called
                quota = called.status == 429 and called.error in _EMPTY
                if called.status not in _FOR_GOOD and not quota:
                    continue
                # The SDK's own attempts count on from the first; the application's begin at 1 again.
                rest = [one for one in calls[number + 1 :] if not (quota and one.called.attempt > 1)]
                yield (
                    None
                    if not rest
                    else Broken(
                        RootCause("again", place=str(called.status)),
                        f"makes a call again that was refused for good ({called.error or called.status})",
                        Severity.MEDIUM,
                        rest[0].called.exchange,
                        f"{len(rest)} more calls for the same after status {called.status}",
                    )
                )
                break
