"""A URL in a delivery is not fetched from wherever it leads.

Who can put a URL into a delivery chooses what the target's network connects to: itself, its neighbours, the cloud's metadata. A listener
on loopback stands in every place where a valid update has a URL, and in a text.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import CaseCheck, Violation, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Fetched, observed
from chaosbot.core.verdict import Mechanism, RootCause, Severity, Threat


@dataclass(frozen=True)
class UrlsNotFetched(CaseCheck):
    """Nothing is fetched from loopback because a delivery says so."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """The deliveries whose URLs lead to the listener."""
        return tried.group == "urls"

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The listener was asked."""
        fetched = observed(tried.observations, Fetched)
        if fetched is None:
            return None
        place, summary = fetched.place, f"{says(tried)}; {fetched.place} was fetched"
        if tried.threat is Threat.FORGER:
            title = f"fetches a URL out of a request that nobody signed: {place}"
            severity = Severity.CRITICAL if fetched.credentials else Severity.HIGH
        elif tried.threat is Threat.USER:
            title, severity = "fetches a URL that a user writes, also from its own machine", Severity.HIGH
        else:
            shown = fetched.credentials
            title = (
                f"{'shows its credentials to' if shown else 'connects to'} whatever host a delivery names in {place}"
            )
            severity = Severity.MEDIUM if shown else Severity.LOW
        cause = RootCause("fetched", Mechanism.MEMBER, f"{tried.threat}/{place}")
        return Violation(cause, title, severity, tried.threat, summary, "urls", stateful=True)
