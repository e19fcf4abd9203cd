"""Charges a hang, a death or a lost canary to the case that caused it.

The rule: whoever is blamed was sent a second time, alone, with an idle connection and a canary beside it. A volley that went well
costs one canary; only a volley that did not is taken apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, sleep
from typing import Final

from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.outcome import Fate
from chaosbot.fuzz._anatomy import pauses, whole
from chaosbot.fuzz._hands import Hands
from chaosbot.fuzz.target import Canary, Target, Trial

_BESIDE_S: Final = 0.3
_ENDING_S: Final = 0.25
_MOST_ALONE: Final = 20
_LOOK_S: Final = 0.02
_ENOUGH: Final = 2
"""Confirmed cases of one mechanism after which its likes are no longer sent a second time."""


class Attribution:
    """Takes volleys apart.

    Args:
        target: The target.
        mechanism: Names what a trial stands for, so that a known mechanism is not confirmed for ever.
        probed: Told of every canary.

    `beside` names what was under way beside the volley and has ended without an answer (the slow cases's cases).
    """

    def __init__(self, target: Target, mechanism: Callable[[Trial], str], probed: Callable[[Canary], None]) -> None:
        self.target = target
        self.mechanism = mechanism
        self.probed = probed
        self.beside: Callable[[], list[Trial]] = list
        self._known: Counter[tuple[str, str]] = Counter()
        self._again = 0
        self._pool = Hands(1, "fuzz-alone")

    def close(self) -> None:
        """Ends the helper thread."""
        self._pool.close()

    def after(self, trials: Sequence[Trial]) -> None:
        """Looks at the target after a volley, and takes the volley apart when something is wrong.

        Raises:
            TargetUnusable: The target died and does not come back.
        """
        if not trials:
            return
        suspects = [trial for trial in trials if self.target.suspicious(trial)]
        canary = self._canary()
        died = not self.target.lives or (not canary.ok and self._gone(lambda: True))
        trials[-1].canary_s = canary.seconds
        if canary.ok and canary.seconds <= self.target.latency_s and not suspects and not died:
            return
        if died or not canary.ok:
            self._wait()
        blamed = 0
        # The unanswered ones first. A process may also die a moment after it has answered: then it is one of the others.
        beside = self.beside() if died else []
        leavers = [trial for trial in trials if died and not whole(trial.case) and trial not in suspects]
        rest = [trial for trial in trials if trial not in suspects] if died else ([] if suspects else list(trials))
        brief = [trial for trial in beside if pauses(trial.case) < _BESIDE_S][:_MOST_ALONE]
        # Most of them are victims that the target would wait for: when all at once do no harm, none is sent alone.
        for trial in brief if brief and self._harm(brief) else ():
            if blamed or self.target.should_stop():
                break
            blamed += self._alone(trial, died=died, timeout_s=pauses(trial.case) + _BESIDE_S / 2)
        for trial in (*suspects, *leavers):
            if self.target.should_stop():
                return
            blamed += self._alone(trial, died=died, ending_s=_LOOK_S * 3)
        for trial in rest[:_MOST_ALONE]:
            if blamed or self.target.should_stop():
                return
            blamed += self._alone(trial, died=died)
        if died and not blamed:
            trials[0].notes += ["died", "volley"]
            self.target.deaths += 1

    def _sentinel(self) -> AbstractContextManager[Callable[[], bool]]:
        """An idle connection where the process table cannot be seen."""
        return nullcontext(lambda: True) if self.target.pids else self.target.sentinel()

    def _gone(self, stands: Callable[[], bool], within_s: float = _ENDING_S) -> bool:
        """Whether the process has ended; the connection may tell a moment before the process table does."""
        until = monotonic() + within_s
        while monotonic() < until:
            if not (self.target.lives if self.target.pids else stands()):
                return True
            sleep(_LOOK_S)
        return False

    def stalls(self, mechanism: str) -> bool:
        """Whether this mechanism is known to stall the target, so that one more would only cost time."""
        return self._known["hung", mechanism] >= 1 or self._known["blocked", ""] >= 1

    def _canary(self) -> Canary:
        canary = self.target.canary()
        self.probed(canary)
        return canary

    def _wait(self) -> None:
        self.target.await_return()
        self.target.look()

    def _harm(self, trials: Sequence[Trial]) -> bool:
        """Whether the process ends when all of them are sent again side by side."""
        fresh = [self._renewed(trial) for trial in trials]
        longest = max(pauses(case) for case in fresh)
        with self._sentinel() as stands:
            self.target.volley(fresh, trials[0].stage, timeout_s=longest + _BESIDE_S / 2)
            gone = self._gone(stands)
        if gone:
            self._wait()
        return gone

    def _renewed(self, trial: Trial) -> Case:
        """The same case as a delivery of its own."""
        self._again += 1
        place = Dice(self.target.spec.seed).at("again", self._again, self.target.spec.endpoint.started)
        return self.target.renewed(trial.case, place)

    def _alone(self, trial: Trial, *, died: bool, timeout_s: float | None = None, ending_s: float = _ENDING_S) -> bool:
        """Sends it again, alone; whether it was to blame."""
        mechanism = self.mechanism(trial)
        unanswered = trial.outcome.fate in (Fate.CLOSED, Fate.RESET)
        if died and unanswered and self._known["died", mechanism] >= _ENOUGH:
            # It may be another victim as well; it is not blamed, and what is known explains the death.
            trial.notes.append("died-like-others")
            return True
        slow = trial.took > self.target.latency_s
        if slow and self.stalls(mechanism):
            trial.notes.append("hung-like-others")
            return False
        if unanswered and self._known["dropped", mechanism] >= _ENOUGH:
            trial.notes.append("dropped")
            return True
        again = self._renewed(trial)
        began = monotonic()
        with self._sentinel() as stands:
            future = self._pool.submit(self.target.fire, again, trial.stage, timeout_s=timeout_s)
            wait([future], timeout=_BESIDE_S)
            beside = None if future.done() else self._canary()
            second = future.result()
            unanswered_again = second.outcome.fate is not Fate.ANSWERED
            gone = (died or unanswered_again) and self._gone(stands, _ENDING_S if unanswered_again else ending_s)
        if gone:
            trial.notes.append("died")
            self._known["died", mechanism] += 1
            self.target.deaths += 1
            trial.outcome = second.outcome
            self._wait()
            return True
        blame = False
        if timeout_s is None and self.target.suspicious(second):
            blame = True
            trial.outcome = second.outcome
            if second.outcome.fate in (Fate.CLOSED, Fate.RESET, Fate.PROTOCOL):
                trial.notes.append("dropped")
                self._known["dropped", mechanism] += 1
            elif second.outcome.fate in (Fate.ANSWERED, Fate.TIMEOUT):
                trial.notes.append("hung")
                self._known["hung", mechanism] += 1
                if beside is not None and (not beside.ok or beside.seconds > self.target.latency_s / 2):
                    trial.notes.append("blocked")
                    self._known["blocked", ""] += 1
        if not blame and second.outcome.fate is Fate.ANSWERED:
            # A victim of its neighbours: what it gets by itself is what counts.
            trial.case, trial.outcome, trial.sent = again, second.outcome, second.sent
        return self._served(trial, began) or blame

    def _served(self, trial: Trial, began: float) -> bool:
        """Whether nobody was served any more after it, although it was answered itself.

        Raises:
            TargetUnusable: And that stays so.
        """
        canary = self._canary()
        trial.canary_s = canary.seconds
        if canary.ok:
            return False
        try:
            self._wait()
        except TargetUnusable:
            trial.notes.append("canary-lost")
            raise
        if "hung" in trial.notes or monotonic() - began <= self.target.latency_s:
            return False
        trial.notes.append("canary-lost")
        return True
