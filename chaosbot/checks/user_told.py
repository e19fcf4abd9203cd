"""A command gets an answer whatever stands behind it, where it gets one for ordinary arguments.

Frameworks acknowledge an update before, or although, its handler has failed; the user then waits for nothing. Such a failure shows only
in the answer that is missing. Judged where it was missing twice and the same command was answered right after it, so that silence by
design, a limit or a busy target is no finding. The same holds where a call to somebody else fails meanwhile (a notice to the owner):
who asked is answered, and of a message to many all others get theirs. And where the API refuses the answer itself, for markup that
somebody's words have broken or for its length, it must be said in another way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import ClassVar, Final

from chaosbot.checks._cases import Violation, Violations, says, unjudgeable
from chaosbot.checks._join import SHRINKING, Join
from chaosbot.checks._outbound import Trial, judged_trials, reached, speaks, succeeded, trials
from chaosbot.core.check import Check, History, Steps
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.verdict import Judgement, Mechanism, RootCause, Severity, Threat, Verdict

STILL: Final = "still"
"""The place of what is asked when all else is over and was answered at first."""
_MOST_STEPS: Final = 12
_SILENT: Final = "leaves a user without an answer when it cannot write to somebody else"
_ENDED: Final = "ends a message to many at the first whom it cannot reach"


@dataclass(frozen=True)
class UserTold(Check):
    """Odd arguments get an answer as ordinary ones do."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    awaits_replies: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Over a campaign's commands, and over its trials."""
        seen = [trial for trial in trials(history) if trial.tried.answered is not None]
        chats = _Chats(history)
        silent = [
            trial for trial in seen if not trial.tried.answered and not chats.late(history.case(trial.tried.case))
        ]
        return judged_trials(
            self._commands(history, chats),
            len(seen),
            (
                *(_untold(trial, "unanswered", _SILENT, "who asked for it got no reply") for trial in silent),
                *(
                    _untold(trial, "rest-untold", _ENDED, "nobody else got theirs")
                    for trial in seen
                    if trial.tried.rest is False
                ),
            ),
        )

    def reproducer(self, history: History, case: str) -> Steps:
        """What was written in the case's chat, up to it: an answer may be refused for what was said before."""
        named = history.case(case)
        if named is None or named.control:
            return super().reproducer(history, case)
        before = (one for one in history.cases if one.chat == named.chat and one.sent <= named.sent)
        return tuple((one.case,) for one in sorted(before, key=lambda one: one.sent)[-_MOST_STEPS:])

    def _commands(self, history: History, chats: _Chats) -> Judgement:
        """Looks for acknowledged commands without any reply among others of their kind with one, and for refused messages."""
        if (reason := unjudgeable(history, self)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations, join = Violations(self.name), Join.of(history)
        asked = {tried.case: tried for tried in history.cases if tried.group == "argument" and tried.stage != SHRINKING}
        answered = {name for name, tried in asked.items() if any(map(_answers, join.calls(tried))) or chats.late(tried)}
        for name, tried in asked.items():
            # An answer shows that the rule was kept; a missing one counts where its control was answered after it.
            if not tried.outcome.ok or (name not in answered and tried.control not in answered):
                continue
            violation = None
            if name not in answered:
                cause = RootCause("unanswered", Mechanism.TECHNIQUE, tried.change.place)
                lost = tried.change.place == STILL
                what = (
                    "does not answer any more what everybody was answered"
                    if lost
                    else "acknowledges a command and never answers it"
                )
                severity = Severity.HIGH if lost else Severity.MEDIUM
                violation = Violation(cause, f"{what}: {tried.summary}", severity, tried.threat, says(tried))
            violations.look(tried, violation)
        _refused(history, chats, violations)
        return violations.judgement(nothing="no command of the target answers ordinary arguments")


def _answers(call: ApiCalled) -> bool:
    """Whether somebody sees something of a call, be it that the button below which they wait has been pressed."""
    return reached(call) or (bool(call.callback) and succeeded(call))


def _untold(trial: Trial, symptom: str, title: str, what: str) -> tuple[Trial, RootCause, str, Severity, str]:
    """A violation in a trial."""
    tried = trial.tried
    cause = RootCause(symptom, Mechanism.TECHNIQUE, f"outbound-{tried.trouble}")
    summary = f"{tried.case}: {tried.method} to {tried.chat} failed, and {what}"
    return trial, cause, f"{title} ({tried.trouble})", Severity.MEDIUM, summary


class _Chats:
    """What was written in each chat, and when something reached it; looked up by time, since a target may call thousands of times.

    Args:
        history: The campaign.
    """

    def __init__(self, history: History) -> None:
        self._calls = history.calls_by_chat
        self._reached: dict[str, list[float]] = {}
        self._written: dict[str, list[CaseTried]] = defaultdict(list)
        for tried in sorted(history.cases, key=_sent):
            self._written[str(tried.chat)].append(tried)

    def written(self, chat: object) -> Sequence[CaseTried]:
        """The cases in a chat, in the order in which they were sent."""
        return self._written.get(str(chat), ())

    def place(self, chat: object, since: float) -> int:
        """How many of them were sent before."""
        return bisect_left(self.written(chat), since, key=_sent)

    def told(self, chat: object, since: float, until: float = inf) -> int:
        """How many calls reached the chat from then on and before `until`."""
        if (name := str(chat)) not in self._reached:
            self._reached[name] = sorted(call.t for call in self._calls.get(name, ()) if reached(call))
        times = self._reached[name]
        return bisect_left(times, until) - bisect_left(times, since)

    def late(self, tried: CaseTried | None) -> bool:
        """Whether as many answers as messages came to a case's chat since: a slow target answers after the next one was written."""
        if tried is None:
            return False
        return self.told(tried.chat, tried.sent) >= len(self.written(tried.chat)) - self.place(tried.chat, tried.sent)


def _sent(tried: CaseTried) -> float:
    return tried.sent


def _refused(history: History, chats: _Chats, violations: Violations) -> None:
    """A message that the API refuses for what it says, and nothing else for its user afterwards."""
    by_marker = {tried.marker: tried for tried in history.cases if tried.marker}
    for call in history.all(ApiCalled):
        if not call.refusal or not speaks(call):
            continue
        cases, place = chats.written(call.chat), chats.place(call.chat, nextafter(call.t, inf))
        marked = next((by_marker[mark] for mark in call.markers if mark in by_marker), None)
        asked = marked or (cases[place - 1] if place else None)
        if asked is None or asked.threat not in (Threat.USER, Threat.LOAD) or asked.stage == SHRINKING:
            continue
        # It may be said in another way when the next message was written already; that one has its own answer.
        following = cases[place : place + 2]
        ends = following[1].sent if len(following) > 1 else inf
        told = chats.told(call.chat, nextafter(call.t, inf), ends) > len(following[:1])
        reason = call.refusal.partition(":")[0]
        title = f"loses a message that the API refuses: {reason}"
        says_so = f"{asked.summary or asked.case}: {call.method} was refused ({call.refusal}), and nothing else came"
        cause = RootCause("refused", place=reason)
        one = Violation(cause, title, Severity.MEDIUM, Threat.USER, says_so, stateful=True)
        violations.look(asked, None if told else one)
