"""A call that fails is not hammered: pauses grow between attempts, and what was refused for good is left alone.

A bot that tries again at once turns its API's bad minute into a bad hour, for everybody. A 400 or 403 stays one however often the
same message is sent; platforms count such calls too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._directions import NEEDS_CALLS
from chaosbot.checks._outbound import messages, succeeded
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled
from chaosbot.core.registry import option
from chaosbot.core.stats import most_within
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_FOR_GOOD: Final = (400, 401, 403, 404)
_UNCHANGED: Final = 400
"""What the Bot API answers to an edit that changes nothing ("message is not modified"), and to others."""
_STUBBORN: Final = 3
"""So many refusals of one and the same message; a second attempt may be a plainer one that looks alike."""
_LONG: Final = 5.0
"""A storm may be steady: twice as many attempts within so many spans are one as well."""


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
        judged, storms, worst, worst_s = 0, 0, 0, 0.0
        shown: ApiCalled | None = None
        stubborn: list[tuple[ApiCalled, int]] = []
        idle = _idle_edits(history)
        for calls in messages(history):
            again = (call for call in calls if call.status in _FOR_GOOD and id(call) not in idle)
            refused = Counter((call.method, call.text) for call in again)
            stubborn += [(_like(calls, *one), times) for one, times in refused.items() if times >= _STUBBORN]
            by_method: dict[str, list[ApiCalled]] = defaultdict(list)
            for call in calls:
                by_method[call.method].append(call)
            for attempts in by_method.values():
                failed = sorted(call.t for call in attempts if not succeeded(call))
                if not failed:
                    continue
                judged += 1
                # At once, or steadily for long.
                for span, most in ((self.within, self.most), (_LONG * self.within, 2 * self.most)):
                    crowd = most_within(failed, span)
                    if crowd > most:
                        storms += 1
                        if crowd > worst:
                            worst, worst_s, shown = crowd, span, attempts[0]
                        break
        if not judged:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="no call of the bot failed")
        findings = []
        if shown is not None:
            title = "repeats a failed call at once, again and again"
            summary = f"{worst} attempts at one {shown.method} within {worst_s:g} s; {storms} of {judged} failed calls"
            findings.append(self._finding(title, Severity.MEDIUM, RootCause("storm"), shown, summary, storms))
        if stubborn:
            call, times = max(stubborn, key=lambda one: one[1])
            title = "sends again what was refused for good"
            summary = f"the same {call.method} was refused {times} times ({call.status})"
            findings.append(
                self._finding(title, Severity.LOW, RootCause("refused-again"), call, summary, len(stubborn))
            )
        return Judgement(self.name, Verdict.FAIL if findings else Verdict.PASS, tuple(findings), judged=judged)

    def _finding(
        self, title: str, severity: Severity, cause: RootCause, call: ApiCalled, summary: str, times: int
    ) -> Finding:
        return Finding(
            self.name,
            title,
            severity,
            Threat.NETWORK,
            cause,
            category="botapi",
            case=call.exchange,
            summary=summary,
            occurrences=times,
            stateful=True,
        )


def _idle_edits(history: History) -> set[int]:
    """Edits that change nothing, and are refused for that alone (400, "message is not modified"), by identity: each may come of another update."""
    shown: dict[tuple[str, int], str] = {}
    found: set[int] = set()
    for call in sorted(history.all(ApiCalled), key=lambda one: one.t):
        if call.message is None:
            continue
        place = (str(call.chat), call.message)
        if succeeded(call):
            shown[place] = call.text
        elif call.method.startswith("edit") and call.status == _UNCHANGED and shown.get(place) == call.text:
            found.add(id(call))
    return found


def _like(calls: Sequence[ApiCalled], method: str, text: str) -> ApiCalled:
    return next(call for call in calls if (call.method, call.text) == (method, text) and call.status in _FOR_GOOD)
