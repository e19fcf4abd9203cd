"""A request without the secret is refused and has no effect.

Whoever reaches the URL could otherwise speak as any user, the admin included.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import CaseCheck, Violation, answered, cause_of, forged, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import Severity


@dataclass(frozen=True)
class ForgedRefused(CaseCheck):
    """What is not signed or carries no secret is refused, and nothing happens."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Forged cases, except those that look at how exactly the secret is compared."""
        return forged(tried) and tried.check != "secret_exact" and answered(tried)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """It had an effect, or it was acknowledged."""
        # Only the marker counts here: the chat of a forged request may be somebody's real one.
        if any(tried.marker in call.markers for call in calls):
            title = f"a forged request takes effect: {tried.summary or tried.case}"
            return Violation(cause_of(tried, "effect"), title, Severity.CRITICAL, tried.threat, says(tried))
        status = tried.outcome.status or 0
        if status // 100 != 2 or (tried.expect is not None and tried.expect.allows_status(status)):
            return None
        title = f"a forged request is accepted: {tried.summary or tried.case}"
        return Violation(cause_of(tried, "accepted"), title, Severity.HIGH, tried.threat, says(tried))
