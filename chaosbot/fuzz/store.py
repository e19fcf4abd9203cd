"""What a campaign seems to have found so far: one entry for each check and root cause, with the shortest case that shows it.

It steers the campaign (what to shrink, what not to repeat) and never reaches a report: checks judge the history for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import CaseCheck, Violation
from chaosbot.core.case import Case
from chaosbot.core.check import CHECKS, Check
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import RootCause
from chaosbot.fuzz.findings import CaseSteps

Key = tuple[str, RootCause]
"""A check's name and a root cause."""


@dataclass
class KnownCause:
    """One root cause: the case that shows it best, or the sequence that does."""

    check: str
    cause: RootCause
    case: Case
    sequence: CaseSteps = ()


class FindingStore:
    """Judges tried cases while the campaign runs.

    Args:
        names: The checks that judge.
        seen: What the campaign can see.
    """

    def __init__(self, names: Iterable[str], seen: CampaignStarted) -> None:
        self.seen = seen
        self.found: dict[Key, KnownCause] = {}
        self.asked: list[Check] = [CHECKS.build(name) for name in names]
        self.checks = [check for check in self.asked if isinstance(check, CaseCheck)]

    def violations(self, tried: CaseTried, calls: Sequence[ApiCalled] = ()) -> list[tuple[str, Violation]]:
        """What this case violates, as far as its answer tells; checks that need calls wait until those have come in."""
        found = []
        for check in self.checks:
            if check.needs_calls or not check.looks_at(tried, self.seen):
                continue
            violation = check.violation(tried, calls, self.seen)
            if violation is not None:
                found.append((check.name, violation))
        return found

    def offer(self, check: str, cause: RootCause, case: Case) -> None:
        """Records a violation; keeps the shortest case of each root cause."""
        known = self.found.get((check, cause))
        if known is None:
            self.found[check, cause] = KnownCause(check, cause, case)
        elif len(case.request) < len(known.case.request) and len(case.segments) <= len(known.case.segments):
            known.case = case

    def offer_sequence(self, check: str, cause: RootCause, steps: CaseSteps) -> None:
        """Records what a scenario shows; keeps the shortest one of each root cause."""
        known = self.found.get((check, cause))
        size = sum(len(step) for step in steps)
        if known is None:
            self.found[check, cause] = KnownCause(check, cause, steps[-1][-1], steps)
        elif known.sequence and size <= sum(len(step) for step in known.sequence):
            known.sequence, known.case = steps, steps[-1][-1]
