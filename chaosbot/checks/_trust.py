"""What the checks of doubtful deliveries share: comparing what was done for whoever claims something with what is done by right."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from chaosbot.checks._cases import Violation, Violations, unjudgeable
from chaosbot.checks._likeness import ALIKE, words_in
from chaosbot.core.check import Check, History, Steps
from chaosbot.core.event import TrustTried
from chaosbot.core.verdict import Judgement, Verdict


class TrustCheck(Check):
    """A check over what the trust stage tried."""

    live: ClassVar[bool] = True
    nothing: ClassVar[str] = ""
    """Why there was nothing to judge, with the remedy."""

    def judge(self, history: History) -> Judgement:
        """Asks `violation` for everything that was tried."""
        reason = unjudgeable(history, self)
        if reason is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        violations = Violations(self.name)
        for tried in history.all(TrustTried):
            if tried.check != self.name or not own(tried):
                continue
            violations.judged += 1
            violation = self.violation(tried)
            if violation is not None:
                violations.add(violation, tried.case)
        return violations.judgement(nothing=self.nothing)

    def reproducer(self, history: History, case: str) -> Steps:  # noqa: ARG002 - no case shows it
        """No delivery shows by itself what others get for the same: the stage does it all again (``--stages trust``)."""
        return ()

    @abstractmethod
    def violation(self, tried: TrustTried) -> Violation | None:
        """What was wrong; None where nothing was."""


def own(tried: TrustTried) -> list[str]:
    """What is done for who may and not for who claims nothing."""
    return [deed for deed in tried.rightful if not any(_alike(deed, one) for one in tried.plain)]


def granted(tried: TrustTried) -> str:
    """The deed that was done each time although only who may gets it; empty where there is none."""
    return next(
        (deed for deed in own(tried) if all(any(_alike(deed, one) for one in seen) for seen in tried.tries)), ""
    )


def _alike(deed: str, other: str) -> bool:
    """Whether two deeds are calls of one method with nearly the same words."""
    (method, _, text), (named, _, said) = deed.partition(": "), other.partition(": ")
    words = words_in(text)
    return method == named and len(words & words_in(said)) >= ALIKE * len(words)
