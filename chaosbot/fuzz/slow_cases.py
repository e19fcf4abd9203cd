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
from chaosbot.core.observation import Dropped, Hung
from chaosbot.core.outcome import Fate
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.recorder import CaseRecorder
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.target import CampaignTarget, CaseResult
from chaosbot.fuzz.threads import ThreadPool

WIDTH: Final = 32
LONGEST_S: Final = 12.0
"""Most that a case without a bound of its own is waited for."""


class SlowCases:
    """The cases that take their time.

    Args:
        target: The target.
    """

    def __init__(self, target: CampaignTarget) -> None:
        self.target = target
        self._pool = ThreadPool(WIDTH, "fuzz-slow")
        self._told: set[int] = set()
        self._under_way: list[tuple[Future[CaseResult], int]] = []

    def add(self, cases: list[Case], stage: str) -> None:
        """Sends them, 32 at a time, while everything else goes on."""
        for case in cases:
            bound = case.expect.within_s + 1.0 if case.expect.within_s is not None else LONGEST_S
            future = self._pool.submit(self.target.fire, case, stage, timeout_s=min(bound, 35.0))
            self._under_way.append((future, self.target.deaths))

    def unanswered(self) -> list[CaseResult]:
        """What has ended without an answer since the last time somebody asked."""
        ended = [future.result() for future, _ in self._under_way if future.done() and not future.cancelled()]
        fresh = [
            result for result in ended if id(result) not in self._told and result.outcome.fate is not Fate.ANSWERED
        ]
        self._told.update(id(result) for result in ended)
        return fresh

    def collect(self, recorder: CaseRecorder, attribution: Attribution, clock: Clock) -> None:
        """Takes in what has come back; what stalled is sent once more before it is blamed."""
        suspects: list[CaseResult] = []
        for result in self._finished(clock):
            if not result.observations and self.target.suspicious(result) and self.target.deaths == 0:
                suspects.append(result)
            else:
                recorder.record(result)
        dice = Dice(self.target.spec.seed).at("slow-again")
        again = {
            self._pool.submit(
                self.target.fire, self.target.renewed(result.case, dice.at(number)), result.stage, fair=True
            ): result
            for number, result in enumerate(suspects)
            if not clock.over()
        }
        wait_for(again, timeout=max(0.1, clock.left()))
        for future, result in again.items():
            if future.done() and self.target.suspicious(future.result()):
                second = future.result()
                result.outcome = second.outcome
                result.observations.append(Dropped() if second.outcome.fate in (Fate.CLOSED, Fate.RESET) else Hung())
        for result in suspects:
            recorder.record(result)
        attribution.after([])

    def _finished(self, clock: Clock) -> list[CaseResult]:
        results: list[CaseResult] = []
        for future, _ in self._under_way:
            while not future.done() and not clock.over():
                wait_for([future], timeout=min(0.2, max(0.01, clock.until - monotonic())))
            if future.done() and not future.cancelled():
                results.append(future.result())
            else:
                future.cancel()
        self._under_way.clear()
        return results

    def close(self) -> None:
        """Stops sending; what is under way ends by its own bound."""
        self._pool.close()
