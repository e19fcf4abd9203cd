"""After whatever was sent, a valid update on a fresh connection is answered.

The health request shows what the case's own answer cannot: a target that answers the case and then serves nobody else any more.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._cases import CaseCheck, Violation, cause_of, says
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Died, HealthLost, Hung, Silenced, observed
from chaosbot.core.verdict import Mechanism, RootCause, Severity

WAITING: Final = frozenset({429, 500, 502, 503, 504})
"""Answers of a target's API after which it waits, and tries again."""


@dataclass(frozen=True)
class CanaryAnswered(CaseCheck):
    """A valid update after each suspicious case is answered in time."""

    shrinkable: ClassVar[bool] = False

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every case that a health request followed."""
        return tried.health_s is not None or any(isinstance(one, HealthLost | Silenced) for one in tried.observations)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The health request after it got no answer, though the process lives and its own answer blames nothing else."""
        silenced = observed(tried.observations, Silenced)
        if silenced is not None:
            # While its API asks a target to wait, it does well to keep the chat's order.
            held = not silenced.everybody and any((call.status or 0) in WAITING for call in calls)
            return None if held else _silenced(tried, silenced)
        lost = observed(tried.observations, HealthLost)
        if lost is None or any(isinstance(one, (Died, Hung)) for one in tried.observations):
            return None
        title = f"serves nobody any more after {tried.summary or tried.case}"
        summary = f"{says(tried)}; the health request after it was not answered"
        if lost.for_good:
            others = f"; under way as well: {', '.join(lost.beside)}" if lost.beside else ""
            summary += f", nor any other from then on{others}"
        cause = RootCause("lost", place="for-good") if lost.beside else cause_of(tried, "lost")
        return Violation(cause, title, Severity.CRITICAL, tried.threat, summary)


def _silenced(tried: CaseTried, silenced: Silenced) -> Violation:
    """A target that acknowledges everything and answers no more: its webhook looks well."""
    if silenced.everybody:
        others = f"; sent at the same time: {', '.join(silenced.beside)}" if silenced.beside else ""
        title = "acknowledges updates, but no user is answered any more"
        summary = f"{says(tried)}; no message of anybody was answered from then on{others}"
        cause = RootCause("silent", place="everybody")
        return Violation(cause, title, Severity.CRITICAL, tried.threat, summary, stateful=True)
    if silenced.beside:
        title = "acknowledges updates, but some users are not answered any more"
        others = f"sent at the same time: {', '.join(silenced.beside)}"
        summary = f"{says(tried)}; some of those who were answered before got no answer from then on; {others}"
        cause = RootCause("silent", place="some")
        return Violation(cause, title, Severity.CRITICAL, tried.threat, summary, stateful=True)
    title = f"stops answering a user after their {tried.summary.removeprefix('a valid ') or tried.case}"
    summary = f"{says(tried)}; the same person's next messages were not answered, others' were"
    # Which contents do it is one mistake: what the target reads of a message without looking. A command's arguments, and what the data of buttons
    # says, are read elsewhere each.
    changed = tried.group == "argument" or tried.change.place == "form/data"
    cause = RootCause("silent", *((tried.change.mechanism, tried.change.place) if changed else (Mechanism.KIND,)))
    return Violation(cause, title, Severity.HIGH, tried.threat, summary, stateful=True)
