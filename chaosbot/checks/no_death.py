"""Whatever is sent, the process lives on.

A process that ended is charged to the case that ended it: it was sent again, alone, and ended the process again.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import CaseCheck, Violation, cause_of, lacking, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Died, observed
from chaosbot.core.verdict import RootCause, Severity, Threat


@dataclass(frozen=True)
class NoDeath(CaseCheck):
    """Nothing that is sent ends the target's process."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every case."""
        return True

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """Attribution saw the process end."""
        died = observed(tried.observations, Died)
        if died is None:
            return None
        severity = Severity.CRITICAL if tried.threat in (Threat.USER, Threat.FORGER) else Severity.HIGH
        if died.for_good:
            title = f"the process ends on {tried.summary or tried.case}, and does not come back"
            others = f"; under way as well: {', '.join(died.beside)}" if died.beside else "; nothing else was under way"
            cause = RootCause("died", place="for-good") if died.beside else cause_of(tried, "died")
            how = "; charged to it because its answer never came when the process ended (it could not be sent again)"
            return Violation(
                cause, title, severity, tried.threat, says(tried) + how + others, stateful=bool(died.beside)
            )
        if not died.alone:
            title = "the process ends while many cases are under way; none of them ends it alone"
            summary = f"the first of the volley: {tried.case}"
            return Violation(
                RootCause("died", place="volley"), title, Severity.HIGH, tried.threat, summary, stateful=True
            )
        title = f"the process ends on {tried.summary or tried.case}"
        cause = cause_of(tried, "died")
        return Violation(cause, title, severity, tried.threat, says(tried), instead=lacking(tried, cause))
