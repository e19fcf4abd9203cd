"""A stranger's request costs next to nothing: no memory is spent on a body before the secret has been looked at.

Otherwise everybody who reaches the URL can fill the server's memory, a few connections at a time.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import NEEDS_MEMORY, CaseCheck, Violation, says, sight
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Grew, observed
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class PreAuthCost(CaseCheck):
    """Strangers' bodies are not held."""

    needs_isolation: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    most: int = option(
        "size", "the most that a stranger's request may make memory grow", 16 * 1024 * 1024, primary=True
    )

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Large requests without the secret, whose cost was measured."""
        return tried.check == self.name and observed(tried.observations, Grew) is not None

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """Memory grew by more than a stranger may cost."""
        grew = observed(tried.observations, Grew)
        if grew is None or grew.size <= self.most:
            return None
        title = f"keeps a whole body in memory before it checks the secret: {tried.summary or tried.case}"
        summary = f"{says(tried)}; memory grew by {grew.size // 2**20} MB"
        return Violation(RootCause("held"), title, Severity.HIGH, tried.threat, summary)

    def silence(self, history: History) -> str | None:
        """Without a look at memory nothing is judged."""
        reason = super().silence(history)
        return NEEDS_MEMORY if reason is None and not sight(history).memory else reason
