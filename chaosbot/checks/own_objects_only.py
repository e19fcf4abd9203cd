"""Users see, change and approve what is theirs, and nothing else.

Ids of reminders and improvements are easy to guess, and callback data is whatever the sender says; only the owner protects a thing.
Two ways show a breach: a case's replies resemble those that the owner got (the control), or a reply to one user carries the marker
that another one had written in private.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from chaosbot.checks._cases import SHRINKING, Breach, Facts, Join, Tally, unjudgeable
from chaosbot.checks._likeness import compared
from chaosbot.core.check import Check, History
from chaosbot.core.event import CaseTried
from chaosbot.core.verdict import Judgement, Severity, Threat, Verdict


@dataclass(frozen=True)
class OwnObjectsOnly(Check):
    """What belongs to one user stays with that user."""

    live = True

    def judge(self, history: History) -> Judgement:
        """Looks for foreign markers, and compares controlled cases."""
        facts = Facts.of(history)
        if (reason := unjudgeable(history, facts, self.name)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        tally = Tally(self.name, facts.muted)
        self._foreign(history, tally)
        compared(history, tally, Severity.HIGH, "acts on what belongs to another user")
        return tally.judgement(nothing="no case reached for what belongs to another user")

    def _foreign(self, history: History, tally: Tally) -> None:
        homes: dict[str, set[str]] = defaultdict(set)
        for tried in history.cases:
            if tried.marker and tried.chat is not None:
                homes[tried.marker].add(str(tried.chat))
        join = Join(history)
        for tried in history.cases:
            if tried.check != self.name or tried.stage == SHRINKING or not tried.marker:
                continue
            strangers = [
                marker
                for call in (*join.calls(tried), *history.calls_by_chat.get(str(tried.chat), ()))
                for marker in call.markers
                if marker != tried.marker and homes.get(marker) and str(tried.chat) not in homes[marker]
            ]
            tally.look(tried, self._breach(tried) if strangers else None)

    def _breach(self, tried: CaseTried) -> Breach:
        title = f"shows one user what another wrote in private: {tried.summary or tried.case}"
        return Breach(
            "foreign-text", title, Severity.HIGH, Threat.USER, tried.summary, category="own objects", stateful=True
        )
