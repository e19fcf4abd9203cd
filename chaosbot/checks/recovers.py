"""Once a fault is over, the bot answers as it did before, within a bounded time.

Both sides count: the webhook's answers and, where the mock sees them, the replies that follow. A bot whose pool is still filled
with calls that will never end acknowledges everything and answers nobody. In a campaign each chat whose calls met trouble is asked again;
that of a call without an answer when the bot has given it up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Final

from chaosbot.checks._directions import NO_RUN, clean_requests, last_moment
from chaosbot.checks._outbound import judged_trials, trials
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled, RequestDone
from chaosbot.core.registry import option
from chaosbot.core.verdict import Assertion, Finding, Judgement, Mechanism, RootCause, Severity, Threat, Verdict

_FEW: Final = 10
_STEP_S: Final = 1.0


@dataclass(frozen=True)
class Recovers(Check):
    """Faults leave nothing behind."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    within: float = option("duration", "how long after a fault all must be well again", 10.0, primary=True)

    def judge(self, history: History) -> Judgement:
        """Over a load run, and over the trials of a campaign."""
        ends = _ends(history)
        tried = [
            trial
            for trial in trials(history)
            # While a call was still under way the chat rightly waited for it.
            if trial.tried.again is not None and ends.get(trial.tried.case, 0.0) <= trial.tried.t
        ]
        gone = (
            (
                trial,
                RootCause("silent-after", Mechanism.TECHNIQUE, trial.tried.trouble),
                f"does not answer a chat any more after trouble with {trial.tried.method} ({trial.tried.trouble})",
                Severity.HIGH,
                f"{trial.tried.case}: the next message in the same chat was not answered",
            )
            for trial in tried
            if not trial.tried.again
        )
        return judged_trials(self._under_load(history), len(tried), gone)

    def _under_load(self, history: History) -> Judgement:
        """Compares the time after each fault with the baseline."""
        requests = clean_requests(history)
        spans = _spans(history)
        if not requests or not spans:
            reason = NO_RUN if not requests else "no phase of this run comes after a fault"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        usual = _usual(history, requests, spans[0][0])
        judged = 0
        assertions: list[Assertion] = []
        found: list[Finding] = []
        for start, end, label in spans:
            after = [request for request in requests if start <= request.started < end]
            if len(after) < _FEW:
                continue
            judged += len(after)
            took = _well_after(history, after, start, end, usual)
            name = f"recovery:{label}" if label else "recovery"
            if took is not None:
                verdict = Verdict.PASS if took <= self.within else Verdict.FAIL
                assertions.append(Assertion(name, f"<= {self.within:g}s", took, verdict))
            elif end - start < self.within:
                reason = f"not well after {end - start:.0f} s, which is all the time it got"
                assertions.append(Assertion(name, f"<= {self.within:g}s", None, Verdict.INCONCLUSIVE, reason=reason))
            if (took is None and end - start >= self.within) or (took is not None and took > self.within):
                found.append(
                    Finding(
                        self.name,
                        f"is not well again {self.within:g} s after {label or 'a fault'} is over",
                        Severity.HIGH,
                        Threat.NETWORK,
                        RootCause("unwell", place=label),
                        category=label,
                        summary=f"well after {took:.1f} s" if took is not None else "never well again in this phase",
                        stateful=True,
                    )
                )
        if not judged:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="too few requests came after a fault")
        verdict = Verdict.FAIL if found else Verdict.worst(assertion.verdict for assertion in assertions)
        return Judgement(self.name, verdict, tuple(found), tuple(assertions), judged=judged)


def _ends(history: History) -> dict[str, float]:
    """When the last of the calls that met a rule was over, by the rule's name."""
    over = {seen.exchange: seen.t for seen in history.exchanges}
    ends: dict[str, float] = defaultdict(float)
    for exchange, faults in history.injections.items():
        for fault in faults:
            ends[fault.rule] = max(ends[fault.rule], over.get(exchange, inf))
    return ends


def _spans(history: History) -> list[tuple[float, float, str]]:
    """The times after faults: each recovery phase, until the next fault or a burst begins or the load ends."""
    phases = history.phases
    spans = []
    for number, phase in enumerate(phases):
        if phase.phase != "recovery":
            continue
        end = next(
            (later.t for later in phases[number + 1 :] if later.phase in ("fault", "burst", "settle", "fuzz")), None
        )
        spans.append((phase.t, end if end is not None else last_moment(history), phase.label))
    return spans


def _fine(history: History, request: RequestDone, replied: frozenset[str | None]) -> bool:
    if not request.outcome.ok:
        return False
    calls = history.calls_by_marker.get(request.marker or "", [])
    return request.kind not in replied or any(call.status is not None and call.status < 500 for call in calls)


def _usual(history: History, requests: list[RequestDone], before: float) -> tuple[float, frozenset[str | None]]:
    """The share of fine requests before the first fault, and the kinds of update whose replies count: most of them got one.

    The answer to a pressed button repeats nothing of it, so that no reply to it is known.
    """
    baseline = next((phase.t for phase in history.phases if phase.phase == "baseline"), 0.0)
    fault = next((phase.t for phase in history.phases if phase.phase == "fault"), before)
    calm = [request for request in requests if baseline <= request.started < fault] or requests[: _FEW * 2]
    sent = Counter(request.kind for request in calm)
    got = Counter(request.kind for request in calm if _fine(history, request, frozenset(sent)))
    seen = bool(history.all(ApiCalled))
    replied = frozenset(kind for kind, count in sent.items() if seen and got[kind] >= 0.8 * count)
    return sum(_fine(history, request, replied) for request in calm) / len(calm), replied


def _well_after(
    history: History, after: list[RequestDone], start: float, end: float, usual: tuple[float, frozenset[str | None]]
) -> float | None:
    """Seconds until everything that is sent from then on is nearly as fine as before; None when it never is."""
    share, replied = usual
    moment = start
    while moment < end - _STEP_S / 2:
        rest = [request for request in after if request.started >= moment]
        if not rest:
            return None
        if sum(_fine(history, request, replied) for request in rest) >= 0.9 * share * len(rest):
            return round(moment - start, 3)
        moment += _STEP_S
    return None
