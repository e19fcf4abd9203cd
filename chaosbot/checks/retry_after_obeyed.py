"""A 429 with ``retry_after`` is obeyed: the same message is not sent again before its time.

Platforms answer a bot that does not wait with longer and longer waits, in the end for everybody who uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._directions import NEEDS_CALLS
from chaosbot.checks._outbound import messages
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_TOLERANCE: Final = 0.9


@dataclass(frozen=True)
class RetryAfterObeyed(Check):
    """What was told to wait waits."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    def judge(self, history: History) -> Judgement:
        """Looks at the next call with the same marker after each 429."""
        if not history.all(ApiCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        judged = 0
        early: list[tuple[ApiCalled, float]] = []
        for calls in messages(history):
            ordered = sorted(calls, key=lambda call: call.t)
            for number, call in enumerate(ordered):
                if call.status != 429 or not call.retry_after_s:
                    continue
                judged += 1
                rest = (later for later in ordered[number + 1 :] if later.method == call.method)
                # Another message to the same chat is no second attempt.
                again = next((later for later in rest if later.text == call.text), None)
                if again is not None and again.t - call.t < call.retry_after_s * _TOLERANCE:
                    early.append((call, again.t - call.t))
        if not judged:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="no call was answered 429 with retry_after")
        if not early:
            return Judgement(self.name, Verdict.PASS, judged=judged)
        call, waited = min(early, key=lambda entry: entry[1])
        finding = Finding(
            self.name,
            "does not wait as long as a 429 tells it to",
            Severity.MEDIUM,
            Threat.NETWORK,
            RootCause("early"),
            category="botapi",
            case=call.exchange,
            summary=f"{call.method} came again after {waited:.2f} s instead of {call.retry_after_s:g} s; {len(early)} of {judged}",
            occurrences=len(early),
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)
