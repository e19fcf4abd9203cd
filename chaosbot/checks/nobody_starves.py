"""Whoever is acknowledged is served, in whatever order updates come and however many at once.

Deliveries overtake each other, and ids have gaps. A bot that keeps the highest id and drops what is below it acknowledges
a late update and loses it; so does one that takes on more in a burst than it can hold. Judged only where an update that came
afterwards, in the usual order, was answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation, Violations, says, unjudgeable
from chaosbot.checks._join import SHRINKING, Join
from chaosbot.core.case import Role
from chaosbot.core.check import Check, History, Steps
from chaosbot.core.event import CaseTried
from chaosbot.core.verdict import Judgement, Mechanism, RootCause, Severity, Verdict


@dataclass(frozen=True)
class NobodyStarves(Check):
    """An update that comes late, after a gap or among many is acted on like any other."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    awaits_replies: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Joins acknowledged updates with the calls that the bot made because of them."""
        if (reason := unjudgeable(history, self)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations, join = Violations(self.name), Join.of(history)
        asked = [tried for tried in history.cases if tried.check == self.name and tried.stage != SHRINKING]
        served = {tried.case for tried in asked if join.calls(tried)}
        over = {tried.scenario for tried in asked if tried.role is Role.AFTERWARDS and tried.case in served}
        for tried in asked:
            if tried.role is Role.AFTERWARDS:
                reason = "" if tried.case in served else "the bot answered no update that came afterwards"
                violations.plan(tried.scenario, reason)
        for tried in asked:
            if tried.scenario not in over or tried.role is Role.AFTERWARDS or not tried.outcome.ok:
                continue
            violation = None
            if tried.case not in served:
                title = f"acknowledges {tried.summary} and never acts on it"
                cause = RootCause("starved", Mechanism.SCENARIO, tried.change.place)
                violation = Violation(cause, title, Severity.HIGH, tried.threat, says(tried), "sequence", stateful=True)
            violations.look(tried, violation)
        if not asked:
            return violations.judgement()
        return violations.judgement(nothing="the bot answered no update that came after those in question")

    def reproducer(self, history: History, case: str) -> Steps:
        """The whole scenario; what left at the same time leaves at the same time again."""
        first = history.case(case)
        if first is None:
            return ((case,),)
        steps: list[list[CaseTried]] = []
        for tried in history.cases:
            if tried.scenario != first.scenario or tried.stage == SHRINKING:
                continue
            together = bool(steps) and tried.role is not Role.AFTERWARDS and tried.sent < _end(steps[-1])
            (steps[-1].append(tried) if together else steps.append([tried]))
        return tuple(tuple(tried.case for tried in step) for step in steps)


def _end(step: list[CaseTried]) -> float:
    return max(tried.sent + tried.outcome.total_s for tried in step)
