"""Compares what was found with what was planted: the demo's answer key.

A planted bug counts as found when a finding of one of its checks was shown by a case (or a fault) that meets this bug and none of the
others; a check's name alone would let one finding stand for many bugs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from chaosbot.demo.bugs import CARDS, Bug, BugCard
from chaosbot.model.verdict import Finding

SHOWN_BY: Final[dict[Bug, tuple[str, ...]]] = {}
"""Patterns over a finding's case, category and bucket that meet exactly this bug."""

UNPROMISED: Final[dict[Bug, str]] = {
    Bug.UPDATES_KEPT_FOR_EVER: "needs a soak: chaosbot load --profile soak",
}
"""Bugs that a short tour cannot show, with what can."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One planted bug and the findings that show it."""

    card: BugCard
    findings: tuple[Finding, ...]
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether it was found."""
        return bool(self.findings)

    @property
    def promised(self) -> bool:
        """Whether the tour promises to find it."""
        return not self.note


def answer_key(bugs: frozenset[Bug], findings: Sequence[Finding]) -> tuple[Answered, ...]:
    """What was found of each planted bug, in the order of the cards."""
    return tuple(
        Answered(card, tuple(finding for finding in findings if _shows(card, finding)), UNPROMISED.get(bug, ""))
        for bug, card in CARDS.items()
        if bug in bugs
    )


def _shows(card: BugCard, finding: Finding) -> bool:
    if finding.check not in card.checks:
        return False
    texts = (finding.case, finding.category, finding.bucket)
    return any(fnmatchcase(text, pattern) for pattern in SHOWN_BY.get(card.bug, ("*",)) for text in texts)
