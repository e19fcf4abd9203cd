"""A privileged effect comes only to a sender whose tier allows it.

Judged by difference, so it needs no configuration: the admin sends the command first (the control); a guest whose trick gets a reply
that resembles the admin's has escalated. Where the admin's reply resembles what an unknown command gets, the target has no such
command; where it resembles what everybody gets who just sends that command, the target has another admin or gives it to all. Then
nothing is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violations, unjudgeable
from chaosbot.checks._likeness import compared
from chaosbot.core.check import Check, History
from chaosbot.core.verdict import Judgement, Severity, Verdict


@dataclass(frozen=True)
class NoEscalation(Check):
    """Nobody gets what is above their tier."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    judges_scenarios: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Compares each trick's replies with those of its control."""
        if (reason := unjudgeable(history, self)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations = Violations(self.name)
        compared(history, violations, Severity.CRITICAL, "a user gets what only a higher tier may have")
        return violations.judgement(
            nothing="nobody is told apart from the admin: the target has no such commands, or another admin (ADMIN_TELEGRAM_ID)"
        )
