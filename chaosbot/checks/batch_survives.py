"""Everybody in a delivery of several updates is served, whatever stands between them.

Platforms put updates together when they come fast, and put things of other kinds among them. A target that reads the first one only, or
gives up at one that it does not know, loses what it acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._trust import TrustCheck
from chaosbot.core.event import TrustTried
from chaosbot.core.verdict import Mechanism, RootCause, Severity


@dataclass(frozen=True)
class BatchSurvives(TrustCheck):
    """One member of a batch that is not understood does not lose the others."""

    nothing: ClassVar[str] = (
        "no member of a batch was answered by itself: the platform sends none, or the target's calls were not seen (--bot-api)"
    )

    def violation(self, tried: TrustTried) -> Violation | None:
        """A member that is answered otherwise was not, each time."""
        lost = [one for one in tried.rightful if all(one not in seen for seen in tried.tries)]
        if not lost:
            return None
        whole = tried.name.endswith("-whole")
        place, _, odd = tried.name.partition("-")
        cause = RootCause("lost", Mechanism.TECHNIQUE, f"batch/{'whole' if whole else 'mixed'}")
        title = (
            "serves only one of several updates in one delivery"
            if whole
            else f"loses updates that come beside another: {tried.what}"
        )
        summary = f"{place}, {odd}: {', '.join(lost)} got no answer"
        return Violation(cause, title, Severity.HIGH, tried.threat, summary, "batch", stateful=True)
