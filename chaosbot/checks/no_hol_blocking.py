"""Trouble with one chat holds up no other: the others are answered meanwhile as usual.

A bot that waits, in the one place through which all its messages go, for a chat that is refused, slow or silent makes everybody wait
for it (head-of-line blocking). A 429 for one chat is the everyday cause: its wait belongs to that chat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._outbound import judged_trials, trials
from chaosbot.core.check import Check, History
from chaosbot.core.verdict import Judgement, RootCause, Severity, Verdict


@dataclass(frozen=True)
class NoHolBlocking(Check):
    """Trouble with one chat holds up no other."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    def judge(self, history: History) -> Judgement:
        """Looks at whether another user was answered while a chat was in trouble."""
        seen = [trial for trial in trials(history) if trial.tried.others is not None]
        base = Judgement(
            self.name, Verdict.INCONCLUSIVE, reason="no outbound trouble was tried (stage outbound, with --bot-api)"
        )
        held = [trial for trial in seen if not trial.tried.others]
        # One late answer may be the machine's; a bot that waits in one place is late whenever it waits.
        return judged_trials(
            base,
            len(seen),
            (
                (
                    trial,
                    # Trials overlap, so which of them it waits for cannot be told; that it waits in one place is the cause.
                    RootCause("held-up"),
                    "answers nobody else while calls to one chat meet trouble",
                    Severity.HIGH,
                    f"another user's message was not answered while {trial.tried.method} met {trial.tried.trouble}",
                )
                for trial in held
            ),
        )
