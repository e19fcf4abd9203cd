"""A genuine delivery is answered while its platform waits: Slack and Discord 3 s, Twilio 15 s.

Later the user sees a failure, or the delivery comes once more while the first one is still being worked on. What was late was sent a
second time, alone, before it counts.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from chaosbot.checks._cases import CaseCheck, Violation, says, sight, unjudgeable
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Hung, observed
from chaosbot.core.verdict import Finding, Judgement, Mechanism, RootCause, Severity, Threat, Verdict


@dataclass(frozen=True)
class DeadlineKept(CaseCheck):
    """Valid updates are answered within the platform's deadline."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Valid updates of platforms that have a deadline."""
        return tried.group == "kinds" and tried.expect is not None and tried.expect.within_s is not None

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """Late, and late again by itself."""
        within_s = tried.expect.within_s if tried.expect is not None else None
        if within_s is None or observed(tried.observations, Hung) is None:
            return None
        title = f"answers after the {within_s:g} s that the platform waits: {tried.summary or tried.case}"
        cause = RootCause("late", Mechanism.KIND, tried.change.place)
        return Violation(cause, title, Severity.HIGH, tried.threat, says(tried))

    def judge(self, history: History) -> Judgement:
        """The cases, and before them the first health requests, after which little else may be reached in time."""
        judgement, seen = super().judge(history), sight(history)
        if unjudgeable(history, self) or not 0 < seen.deadline_s < seen.health_s:
            return judgement
        late = Finding(
            self.name,
            f"answers after the {seen.deadline_s:g} s that the platform waits: the plainest valid update",
            Severity.HIGH,
            Threat.NETWORK,
            RootCause("late", Mechanism.BEHAVIOUR, "everything"),
            "kinds",
            summary=f"half of the first health requests took {seen.health_s:.1f} s or more",
        )
        findings = (late, *judgement.findings)
        return replace(judgement, verdict=Verdict.FAIL, findings=findings, judged=judgement.judged + 1, reason="")
