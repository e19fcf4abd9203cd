"""What was acknowledged is done, however the bot's own calls fail meanwhile.

An acknowledgement ends the platform's responsibility. A bot that acknowledges first and forgets when its call fails loses messages
that nobody will ever deliver again. Tasks that the bot never answers, faults or not, are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks import _directions
from chaosbot.checks._outbound import judged_trials, trials
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled, ModelCalled, RequestDone
from chaosbot.core.verdict import Finding, Judgement, Mechanism, RootCause, Severity, Threat, Verdict

_FEW: Final = 5
_CALM_S: Final = 5
_SILENT_SHARE: Final = 0.05
"""Tasks of which more than this share goes unanswered in calm times may be ignored by nature (rate limits, no reply)."""


@dataclass(frozen=True)
class AckedNotLost(Check):
    """No acknowledged update is forgotten."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    def judge(self, history: History) -> Judgement:
        """Over a load run, and over the trials of a campaign."""
        tried = [trial for trial in trials(history) if trial.tried.lossless]
        lost = (
            (
                trial,
                RootCause("lost", Mechanism.TECHNIQUE, trial.tried.trouble),
                f"loses the message when {trial.tried.method} meets trouble ({trial.tried.trouble})",
                Severity.HIGH if trial.tried.trouble.startswith("429") else Severity.MEDIUM,
                f"{trial.tried.case}: {len(trial.calls)} calls, none of which reached the user",
            )
            for trial in tried
            if not (trial.delivered or trial.refused_note)
        )
        return judged_trials(self._under_load(history), len(tried), lost)

    def _under_load(self, history: History) -> Judgement:
        """Joins acknowledged requests with the calls that carry their marker."""
        # Where a model gave no answer the user gets some word, which `llm_user_answered` judges; it need not repeat what was asked.
        left = {
            marker
            for called in history.all(ModelCalled)
            if called.status != 200 or called.exchange in history.injections
            for marker in called.markers
        }
        requests = [
            request
            for request in _directions.clean_requests(history)
            if request.outcome.ok and request.marker not in left
        ]
        if not requests:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=_directions.NO_RUN)
        if not history.all(ApiCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=_directions.NEEDS_CALLS)
        troubles = _directions.outbound_trouble(history)
        end, patience = _directions.last_moment(history), _directions.patience_of(history)
        groups: dict[str, list[tuple[RequestDone, bool]]] = defaultdict(list)
        hurried = 0
        for request in requests:
            calls = history.calls_by_marker.get(request.marker or "", [])
            since = max([request.t, *(call.t for call in calls)])
            done = _directions.settled(calls)
            if not done and (end - since < patience or _directions.calm_seconds(troubles, since, end) < _CALM_S):
                hurried += 1
                continue
            groups[request.task].append((request, done))
        lost: list[RequestDone] = []
        judged = 0
        for entries in groups.values():
            # Before the first fault is calm for sure; later a bot may still suffer from what is over.
            calm = [done for request, done in entries if troubles and request.t < troubles[0] - 1.0]
            if len(calm) < _FEW:
                calm = [done for request, done in entries if not _near(request.t, troubles)]
            silent = calm.count(False) / len(calm) if len(calm) >= _FEW else 1.0
            if silent > _SILENT_SHARE:
                continue
            judged += len(entries)
            gone = [request for request, done in entries if not done]
            # What is silent now and then in calm times too is not the fault's doing.
            if len(gone) > 3 * silent * len(entries):
                lost += gone
        if not judged:
            reason = (
                f"{hurried} updates were still open when the run ended; give it a longer recovery" if hurried else ""
            )
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason or "the bot answers no task reliably")
        if not lost:
            return Judgement(self.name, Verdict.PASS, judged=judged)
        first = lost[0]
        finding = Finding(
            self.name,
            "acknowledges updates and then loses them",
            Severity.HIGH,
            Threat.NETWORK,
            RootCause("lost"),
            category=first.task,
            case=first.exchange,
            summary=f"{len(lost)} of {judged}; the first: {first.task} at {first.t:.1f} s (marker {first.marker}) was answered 2xx and never replied to",
            occurrences=len(lost),
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)


def _near(t: float, troubles: list[float]) -> bool:
    return any(abs(t - moment) < 1.0 for moment in troubles)
