r"""No answer tells a stranger about the inside: no traceback, no bot token, no path, no secret.

What the case itself had sent and the target merely repeated does not count.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import CaseCheck, Violation, answered, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Echoed, Leaked, observed
from chaosbot.core.verdict import RootCause, Severity

_LEAKS: Final = (
    (
        "traceback",
        Severity.MEDIUM,
        "a traceback",
        re.compile(rb"Traceback \(most recent call last\)|\n\s+at .+:\d+:\d+\)?"),
    ),
    (
        "path",
        Severity.LOW,
        "a path of the server",
        re.compile(
            rb"(?:/(?:home|usr|opt|srv|app|var|root|Users)/[\w.@/-]+\.(?:py|js|ts|rb|php|go)\b)|node_modules/|site-packages/"
        ),
    ),
)


@dataclass(frozen=True)
class NoLeak(CaseCheck):
    """Answers carry nothing from the inside."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every answer with a body."""
        return answered(tried)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The worst thing that the body tells."""
        leaked = observed(tried.observations, Leaked)
        if leaked is not None:
            what = "a bot's token" if leaked.what == "token" else "the webhook's secret"
            title = f"an answer with status {tried.outcome.status} shows {what}: {tried.summary or tried.case}"
            return Violation(RootCause(leaked.what), title, Severity.CRITICAL, tried.threat, says(tried))
        if not tried.outcome.body or observed(tried.observations, Echoed) is not None:
            return None
        # A reply in the answer goes to the platform; its text is the user's own words.
        if tried.outcome.ok and b'"method"' in tried.outcome.body:
            return None
        for kind, severity, what, pattern in _LEAKS:
            if pattern.search(tried.outcome.body):
                title = f"an answer with status {tried.outcome.status} contains {what}"
                return Violation(RootCause(kind), title, severity, tried.threat, says(tried))
        return None
