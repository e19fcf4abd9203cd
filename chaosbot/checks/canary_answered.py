"""After whatever was sent, a valid update on a fresh connection is answered.

The health request shows what the case's own answer cannot: a target that answers the case and then serves nobody else any more.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import CaseCheck, Violation, cause_of, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Died, HealthLost, Hung, observed
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class CanaryAnswered(CaseCheck):
    """A valid update after each suspicious case is answered in time."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every case that a health request followed."""
        return tried.health_s is not None or observed(tried.observations, HealthLost) is not None

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The health request after it got no answer, though the process lives and its own answer blames nothing else."""
        lost = observed(tried.observations, HealthLost)
        if lost is None or any(isinstance(one, (Died, Hung)) for one in tried.observations):
            return None
        title = f"serves nobody any more after {tried.summary or tried.case}"
        summary = f"{says(tried)}; the health request after it was not answered"
        if lost.for_good:
            others = f"; under way as well: {', '.join(lost.beside)}" if lost.beside else ""
            summary += f", nor any other from then on{others}"
        cause = RootCause("lost", place="for-good") if lost.beside else cause_of(tried, "lost")
        return Violation(cause, title, Severity.CRITICAL, tried.threat, summary)
