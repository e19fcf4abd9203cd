"""A provider that says how long to wait is not called again before that.

Official SDKs obey `retry-after`; loops around them, and clients written by hand, often do not, and prolong the limit for every user of the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmRetryAfterObeyed(ModelCheck):
    """What a provider tells to wait is waited."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Looks at the next call for the same after each refusal with a time to wait."""
        for calls in models.same:
            for call, again in pairwise(calls):
                wait = call.called.retry_after_s
                if not wait:
                    continue
                waited = again.start - call.end
                early = waited < wait * 0.9
                yield (
                    None
                    if not early
                    else Broken(
                        RootCause("early"),
                        "calls a model again before the time that the provider told it to wait",
                        Severity.MEDIUM,
                        again.called.exchange,
                        f"told to wait {wait:g} s, called again after {waited:.2f} s",
                    )
                )
