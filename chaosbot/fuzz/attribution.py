"""Charges a hang, a death or a lost health request to the case that caused it.

The rule: whoever is blamed was sent a second time, alone, with an idle connection and a health request beside it. A volley that went well
costs one health request; only a volley that did not is taken apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, sleep
from typing import Final

from chaosbot.core.case import ORDINARY, Case, Change
from chaosbot.core.dice import Dice
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.observation import Died, Dropped, HealthLost, Hung, Quiet, VictimOfDeath, VictimOfStall, observed
from chaosbot.core.outcome import Fate
from chaosbot.fuzz.requests import pauses, whole
from chaosbot.fuzz.target import HANDS, CampaignTarget, CaseResult, HealthReply
from chaosbot.fuzz.threads import ThreadPool

_BESIDE_S: Final = 0.3
_ENDING_S: Final = 0.25
_MOST_ALONE: Final = 20
_LOOK_S: Final = 0.02
_MOST_CHARGED: Final = 16
"""So many cases may be under way at once."""
_ENOUGH: Final = 2
"""Confirmed cases of one mechanism after which its likes are no longer sent a second time."""


class Attribution:
    """Takes volleys apart.

    Args:
        target: The target.
        mechanism: Names what a result stands for, so that a known mechanism is not confirmed for ever.
        probed: Told of every health request.

    `beside` names what was under way beside the volley and has ended without an answer (the slow cases's cases).
    """

    def __init__(
        self, target: CampaignTarget, mechanism: Callable[[CaseResult], Change], probed: Callable[[HealthReply], None]
    ) -> None:
        self.target = target
        self.mechanism = mechanism
        self.probed = probed
        self.beside: Callable[[], list[CaseResult]] = list
        self._known: Counter[tuple[str, Change]] = Counter()
        self._again = 0
        self._pool = ThreadPool(1, "fuzz-alone")

    def close(self) -> None:
        """Ends the helper thread."""
        self._pool.close()

    def after(self, results: Sequence[CaseResult]) -> None:
        """Looks at the target after a volley, and takes the volley apart when something is wrong.

        Raises:
            TargetUnusable: The target died, or answers nothing any more, and does not come back; what was under way is charged with it.
        """
        if not results:
            return
        try:
            self._apart(results)
        except TargetUnusable:
            self._charge(results, died=not self.target.lives)
            raise

    def _charge(self, results: Sequence[CaseResult], *, died: bool) -> None:
        """Charges a death or a hang for good to what was unanswered when it happened: nothing can be sent again."""
        if any(isinstance(one, Died | HealthLost) for result in results for one in result.observations):
            return  # it was confirmed before the target went away
        waiting = (Fate.CLOSED, Fate.RESET) if died else (Fate.TIMEOUT,)
        suspects = [result for result in results if result.outcome.fate in waiting and whole(result.case)]
        if not suspects and died:
            # It answered and ended a moment later, or was sent a request that does not wait for an answer.
            over = [result for result in results if result.outcome.fate is not Fate.REFUSED]
            suspects = sorted(over, key=lambda result: result.sent + result.outcome.total_s)[-_MOST_CHARGED:]
        if not suspects:
            return
        first = min(suspects, key=lambda result: result.sent)
        beside = tuple(result.case.name for result in suspects if result is not first)[:_MOST_CHARGED]
        first.observations.append(
            Died(alone=False, for_good=True, beside=beside) if died else HealthLost(for_good=True, beside=beside)
        )

    def _apart(self, results: Sequence[CaseResult]) -> None:
        suspects = [result for result in results if self.target.suspicious(result)]
        health = self._health()
        died = not self.target.lives or (not health.ok and self._gone(lambda: True))
        if health.outcome.fate is Fate.CANCELLED and not died:
            # The campaign's time is over. That says nothing about a target, unless all that was under way at once went unanswered.
            if sum(result.outcome.fate is Fate.TIMEOUT for result in results) >= min(HANDS, len(results)):
                raise TargetUnusable(f"{self.target.spec.address.url}: answers nothing any more; start it again")
            return
        results[-1].health_s = health.seconds
        if health.ok and health.seconds <= self.target.latency_s and not suspects and not died:
            return
        self.target.calm.clear()
        try:
            self._blame(results, suspects, died=died, healthy=health.ok)
        finally:
            self.target.calm.set()

    def _blame(
        self, results: Sequence[CaseResult], suspects: Sequence[CaseResult], *, died: bool, healthy: bool
    ) -> None:
        """Sends again, alone, what may have done it; what goes on beside waits meanwhile."""
        if died or not healthy:
            self._wait()
        blamed = 0
        # The unanswered ones first. A process may also die a moment after it has answered: then it is one of the others.
        beside = self.beside() if died else []
        leavers = [result for result in results if died and not whole(result.case) and result not in suspects]
        rest = [result for result in results if result not in suspects] if died else ([] if suspects else list(results))
        brief = [result for result in beside if pauses(result.case) < _BESIDE_S][:_MOST_ALONE]
        # Most of them are victims that the target would wait for: when all at once do no harm, none is sent alone.
        for result in brief if brief and self._harm(brief) else ():
            if blamed or self.target.should_stop():
                break
            blamed += self._alone(result, died=died, timeout_s=pauses(result.case) + _BESIDE_S / 2)
        for result in (*suspects, *leavers):
            if self.target.should_stop():
                return
            blamed += self._alone(result, died=died, ending_s=_LOOK_S * 3)
        for result in rest[:_MOST_ALONE]:
            if blamed or self.target.should_stop():
                return
            blamed += self._alone(result, died=died)
        if died and not blamed:
            results[0].observations.append(Died(alone=False))
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

    def stalls(self, mechanism: Change) -> bool:
        """Whether this mechanism is known to stall the target, so that one more would only cost time."""
        return self._known["hung", mechanism] >= 1 or self._known["blocked", ORDINARY] >= 1

    def _health(self) -> HealthReply:
        health = self.target.health()
        self.probed(health)
        return health

    def _wait(self) -> None:
        self.target.await_return()
        self.target.look()

    def _harm(self, results: Sequence[CaseResult]) -> bool:
        """Whether the process ends when all of them are sent again side by side."""
        fresh = [self._renewed(result) for result in results]
        longest = max(pauses(case) for case in fresh)
        with self._sentinel() as stands:
            self.target.volley(fresh, results[0].stage, timeout_s=longest + _BESIDE_S / 2)
            gone = self._gone(stands)
        if gone:
            self._wait()
        return gone

    def _renewed(self, result: CaseResult) -> Case:
        """The same case as a delivery of its own."""
        self._again += 1
        place = Dice(self.target.spec.seed).at("again", self._again, self.target.spec.endpoint.started)
        return self.target.renewed(result.case, place)

    def _alone(
        self, result: CaseResult, *, died: bool, timeout_s: float | None = None, ending_s: float = _ENDING_S
    ) -> bool:
        """Sends it again, alone; whether it was to blame."""
        mechanism = self.mechanism(result)
        unanswered = result.outcome.fate in (Fate.CLOSED, Fate.RESET)
        if died and unanswered and self._known["died", mechanism] >= _ENOUGH:
            # It may be another victim as well; it is not blamed, and what is known explains the death.
            result.observations.append(VictimOfDeath())
            return True
        slow = result.took > self.target.latency_s
        if slow and self.stalls(mechanism):
            result.observations.append(VictimOfStall())
            return False
        if unanswered and self._known["dropped", mechanism] >= _ENOUGH:
            result.observations.append(Dropped())
            return True
        again = self._renewed(result)
        began = monotonic()
        with self._sentinel() as stands:
            future = self._pool.submit(self.target.fire, again, result.stage, timeout_s=timeout_s, fair=True)
            wait([future], timeout=_BESIDE_S)
            beside = None if future.done() else self._health()
            second = future.result()
            unanswered_again = second.outcome.fate is not Fate.ANSWERED
            gone = (died or unanswered_again) and self._gone(stands, _ENDING_S if unanswered_again else ending_s)
        if gone:
            result.observations.append(Died())
            self._known["died", mechanism] += 1
            self.target.deaths += 1
            result.outcome = second.outcome
            self._wait()
            return True
        blame = False
        if timeout_s is None and self.target.suspicious(second):
            blame = True
            result.outcome = second.outcome
            if second.outcome.fate in (Fate.CLOSED, Fate.RESET, Fate.PROTOCOL):
                result.observations.append(Dropped())
                self._known["dropped", mechanism] += 1
            elif second.outcome.fate in (Fate.ANSWERED, Fate.TIMEOUT):
                others_s = 0.0 if beside is None else beside.seconds - second.starved_s
                blocked = beside is not None and (not beside.ok or others_s > self.target.latency_s / 2)
                result.observations.append(Hung(blocked))
                self._known["hung", mechanism] += 1
                self._known["blocked", ORDINARY] += blocked
        if not blame and second.outcome.fate is Fate.ANSWERED:
            # A victim of its neighbours: what it gets by itself is what counts.
            result.case, result.outcome, result.sent = again, second.outcome, second.sent
            result.exchange = second.exchange
            result.observations = [one for one in result.observations if not isinstance(one, Quiet)]
        return self._served(result, began) or blame

    def _served(self, result: CaseResult, began: float) -> bool:
        """Whether nobody was served any more after it, although it was answered itself.

        Raises:
            TargetUnusable: And that stays so.
        """
        health = self._health()
        if health.outcome.fate is Fate.CANCELLED:
            return False
        result.health_s = health.seconds
        if health.ok:
            return False
        try:
            self._wait()
        except TargetUnusable:
            result.observations.append(HealthLost())
            raise
        if observed(result.observations, Hung) or monotonic() - began <= self.target.latency_s:
            return False
        result.observations.append(HealthLost())
        return True
