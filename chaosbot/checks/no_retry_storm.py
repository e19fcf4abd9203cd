"""A call that fails is not hammered: pauses grow between attempts.

A bot that tries again at once turns its API's bad minute into a bad hour, for everybody.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._directions import NEEDS_CALLS
from chaosbot.checks._outbound import messages, succeeded
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled
from chaosbot.core.registry import option
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict


@dataclass(frozen=True)
class NoRetryStorm(Check):
    """Failed calls come back slowly."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    most: int = option("count", "most attempts at one call within the span", 6, primary=True)
    within: float = option("duration", "the span", 1.0)

    def judge(self, history: History) -> Judgement:
        """Counts attempts with the same marker after a failure."""
        if not history.all(ApiCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        judged, storms, worst = 0, 0, 0
        shown: ApiCalled | None = None
        for calls in messages(history):
            by_method: dict[str, list[ApiCalled]] = defaultdict(list)
            for call in calls:
                by_method[call.method].append(call)
            for attempts in by_method.values():
                failed = sorted(call.t for call in attempts if not succeeded(call))
                if not failed:
                    continue
                judged += 1
                crowd = max(sum(1 for t in failed if start <= t <= start + self.within) for start in failed)
                if crowd > self.most:
                    storms += 1
                    if crowd > worst:
                        worst, shown = crowd, attempts[0]
        if not judged:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="no call of the bot failed")
        if shown is None:
            return Judgement(self.name, Verdict.PASS, judged=judged)
        finding = Finding(
            self.name,
            "hammers its API when a call fails",
            Severity.MEDIUM,
            Threat.NETWORK,
            RootCause("storm"),
            category="botapi",
            case=shown.exchange,
            summary=f"{worst} attempts at one {shown.method} within {self.within:g} s; {storms} of {judged} failed calls",
            occurrences=storms,
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)
