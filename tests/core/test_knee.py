"""The search against targets whose capacity is known."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.core.knee import KneeSearch, StepResult
from chaosbot.core.profile import PROFILES


def step(search: KneeSearch, capacity: float) -> StepResult:
    """What a target with this capacity makes of a step."""
    planned = round(search.rate * search.hold_s / 2)
    served = min(planned, round(capacity * search.hold_s / 2))
    return StepResult(planned, served, max(search.rate - capacity, 0.0))


@settings(deadline=None)
@given(st.floats(20, 15_000))
def test_the_knee_is_found_as_closely_as_asked(capacity: float) -> None:
    search, steps = PROFILES.build("knee").search(), 0
    while not search.done:
        search, steps = search.after(step(search, capacity)), steps + 1
        assert steps < 60
    assert 0.85 * capacity <= search.good <= 1.03 * capacity
    assert search.confirming


def test_a_target_without_limit_is_confirmed_at_the_limit() -> None:
    search = KneeSearch(100, 1000, 1, 2, 0.1)
    rates = []
    while not search.done:
        rates.append(search.rate)
        search = search.after(step(search, 1e9))
    assert rates == [100, 200, 400, 800, 1000, 1000]
    assert search.good == 1000


def test_a_target_that_does_nothing_ends_the_search_at_zero() -> None:
    search = KneeSearch(64, 1000, 1, 2, 0.1)
    while not search.done:
        search = search.after(step(search, 0))
    assert search.good == 0


def test_a_rate_that_fails_its_confirmation_is_given_up() -> None:
    search = KneeSearch(100, 10_000, 1, 10, 0.1)
    while not search.done:
        # Holds 500/s for a moment, 300/s for long.
        search = search.after(step(search, 300 if search.confirming else 500))
    assert 255 <= search.good <= 309


def test_a_growing_backlog_is_no_sustained_rate_though_everything_is_answered() -> None:
    assert StepResult(1000, 1000, 0.0).sustained(1000)
    assert not StepResult(1000, 1000, 50.0).sustained(1000)
    assert not StepResult(1000, 900, 0.0).sustained(1000)
