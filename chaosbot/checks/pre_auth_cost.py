"""A stranger's request costs next to nothing: no memory is spent on a body before the secret has been looked at.

Otherwise everybody who reaches the URL can fill the server's memory, a few connections at a time.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import Breach, CaseCheck, Facts, says
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.registry import option
from chaosbot.core.verdict import Judgement, Severity, Verdict

_NOTE: Final = "memory:"


@dataclass(frozen=True)
class PreAuthCost(CaseCheck):
    """Strangers' bodies are not held."""

    most: int = option(
        "size", "the most that a stranger's request may make memory grow", 16 * 1024 * 1024, primary=True
    )

    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Large requests without the secret, whose cost was measured."""
        return tried.check == self.name and any(note.startswith(_NOTE) for note in tried.notes)

    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """Memory grew by more than a stranger may cost."""
        growth = next(int(note.removeprefix(_NOTE)) for note in tried.notes if note.startswith(_NOTE))
        if growth <= self.most:
            return None
        title = (
            f"holds {growth // 2**20} MB for a stranger before it looks at the secret: {tried.summary or tried.case}"
        )
        return Breach("held", title, Severity.HIGH, tried.threat, says(tried))

    def silence(self, history: History, facts: Facts) -> Judgement | None:
        """Without a look at memory nothing is judged."""
        silent = super().silence(history, facts)
        if silent is None and not facts.memory:
            reason = "needs --pid or --metrics: the target's memory is not readable"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        return silent
