"""The search for the knee: the highest arrival rate that a target sustains.

Rules:

- Steps are judged by attainment (completed without error over planned) and by the slope of the backlog, never by
  percentiles: past saturation those only tell how long the step was.
- Doubling until a step fails, bisecting between the last good and the first bad rate, then one longer step at the best
  rate. A confirmation that fails lowers the upper bound and goes on bisecting.
- A search is a value: `after` gives the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ATTAINED = 0.98
"""A step is sustained when at least this share of its arrivals was completed without error."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step came to.

    Args:
        planned: Arrivals that were due.
        completed: Of these, answered without an error before the step ended.
        backlog_slope: By how many arrivals a second the number of unanswered ones grew over the step's second half.
    """

    planned: int
    completed: int
    backlog_slope: float

    def sustained(self, rate: float) -> bool:
        """Whether the target kept up: nearly everything done, and no queue that grows by more than a fiftieth."""
        return self.completed >= ATTAINED * self.planned and self.backlog_slope <= (1 - ATTAINED) * rate + 1


@dataclass(frozen=True, slots=True)
class KneeSearch:
    """Where the search stands.

    Args:
        rate: The rate to try now.
        limit: The rate that is never exceeded.
        step_s: Length of a step.
        confirm_s: Length of the confirmation.
        precision: The search ends when the bounds are this close.
        good: The highest rate that was sustained.
        bad: The lowest that was not.
        confirming: Whether this step is the long one.
        done: Whether the knee is known (or known not to exist below the limit).
    """

    rate: float
    limit: float
    step_s: float
    confirm_s: float
    precision: float
    good: float = 0.0
    bad: float | None = None
    confirming: bool = False
    done: bool = False

    @property
    def hold_s(self) -> float:
        """How long the next step lasts."""
        return self.confirm_s if self.confirming else self.step_s

    def after(self, result: StepResult) -> KneeSearch:
        """The search after a step at `rate`."""
        if result.sustained(self.rate):
            if self.confirming:
                return replace(self, good=self.rate, done=True)
            return _next(replace(self, good=max(self.good, self.rate)))
        bad = self.rate if self.bad is None else min(self.bad, self.rate)
        # A rate that failed its confirmation is no longer a good one; half of it is the next thing known to be safe to try.
        good = 0.0 if self.confirming else self.good
        return _next(replace(self, bad=bad, good=good, confirming=False))


def _next(search: KneeSearch) -> KneeSearch:
    if search.bad is None:
        if search.good >= search.limit:
            return replace(search, confirming=True)
        return replace(search, rate=min(search.good * 2, search.limit))
    if search.good == 0:
        lower = search.bad / 2
        return replace(search, done=True) if lower < 1 else replace(search, rate=lower)
    if search.bad - search.good <= search.precision * search.good:
        return replace(search, rate=search.good, confirming=True)
    return replace(search, rate=(search.good + search.bad) / 2)
