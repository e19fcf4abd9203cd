"""After whatever was sent, a valid update on a fresh connection is answered.

The canary shows what the case's own answer cannot: a target that answers the case and then serves nobody else any more.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosbot.checks._cases import Breach, CaseCheck, Facts, stem
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.verdict import Severity


@dataclass(frozen=True)
class CanaryAnswered(CaseCheck):
    """A valid update after each suspicious case is answered in time."""

    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Every case that a canary followed."""
        return tried.canary_s is not None or "canary-lost" in tried.notes

    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """The canary after it got no answer, though the process lives and its own answer blames nothing else."""
        if "canary-lost" not in tried.notes or "died" in tried.notes or "hung" in tried.notes:
            return None
        title = f"serves nobody any more after {tried.summary or tried.case}"
        return Breach(f"lost:{stem(tried)}", title, Severity.CRITICAL, tried.threat, "the canary was not answered")
