"""Users see, change and approve what is theirs, and nothing else.

Ids of reminders and improvements are easy to guess, and callback data is whatever the sender says; only the owner protects a thing.
Three things show a violation: a case's replies resemble those that the owner got (the control), a reply to one user carries the marker
that another one had written in private, or a negative amount takes from somebody what a positive one gives them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation, Violations, unjudgeable
from chaosbot.checks._join import SHRINKING, Join, parts
from chaosbot.checks._likeness import compared
from chaosbot.core.check import Check, History
from chaosbot.core.event import CaseTried, StateTried
from chaosbot.core.verdict import Judgement, RootCause, Severity, Threat, Verdict


@dataclass(frozen=True)
class OwnObjectsOnly(Check):
    """What belongs to one user stays with that user."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    judges_scenarios: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Looks for foreign markers, and compares controlled cases."""
        if (reason := unjudgeable(history, self)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations = Violations(self.name)
        for part in parts(history):
            self._foreign(part, violations)
        compared(history, violations, Severity.HIGH, "acts on what belongs to another user", in_part=True)
        for event in (one for one in history.all(StateTried) if one.trial == "taken"):
            violations.judged += 1
            if (violation := _taken(event)) is not None:
                violations.add(violation, event.case, "state")
        return violations.judgement(nothing="no case reached for what belongs to another user")

    def _foreign(self, history: History, violations: Violations) -> None:
        homes: dict[str, set[str]] = defaultdict(set)
        for tried in history.cases:
            if tried.marker and tried.chat is not None:
                homes[tried.marker].add(str(tried.chat))
        join = Join.of(history)
        for tried in history.cases:
            if tried.check != self.name or tried.stage == SHRINKING or not tried.marker:
                continue
            strangers = [
                marker
                for call in (*join.calls(tried), *history.calls_by_chat.get(str(tried.chat), ()))
                for marker in call.markers
                if marker != tried.marker and homes.get(marker) and str(tried.chat) not in homes[marker]
            ]
            violations.look(tried, self._violation(tried) if strangers else None)

    def _violation(self, tried: CaseTried) -> Violation:
        title = f"shows one user what another wrote in private: {tried.summary or tried.case}"
        return Violation(
            RootCause("foreign-text"),
            title,
            Severity.HIGH,
            Threat.USER,
            tried.summary,
            category="own objects",
            stateful=True,
        )


def _taken(tried: StateTried) -> Violation | None:
    """Whoever gives a negative amount takes it from who is given it."""
    given = int(tried.alone[0][0])
    if not all(int(play[0]) * given < 0 for play in tried.seen):
        return None
    title = "takes from another user what a negative amount says"
    summary = f"the number of who is given something changes by {given}, and by {tried.seen[0][0]} with the amount negative; {tried.what}"
    return Violation(
        RootCause("negative-amount"), title, Severity.HIGH, Threat.USER, summary, "own objects", stateful=True
    )
