"""What the sender reads in an answer is what it must be: challenges come back, probes are refused with the exact status, TwiML is TwiML.

A platform that cannot read the answer does not register the endpoint, removes it, or does nothing for its user.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import CaseCheck, Violation, answered, cause_of, overloaded, right, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import Severity, Threat


@dataclass(frozen=True)
class AnswerUnderstood(CaseCheck):
    """Handshakes and deliveries whose answer the platform reads are answered as it expects."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Cases that say what the answer must be, and those of this check."""
        if tried.expect is None or not answered(tried) or overloaded(tried):
            return False
        return tried.expect.answer is not None or tried.check == self.name

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """Another status than the platform accepts (a 5xx is another check's), or another body."""
        status, expect = tried.outcome.status or 0, tried.expect
        if expect is None or status >= 500:
            return None
        severity = Severity.HIGH if tried.threat is Threat.FORGER else Severity.MEDIUM
        if not right(tried, seen):
            wanted = " or ".join(str(one) if one > 9 else f"{one}xx" for one in sorted(expect.statuses))
            title = f"answers {status} where the platform needs {wanted}: {tried.summary or tried.case}"
            return Violation(cause_of(tried, str(status)), title, severity, tried.threat, says(tried))
        if not expect.allows_status(status) or expect.answer is None or (status >= 400 and not expect.answer.lacks):
            return None
        kind = next((value for name, value in tried.outcome.headers if name == "content-type"), "")
        wrong = expect.answer.wrong(kind, tried.outcome.body)
        if not wrong:
            return None
        title = f"an answer that the platform cannot use ({wrong}): {tried.summary or tried.case}"
        return Violation(cause_of(tried, "answer"), title, severity, tried.threat, says(tried))
