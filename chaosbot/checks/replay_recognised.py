"""What was signed once is done once, under whatever delivery id it comes.

Where the delivery's id stands in a header that no signature covers, a replay brings another one, or none. A receiver that remembers ids
alone does everything again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._trust import TrustCheck, granted
from chaosbot.core.event import TrustTried
from chaosbot.core.verdict import Mechanism, RootCause, Severity


@dataclass(frozen=True)
class ReplayRecognised(TrustCheck):
    """A signed body that comes again under another id does nothing more."""

    nothing: ClassVar[str] = "no delivery with an unsigned id had an effect that is seen (--bot-api)"

    def violation(self, tried: TrustTried) -> Violation | None:
        """The repeated body did again what it had done before."""
        deed = granted(tried)
        if not deed:
            return None
        word = tried.name.rpartition("/")[2]
        title = f"a replay acts again with {'another' if word == 'new' else 'no'} delivery id, since that is not signed"
        cause = RootCause("replayed", Mechanism.TECHNIQUE, word)
        return Violation(cause, title, Severity.MEDIUM, tried.threat, f"{tried.what}: {deed}", "replay", stateful=True)
