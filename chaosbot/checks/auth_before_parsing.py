"""An invalid secret with a broken body is answered as the invalid secret alone.

Otherwise a stranger reaches the parser: its bugs and its cost are everybody's.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import CaseCheck, Violation, answered, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class AuthBeforeParsing(CaseCheck):
    """The secret is looked at before the body is."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Cases that combine an invalid secret with a body that would be refused by itself."""
        return tried.check == self.name and answered(tried)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """A refusal that tells about the body (2xx and 5xx are other checks')."""
        status = tried.outcome.status or 0
        if tried.expect is None or tried.expect.allows_status(status) or status // 100 != 4:
            return None
        title = f"reads the body before it checks the secret: answers {status} to {tried.summary or tried.case}"
        return Violation(RootCause("body-first"), title, Severity.MEDIUM, tried.threat, says(tried))
