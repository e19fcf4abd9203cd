"""A secret that was replaced signs nothing any more, and while it is being replaced both do.

A rotation is what follows a leak. A receiver that still takes the old secret has changed nothing; one that takes only one of two loses
deliveries until both sides have changed.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import CaseCheck, Violation, right, says, telling
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import RootCause, Severity, Threat

_NEEDS: Final = (
    "needs a secret that was replaced (CHAOSBOT_FORMER_SECRET), or a second one that is valid (CHAOSBOT_SECOND_SECRET)"
)


@dataclass(frozen=True)
class SecretsRotated(CaseCheck):
    """The former secret is dead and the second one alive."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """The deliveries that are signed with them."""
        return tried.check == self.name and telling(tried, seen)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The old one passed, or the second one did not."""
        if tried.threat is Threat.FORGER:
            if not tried.outcome.ok:
                return None
            return Violation(
                RootCause("former"), "a secret that was replaced still signs", Severity.HIGH, tried.threat, says(tried)
            )
        if tried.outcome.ok or right(tried, seen) or (tried.outcome.status or 0) >= 500:
            return None
        title = "refuses what is signed with the second of two valid secrets"
        return Violation(RootCause("second"), title, Severity.MEDIUM, tried.threat, says(tried))

    def silence(self, history: History) -> str | None:
        """Says which secret is missing, where none was tried."""
        tried = any(one.check == self.name for one in history.cases)
        return super().silence(history) or (None if tried else _NEEDS)
