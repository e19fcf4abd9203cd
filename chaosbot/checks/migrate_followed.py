"""``migrate_to_chat_id`` is followed: the message goes to the group's new id.

A group that became a supergroup refuses its old id for ever; a bot that does not read the answer is silent there from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._directions import NEEDS_CALLS, last_moment
from chaosbot.checks._outbound import judged_trials, trials
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_FAULT: Final = "botapi_migrate"
_PATIENCE_S: Final = 5.0


@dataclass(frozen=True)
class MigrateFollowed(Check):
    """Messages follow a group that migrated."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    def judge(self, history: History) -> Judgement:
        """Over a load run, and over the trials of a campaign."""
        told = [trial for trial in trials(history) if trial.tried.moved_to is not None and trial.calls]
        silent = (
            (
                trial,
                RootCause("not-followed"),
                "does not follow a group that migrated; its message is lost",
                Severity.MEDIUM,
                f"{trial.tried.method} to {trial.tried.chat} was never sent to the new id",
            )
            for trial in told
            if not any(str(call.chat) == str(trial.tried.moved_to) for call in trial.calls)
        )
        return judged_trials(self._under_load(history), len(told), silent)

    def _under_load(self, history: History) -> Judgement:
        """Looks for a call with the same marker to another chat after each migration."""
        if not history.all(ApiCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        told = {
            exchange
            for exchange, faults in history.injections.items()
            if any(fault.fault == _FAULT and fault.stage == "applied" for fault in faults)
        }
        end = last_moment(history)
        # Where no marker tells, the same words to a chat from which nobody wrote went to a group's new id.
        known = {str(request.chat) for request in history.requests}
        moved = {(call.method, call.text) for call in history.all(ApiCalled) if str(call.chat) not in known}
        judged = 0
        silent: list[ApiCalled] = []
        for calls in history.calls_by_marker.values():
            refused = [call for call in calls if call.exchange in told and call.chat is not None]
            if not refused or end - refused[0].t < _PATIENCE_S:
                continue
            judged += 1
            first = min(refused, key=lambda call: call.t)
            if not any(
                call.t >= first.t and call.chat is not None and str(call.chat) != str(first.chat) for call in calls
            ) and (history.repeats_markers or (first.method, first.text) not in moved):
                silent.append(first)
        if not judged:
            return Judgement(
                self.name, Verdict.INCONCLUSIVE, reason=f"no call was told of a migration (fault {_FAULT})"
            )
        if not silent:
            return Judgement(self.name, Verdict.PASS, judged=judged)
        finding = Finding(
            self.name,
            "does not follow a group that migrated; its message is lost",
            Severity.MEDIUM,
            Threat.NETWORK,
            RootCause("not-followed"),
            category="botapi",
            case=silent[0].exchange,
            summary=f"{silent[0].method} to {silent[0].chat} was never sent to the new id; {len(silent)} of {judged}",
            occurrences=len(silent),
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)
