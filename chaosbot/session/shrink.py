"""The smallest fault plan that still breaks a run: delta debugging over a recorded plan, by running it again.

First rules go (ddmin over subsets, so that two faults which only break the bot together are kept together), then what is left
becomes rarer and shorter. Every attempt is a whole run with baseline and recovery, so a plan is smaller only when the same promise
is broken or the same finding is made again; what passed once by chance costs a rule, never a false claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chaosbot.config.experiment import Experiment
from chaosbot.core.plan import FaultPlan, Rule
from chaosbot.core.verdict import Verdict
from chaosbot.report import Report

RAREST: Final = 0.01
"""Probabilities are halved down to this; rarer faults may simply not occur in an attempt."""
SHORTEST_S: Final = 1.0
"""Fault windows are halved down to this."""


def breaches(report: Report) -> frozenset[str]:
    """What a run broke, by names that are the same in every run: failed promises and findings."""
    promises = {f"promise {item.name}" for item in report.assertions if item.verdict is Verdict.FAIL}
    return frozenset(promises | {f"finding {finding.id}" for finding in report.findings})


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What shrinking came to.

    Args:
        experiment: The smallest experiment that still breaks.
        breach: What it breaks.
        trials: How many runs it took.
        complete: Whether every smaller plan was tried; otherwise the runs ran out.
    """

    experiment: Experiment
    breach: str
    trials: int
    complete: bool


class OutOfTrials(Exception):
    """The bound on runs was met."""


class Shrinker:
    """Searches for the smallest plan.

    Args:
        again: Runs an experiment and returns what it broke.
        breach: What must be broken again.
        most: Most runs.
        tell: Takes one line for each step.
    """

    def __init__(
        self, again: Callable[[Experiment], frozenset[str]], breach: str, most: int, tell: Callable[[str], None]
    ) -> None:
        self._again = again
        self._breach = breach
        self._left = most
        self._most = most
        self._tell = tell

    def shrink(self, experiment: Experiment) -> Shrunk:
        """The smallest experiment found; at worst the one given."""
        best = experiment
        complete = True
        try:
            for smaller in self._steps(experiment):
                best = smaller
        except OutOfTrials:
            complete = False
        return Shrunk(best, self._breach, self._most - self._left, complete)

    def _steps(self, experiment: Experiment) -> Iterable[Experiment]:
        """Ever smaller experiments that still break."""
        current = experiment
        for smaller in self._fewer(current):
            current = smaller
            yield current
        for smaller in self._rarer(current):
            current = smaller
            yield current
        yield from self._shorter(current)

    def _breaks(self, experiment: Experiment, what: str) -> bool:
        if self._left <= 0:
            raise OutOfTrials
        self._left -= 1
        broken = self._breach in self._again(experiment)
        self._tell(f"{what}: {'still breaks' if broken else 'holds'}")
        return broken

    def _fewer(self, experiment: Experiment) -> Iterable[Experiment]:
        """Zeller's ddmin over the rules: halves, then complements, then ever finer."""
        rules, parts = list(experiment.plan.rules), 2
        while len(rules) > 1:
            size = max(1, len(rules) // parts)
            chunks = [rules[at : at + size] for at in range(0, len(rules), size)]
            candidates = chunks + ([_without(rules, chunk) for chunk in chunks] if len(chunks) > 2 else [])
            for candidate in candidates:
                smaller = _with(experiment, candidate)
                if self._breaks(smaller, f"{', '.join(rule.name for rule in candidate)} only"):
                    rules, parts = candidate, 2
                    yield smaller
                    break
            else:
                if size == 1:
                    return
                parts = min(len(rules), parts * 2)

    def _rarer(self, experiment: Experiment) -> Iterable[Experiment]:
        rules = list(experiment.plan.rules)
        for place, rule in enumerate(rules):
            rate = rule.rate / 2
            while rate >= RAREST:
                smaller = [*rules[:place], replace(rule, rate=rate), *rules[place + 1 :]]
                if not self._breaks(_with(experiment, smaller), f"{rule.name} with probability {rate:.3g}"):
                    break
                rules = smaller
                yield _with(experiment, rules)
                rate /= 2

    def _shorter(self, experiment: Experiment) -> Iterable[Experiment]:
        current = experiment
        while (length := current.lengths.fault_s / 2) >= SHORTEST_S:
            smaller = replace(current, lengths=replace(current.lengths, fault_s=length))
            if not self._breaks(smaller, f"fault windows of {length:.3g} s"):
                return
            current = smaller
            yield current


def _without(rules: Sequence[Rule], chunk: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule not in chunk]


def _with(experiment: Experiment, rules: Sequence[Rule]) -> Experiment:
    return replace(experiment, plan=FaultPlan(tuple(rules)))
