"""Malformed requests with the right secret meet the policy that was chosen: rejected with 4xx, or acknowledged.

With ``any`` both are right and only their consistency with the rest of the checks counts; then nothing is judged here.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import CaseCheck, Violation, answered, cause_of, overloaded, says, sight
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import Judgement, Severity, Threat, Verdict


@dataclass(frozen=True)
class MalformedPolicy(CaseCheck):
    """Malformed requests are answered as ``--malformed`` says."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Genuine requests whose body no correct parser accepts."""
        if seen.malformed == "any" or tried.expect is None or tried.threat is Threat.FORGER or not answered(tried):
            return False
        return not tried.expect.allows_status(200)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """2xx where refusal was chosen, 4xx where acknowledgement was."""
        status = tried.outcome.status or 0
        if status >= 500 or overloaded(tried):
            return None
        if seen.malformed == "reject" and tried.outcome.ok:
            title = f"acknowledges what the policy says to reject: {tried.summary or tried.case}"
        elif seen.malformed == "ack" and status // 100 == 4 and not tried.outcome.ok:
            title = f"rejects what the policy says to acknowledge: {tried.summary or tried.case}"
        else:
            return None
        return Violation(cause_of(tried, seen.malformed), title, Severity.LOW, tried.threat, says(tried))

    def judge(self, history: History) -> Judgement:
        """Like every case check, but `any` is a choice, not a gap."""
        if history.cases and sight(history).malformed == "any":
            return Judgement(self.name, Verdict.PASS, reason="--malformed any: both answers are right", judged=0)
        return super().judge(history)
