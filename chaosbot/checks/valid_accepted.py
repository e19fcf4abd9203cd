"""Every valid update is acknowledged with 2xx, kinds that the bot does not know included.

The platform redelivers everything else, again and again, and holds back what stands behind it.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import CaseCheck, Violation, answered, cause_of, overloaded, right, says, together
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Noted
from chaosbot.core.exchange import Direction
from chaosbot.core.journey import GUESSED, RECORDED
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_ACK_ONLY = frozenset({2})


@dataclass(frozen=True)
class ValidAccepted(CaseCheck):
    """Valid updates are acknowledged."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Genuine cases for which only 2xx is right."""
        ordinary = tried.check != "secrets_rotated"
        return ordinary and tried.expect is not None and tried.expect.statuses == _ACK_ONLY and answered(tried)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """A refusal that the run's person does not call right (a 5xx is another check's)."""
        status = tried.outcome.status or 0
        if status >= 500 or right(tried, seen) or overloaded(tried):
            return None
        title = f"refuses a valid update with {status}, so it is redelivered for ever: {tried.summary or tried.case}"
        cause = cause_of(tried, str(status))
        return Violation(cause, title, Severity.HIGH, tried.threat, says(tried))

    def judge(self, history: History) -> Judgement:
        """The cases of a campaign and, in a load run, the requests that no inbound fault met."""
        # What is refused is refused for one reason: the target does not know it.
        judgement = together(super().judge(history), lambda status: f"refuses valid updates with {status}", one=True)
        if not history.requests or any(note.area == GUESSED for note in history.all(Noted)):
            return judgement
        refused: dict[int, int] = {}
        looked = 0
        for request in history.requests:
            faults = history.injections.get(request.exchange, ())
            status = request.outcome.status
            if (
                request.tier == RECORDED
                or status is None
                or any(fault.direction is Direction.INBOUND for fault in faults)
            ):
                continue
            looked += 1
            if 400 <= status < 500 and status != 429 and status not in history.accepted_statuses:
                refused[status] = refused.get(status, 0) + 1
        found = tuple(
            Finding(
                self.name,
                f"refuses valid updates with {status} under load",
                Severity.HIGH,
                Threat.LOAD,
                RootCause(str(status), place="load"),
                summary=f"{count} of {looked} requests that no inbound fault met",
                occurrences=count,
                stateful=True,
            )
            for status, count in sorted(refused.items())
        )
        findings = judgement.findings + found
        verdict = Verdict.FAIL if findings else Verdict.PASS if looked or judgement.judged else judgement.verdict
        return Judgement(self.name, verdict, findings, judged=judgement.judged + looked)
