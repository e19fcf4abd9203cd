"""What a campaign has found so far: one entry for each check and root cause, with the shortest case that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chaosbot.checks._cases import Breach, CaseCheck, Facts
from chaosbot.core.case import Case
from chaosbot.core.check import CHECKS
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.fuzz.findings import Steps


@dataclass
class Found:
    """One root cause: the case that shows it best, and how often it was met."""

    check: str
    breach: Breach
    case: Case
    sequence: Steps = ()
    met: int = 1
    shrunk: bool = False


class Ledger:
    """Judges tried cases live.

    Args:
        names: The checks that judge.
        facts: What the campaign can see.
    """

    def __init__(self, names: Iterable[str], facts: Facts) -> None:
        self.facts = facts
        self.found: dict[tuple[str, str], Found] = {}
        built = [CHECKS.build(name) for name in names]
        self.checks = [check for check in built if isinstance(check, CaseCheck)]

    def breaches(
        self, tried: CaseTried, calls: Sequence[ApiCalled] = (), *, with_calls: bool = False
    ) -> list[tuple[str, Breach]]:
        """What this case broke. Checks that need calls are asked only when the calls have come in."""
        broken = []
        for check in self.checks:
            if (check.needs_calls and not with_calls) or not check.looks_at(tried, self.facts):
                continue
            breach = check.breach(tried, calls, self.facts)
            if breach is not None:
                broken.append((check.name, breach))
        return broken

    def offer(self, check: str, breach: Breach, case: Case) -> bool:
        """Records a breach; whether its root cause is new."""
        key = (check, breach.bucket)
        known = self.found.get(key)
        if known is None:
            self.found[key] = Found(check, breach, case)
            return True
        known.met += 1
        if (
            not known.shrunk
            and len(case.request) < len(known.case.request)
            and len(case.segments) <= len(known.case.segments)
        ):
            known.case, known.breach = case, breach
        return False

    def shrunk(self, key: tuple[str, str], case: Case, breach: Breach) -> None:
        """Keeps the smallest case of a root cause."""
        known = self.found[key]
        known.case, known.breach, known.shrunk = case, replace(breach, bucket=key[1]), True

    def knows(self, check: str, bucket: str) -> bool:
        """Whether this root cause is known."""
        return (check, bucket) in self.found
