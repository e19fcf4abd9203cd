"""Whatever is sent, the process lives on.

A process that ended is charged to the case that ended it: it was sent again, alone, and ended the process again.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import Breach, CaseCheck, Facts, says, stem
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.verdict import Severity, Threat


@dataclass(frozen=True)
class NoDeath(CaseCheck):
    """Nothing that is sent ends the target's process."""

    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Every case."""
        return True

    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """Attribution saw the process end."""
        if "died" not in tried.notes:
            return None
        if "volley" in tried.notes:
            title = "the process ends while many cases are under way; none of them ends it alone"
            summary = f"the first of the volley: {tried.case}"
            return Breach("died:volley", title, Severity.HIGH, tried.threat, summary, stateful=True)
        severity = Severity.CRITICAL if tried.threat in (Threat.USER, Threat.FORGER) else Severity.HIGH
        title = f"the process ends on {tried.summary or tried.case}"
        return Breach(
            f"died:{stem(tried)}", title, severity, tried.threat, says(tried), stateful="volley" in tried.notes
        )
