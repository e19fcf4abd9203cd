"""A request without the secret is refused and has no effect.

Whoever reaches the URL could otherwise speak as any user, the admin included.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chaosbot.checks._cases import CaseCheck, Violation, acts, cause_of, forged, says, silently, telling
from chaosbot.checks._join import Announced
from chaosbot.checks._trust import granted
from chaosbot.core.check import History, Steps
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, TrustTried
from chaosbot.core.verdict import Finding, Judgement, Mechanism, RootCause, Severity, Verdict


@dataclass(frozen=True)
class ForgedRefused(CaseCheck):
    """What is not signed or carries no secret is refused, and nothing happens."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Forged cases, except those that look at how exactly the secret is compared."""
        return forged(tried) and tried.check not in ("secret_exact", "secrets_rotated") and telling(tried, seen)

    def relevant(self, history: History) -> Callable[[ApiCalled], bool]:
        """No announcement, which comes to whoever is known."""
        announced = history.worked_out(Announced)
        return lambda call: not announced(call)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """It had an effect, or it was acknowledged."""
        if acts(tried, calls):
            title = f"a forged request takes effect: {tried.summary or tried.case}"
            return Violation(cause_of(tried, "effect"), title, Severity.CRITICAL, tried.threat, says(tried))
        status = tried.outcome.status or 0
        if not tried.outcome.ok or (tried.expect is not None and tried.expect.allows_status(status)):
            return None
        title = f"a forged request is accepted: {tried.summary or tried.case}"
        return Violation(cause_of(tried, "accepted"), title, Severity.HIGH, tried.threat, says(tried))

    def judge(self, history: History) -> Judgement:
        """Who answers 2xx to a forged request and does nothing with it has refused it; nobody who misconfigures the secret is told.

        What was refused and done all the same is seen afterwards, by what its user is told.
        """
        judgement, silent = silently(super().judge(history), history, "accepted")
        mine = (tried for tried in history.all(TrustTried) if tried.check == self.name)
        done = [(tried, deed) for tried in mine if (deed := granted(tried))]
        if done and not judgement.findings:
            first, deed = done[0]
            title = f"a forged request is refused and done all the same: {first.what}"
            told = Finding(
                self.name,
                title,
                Severity.CRITICAL,
                first.threat,
                RootCause("effect", Mechanism.TECHNIQUE, "refused"),
                "auth",
                first.case,
                f"who forged it is told as who did it by right: {deed}",
                occurrences=len(done),
                stateful=True,
            )
            return replace(judgement, verdict=Verdict.FAIL, findings=(told,))
        if silent is None:
            return judgement
        told = replace(
            silent,
            cause=RootCause("silent"),
            severity=Severity.LOW,
            title="answers 2xx to requests without the right secret, and ignores them; a refusal is a 4xx",
        )
        return replace(judgement, verdict=Verdict.FAIL, findings=(*judgement.findings, told))

    def reproducer(self, history: History, case: str) -> Steps:
        """The forged request; nothing where it was refused, since none shows by itself what was done all the same."""
        if any(tried.check == self.name and tried.case == case for tried in history.all(TrustTried)):
            return ()
        return super().reproducer(history, case)
