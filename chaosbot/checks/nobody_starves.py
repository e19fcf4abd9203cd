"""Whoever is acknowledged is served, in whatever order updates come and however many at once.

Deliveries overtake each other, and ids have gaps. A bot that keeps the highest id and drops what is below it acknowledges
a late update and loses it; so does one that takes on more in a burst than it can hold. Judged only where an update that came
afterwards, in the usual order, was answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.checks._cases import SHRINKING, Breach, Facts, Join, Tally, says, unjudgeable, word_of
from chaosbot.core.check import Check, History
from chaosbot.core.verdict import Judgement, Severity, Verdict


@dataclass(frozen=True)
class NobodyStarves(Check):
    """An update that comes late, after a gap or among many is acted on like any other."""

    live = True

    def judge(self, history: History) -> Judgement:
        """Joins acknowledged updates with the calls that the bot made because of them."""
        facts = Facts.of(history)
        if (reason := unjudgeable(history, facts, self.name)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        tally, join = Tally(self.name, facts.muted), Join(history)
        asked = [tried for tried in history.cases if tried.check == self.name and tried.stage != SHRINKING]
        served = {tried.case for tried in asked if join.calls(tried)}
        for tried in asked:
            after = f"{tried.case.rpartition('-')[0]}-after"
            if after not in served or tried.case == after or not tried.outcome.ok:
                continue
            breach = None
            if tried.case not in served:
                title = f"acknowledges {tried.summary} and never acts on it"
                what = word_of(tried.case.replace("order-", ""))
                breach = Breach(what, title, Severity.HIGH, tried.threat, says(tried), "sequence", stateful=True)
            tally.look(tried, breach)
        if not asked:
            return tally.judgement()
        return tally.judgement(nothing="the bot answered no update that came after those in question")
