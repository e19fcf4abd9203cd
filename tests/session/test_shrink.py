"""Shrinking finds the smallest plan for every shape of cause, within its bound of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.config.experiment import Experiment
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.session.shrink import RAREST, SHORTEST_S, Shrinker

NAMES = [f"rule-{number}" for number in range(8)]


def experiment(count: int) -> Experiment:
    return Experiment(plan=plan_of([parse_fault(f"abort;name={name}") for name in NAMES[:count]]))


def shrink(count: int, breaks, most: int = 400):
    """Shrinks against a pretended target, which breaks when `breaks(experiment)` says so."""
    runs = []

    def again(candidate: Experiment) -> frozenset[str]:
        runs.append(candidate)
        return frozenset({"promise p99"}) if breaks(candidate) else frozenset({"promise other"})

    result = Shrinker(again, "promise p99", most, lambda _line: None).shrink(experiment(count))
    assert result.trials == len(runs) <= most
    return result


def names(candidate: Experiment) -> set[str]:
    return {rule.name for rule in candidate.plan.rules}


@given(st.integers(1, 8), st.data())
def test_what_is_needed_together_stays_and_all_else_goes(count: int, data: st.DataObject) -> None:
    needed = data.draw(st.sets(st.sampled_from(NAMES[:count]), min_size=1))
    result = shrink(count, lambda candidate: needed <= names(candidate))
    assert names(result.experiment) == needed
    assert result.complete


def test_probabilities_and_windows_become_as_small_as_still_breaks() -> None:
    result = shrink(3, lambda it: it.plan.rules[0].rate >= 0.3 and it.lengths.fault_s >= 4)
    assert result.experiment.plan.rules[0].rate == pytest.approx(0.5)
    assert 4 <= result.experiment.lengths.fault_s < 8


def test_what_always_breaks_ends_at_the_smallest_of_everything() -> None:
    result = shrink(4, lambda _candidate: True)
    [rule] = result.experiment.plan.rules
    assert RAREST <= rule.rate < 2 * RAREST
    assert SHORTEST_S <= result.experiment.lengths.fault_s < 2 * SHORTEST_S


def test_the_bound_on_runs_is_kept_and_said() -> None:
    result = shrink(8, lambda candidate: "rule-3" in names(candidate), most=2)
    assert result.trials == 2
    assert not result.complete
    assert "rule-3" in names(result.experiment)
