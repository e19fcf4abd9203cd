"""What happened is taken from what was signed, not from a header beside it.

Where the kind of an event stands in a header that no signature covers, whoever holds one signed delivery can send it again as any other
kind: a deleted comment becomes a deleted installation. The body must fit the kind before anything is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._trust import TrustCheck, granted
from chaosbot.core.event import TrustTried
from chaosbot.core.verdict import Mechanism, RootCause, Severity


@dataclass(frozen=True)
class KindAsSigned(TrustCheck):
    """A body of one kind is not carried out as another because a header says so."""

    nothing: ClassVar[str] = "no kind that an unsigned header names had an effect that is seen (--bot-api)"

    def violation(self, tried: TrustTried) -> Violation | None:
        """The ordinary body did what the weighty kind does."""
        deed = granted(tried)
        if not deed:
            return None
        cause = RootCause("kind-of-header", Mechanism.KIND, tried.name.partition("/")[2].partition("/")[0])
        title = f"an unsigned header decides what a signed body means: {tried.what}"
        return Violation(cause, title, Severity.MEDIUM, tried.threat, f"{tried.what}: {deed}", "event", stateful=True)
