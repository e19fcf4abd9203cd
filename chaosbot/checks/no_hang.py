"""Whatever is sent, an answer comes within bounds.

A request that is whole is answered in time. One that stalls the target was sent a second time, alone, before it is blamed.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import Breach, CaseCheck, Facts, says, stem
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.verdict import Severity, Threat


@dataclass(frozen=True)
class NoHang(CaseCheck):
    """Nothing that is sent keeps the target busy beyond the latency bound."""

    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Every case."""
        return True

    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """Attribution sent it again alone, and it was slow again."""
        if "hung" not in tried.notes:
            return None
        blocked = "blocked" in tried.notes
        what = "stalls, and everybody else with it," if blocked else "takes too long to answer"
        severity = Severity.HIGH if blocked and tried.threat is not Threat.NETWORK else Severity.MEDIUM
        # One request that blocks everybody is one mechanism, whichever text sets it off.
        bucket = "blocks-everybody" if blocked else f"slow:{stem(tried)}"
        return Breach(bucket, f"{what} on {tried.summary or tried.case}", severity, tried.threat, says(tried))
