"""Runs beside the stages what takes its time: slow heads and bodies, requests that never end, answers never read.

They hold a connection and no more, so they do not disturb the others; the other way round, a target that died meanwhile took them
with it, which is no fault of theirs.
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from time import monotonic
from typing import Final

from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.outcome import Fate
from chaosbot.fuzz._hands import Hands
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.recorder import Recorder
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.target import Target, Trial

WIDTH: Final = 32
LONGEST_S: Final = 12.0
"""Most that a case without a bound of its own is waited for."""


class SlowLane:
    """The cases that take their time.

    Args:
        target: The target.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._pool = Hands(WIDTH, "fuzz-slow")
        self._told: set[int] = set()
        self._under_way: list[tuple[Future[Trial], int]] = []

    def add(self, cases: list[Case], stage: str) -> None:
        """Sends them, 32 at a time, while everything else goes on."""
        for case in cases:
            bound = case.expect.within_s + 1.0 if case.expect.within_s is not None else LONGEST_S
            future = self._pool.submit(self.target.fire, case, stage, timeout_s=min(bound, 35.0))
            self._under_way.append((future, self.target.deaths))

    def unanswered(self) -> list[Trial]:
        """What has ended without an answer since the last time somebody asked."""
        ended = [future.result() for future, _ in self._under_way if future.done() and not future.cancelled()]
        fresh = [trial for trial in ended if id(trial) not in self._told and trial.outcome.fate is not Fate.ANSWERED]
        self._told.update(id(trial) for trial in ended)
        return fresh

    def collect(self, recorder: Recorder, attribution: Attribution, clock: Clock) -> None:
        """Takes in what has come back; what stalled is sent once more before it is blamed."""
        suspects: list[Trial] = []
        for trial in self._finished(clock):
            if not trial.notes and self.target.suspicious(trial) and self.target.deaths == 0:
                suspects.append(trial)
            else:
                recorder.record(trial)
        dice = Dice(self.target.spec.seed).at("slow-again")
        again = {
            self._pool.submit(self.target.fire, self.target.renewed(trial.case, dice.at(number)), trial.stage): trial
            for number, trial in enumerate(suspects)
            if not clock.over()
        }
        wait_for(again, timeout=max(0.1, clock.left()))
        for future, trial in again.items():
            if future.done() and self.target.suspicious(future.result()):
                second = future.result()
                trial.outcome = second.outcome
                trial.notes.append("dropped" if second.outcome.fate in (Fate.CLOSED, Fate.RESET) else "hung")
        for trial in suspects:
            recorder.record(trial)
        attribution.after([])

    def _finished(self, clock: Clock) -> list[Trial]:
        trials: list[Trial] = []
        for future, _ in self._under_way:
            while not future.done() and not clock.over():
                wait_for([future], timeout=min(0.2, max(0.01, clock.until - monotonic())))
            if future.done() and not future.cancelled():
                trials.append(future.result())
            else:
                future.cancel()
        self._under_way.clear()
        return trials

    def close(self) -> None:
        """Stops sending; what is under way ends by its own bound."""
        self._pool.close()
