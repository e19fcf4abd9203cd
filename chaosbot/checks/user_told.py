"""A command gets an answer whatever stands behind it, where it gets one for ordinary arguments.

Frameworks acknowledge an update before, or although, its handler has failed; the user then waits for nothing. Such a failure shows only
in the answer that is missing. Judged for commands that answer nearly always, so that silence by design is no finding. The same holds
where a call to somebody else fails meanwhile (a notice to the owner): who asked is answered.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._cases import Violation, Violations, says, unjudgeable
from chaosbot.checks._join import SHRINKING, Join
from chaosbot.checks._outbound import judged_trials, trials
from chaosbot.core.check import Check, History
from chaosbot.core.event import CaseTried
from chaosbot.core.verdict import Judgement, Mechanism, RootCause, Severity, Threat, Verdict

_USUAL: Final = 0.9
"""A command that answers less often than this may be silent by design, or by a limit."""
_FEW: Final = 8
_MOST: Final = 0.1
"""Where more of a campaign's commands go unanswered, the target was busy or limited the sender."""


@dataclass(frozen=True)
class UserTold(Check):
    """Odd arguments get an answer as ordinary ones do."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    awaits_replies: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Over a campaign's commands, and over its trials."""
        seen = [trial for trial in trials(history) if trial.tried.answered is not None]
        silent = (
            (
                trial,
                RootCause("unanswered", Mechanism.TECHNIQUE, f"outbound-{trial.tried.trouble}"),
                f"leaves a user without an answer when it cannot write to somebody else ({trial.tried.trouble})",
                Severity.MEDIUM,
                f"{trial.tried.case}: {trial.tried.method} to {trial.tried.chat} failed, and who asked for it got no reply",
            )
            for trial in seen
            if not trial.tried.answered
        )
        return judged_trials(self._commands(history), len(seen), silent)

    def _commands(self, history: History) -> Judgement:
        """Looks for acknowledged commands without any reply among others of their kind with one."""
        if (reason := unjudgeable(history, self)) is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations, join = Violations(self.name), Join(history)
        by_command: dict[str, list[CaseTried]] = defaultdict(list)
        for tried in history.cases:
            valid = tried.threat is Threat.USER  # what no person can write may be dropped without a word
            if tried.group == "argument" and valid and tried.stage != SHRINKING and tried.outcome.ok:
                by_command[tried.change.operator].append(tried)
        answered = {tried.case for cases in by_command.values() for tried in cases if join.calls(tried)}
        every = sum(map(len, by_command.values()))
        calm = every and len(answered) >= (1 - _MOST) * every
        for cases in by_command.values():
            ordinary = [tried for tried in cases if tried.change.place == "argument/ordinary"]
            usual = sum(tried.case in answered for tried in cases) >= _USUAL * len(cases)
            if len(cases) < _FEW or not usual or not calm or not all(tried.case in answered for tried in ordinary):
                continue
            for tried in cases:
                violation = None
                if tried.case not in answered:
                    cause = RootCause("unanswered", Mechanism.TECHNIQUE, tried.change.place)
                    title = f"acknowledges a command and never answers it: {tried.summary}"
                    violation = Violation(cause, title, Severity.MEDIUM, tried.threat, says(tried))
                violations.look(tried, violation)
        return violations.judgement(nothing="no command of the target answers ordinary arguments reliably")
