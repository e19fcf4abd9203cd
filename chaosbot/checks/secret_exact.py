"""Only the exact secret is the secret: no beginning of it, no other case, no padding.

A comparison that stops early or trims hands the secret out piece by piece.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chaosbot.checks._cases import CaseCheck, Violation, acts, cause_of, says, silently, telling
from chaosbot.checks._join import Announced
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import Judgement, Severity


@dataclass(frozen=True)
class SecretExact(CaseCheck):
    """Something that only resembles the secret is refused."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Cases with something like the secret."""
        return tried.check == self.name and telling(tried, seen)

    def relevant(self, history: History) -> Callable[[ApiCalled], bool]:
        """No announcement, which comes to whoever is known."""
        announced = history.worked_out(Announced)
        return lambda call: not announced(call)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """It was acknowledged or acted upon."""
        status = tried.outcome.status or 0
        effect = acts(tried, calls)
        allowed = tried.expect is not None and tried.expect.allows_status(status)
        if not effect and (allowed or not tried.outcome.ok):
            return None
        title = f"a wrong secret is accepted: {tried.summary or tried.case}"
        cause = cause_of(tried, "inexact" if effect else "accepted")
        instead = frozenset({replace(cause, symptom="inexact")})
        return Violation(cause, title, Severity.CRITICAL, tried.threat, says(tried), instead=instead)

    def judge(self, history: History) -> Judgement:
        """Who answers 2xx and does nothing has not taken it for the secret."""
        return silently(super().judge(history), history, "accepted")[0]
