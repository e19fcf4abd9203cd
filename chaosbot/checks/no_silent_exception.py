"""An ordinary update raises no error inside the target that is swallowed, so that everybody believes it was served.

Only the agent inside the target sees it (`chaosbot fuzz --guide`). An error counts when the target's own code neither raises it itself nor
catches just this kind of error, and the update was valid and acknowledged with 2xx.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._cases import Violation, Violations, says, unjudgeable
from chaosbot.checks._join import SHRINKING
from chaosbot.core.check import Check, History
from chaosbot.core.event import CaseTried, CodeReached, TargetRaised
from chaosbot.core.verdict import Judgement, Mechanism, RootCause, Severity, Threat, Verdict

NEEDS_GUIDE: Final = "needs --guide: only an agent inside the target sees its errors"
_DISTURBED: Final = frozenset({"outbound", SHRINKING})
"""Stages whose calls meet trouble that other checks judge."""


@dataclass(frozen=True)
class NoSilentException(Check):
    """No valid update that is acknowledged ends in an error that nobody meant."""

    live: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Joins each error to its case."""
        reason = unjudgeable(history, self) or ("" if history.all(CodeReached) else NEEDS_GUIDE)
        if reason:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations = Violations(self.name)
        ordinary = {tried.exchange: tried for tried in history.cases if tried.exchange and _ordinary(tried)}
        violations.judged = len(ordinary)
        for raised in history.all(TargetRaised):
            tried = ordinary.get(raised.exchange)
            if tried is not None and not raised.meant and raised.frames:
                violations.add(_violation(raised, tried), tried.case, tried.group)
        return violations.judgement()


def _ordinary(tried: CaseTried) -> bool:
    valid = tried.expect is not None and tried.expect.statuses == {2}
    return valid and tried.outcome.ok and tried.threat is not Threat.FORGER and tried.stage not in _DISTURBED


def _violation(raised: TargetRaised, tried: CaseTried) -> Violation:
    path, _, function = raised.frames[0].partition(" in ")
    file = path.rpartition(":")[0]
    by = f"its own handler at {raised.handled}" if raised.handled else "what calls it"
    title = f"{raised.error} in {function} ({file}) is swallowed by {by}, and the update acknowledged"
    trace = " ← ".join(raised.frames[:6])
    text = f": {raised.text}" if raised.text else ""
    return Violation(
        RootCause(raised.error, Mechanism.FRAME, f"{file}:{function}"),
        title,
        Severity.MEDIUM,
        tried.threat,
        f"{says(tried)}; {raised.error}{text} in {trace}",
    )
