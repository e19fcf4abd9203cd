"""Whatever is sent, an answer comes within bounds.

A request that is whole is answered in time. One that stalls the target was sent a second time, alone, before it is blamed.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import CaseCheck, Violation, cause_of, lacking, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Hung, observed
from chaosbot.core.verdict import RootCause, Severity, Threat


@dataclass(frozen=True)
class NoHang(CaseCheck):
    """Nothing that is sent keeps the target busy beyond the latency bound."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every case, but valid updates that have a deadline of their own (`deadline_kept`)."""
        return tried.group != "kinds" or tried.expect is None or tried.expect.within_s is None

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """Attribution sent it again alone, and it was slow again."""
        hung = observed(tried.observations, Hung)
        if hung is None:
            return None
        blocked = hung.blocked
        what = "stalls, and everybody else with it," if blocked else "takes too long to answer"
        severity = Severity.HIGH if blocked and tried.threat is not Threat.NETWORK else Severity.MEDIUM
        # One request that blocks everybody is one mechanism, whichever text sets it off.
        cause = RootCause("blocks-everybody") if blocked else cause_of(tried, "slow")
        title = f"{what} on {tried.summary or tried.case}"
        return Violation(cause, title, severity, tried.threat, says(tried), instead=lacking(tried, cause))
