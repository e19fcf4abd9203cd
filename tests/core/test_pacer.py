"""A pacer against its own definition: exact sums with fractions, inverses, and people counted one by one."""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chaosbot.core.arrival import Draws, Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.journey import JourneySpec, Task
from chaosbot.core.pacer import Pacer, Stage

LEVELS = st.one_of(st.just(0.0), st.floats(0.5, 2000), st.integers(1, 500).map(float))
STAGES = st.builds(Stage, st.one_of(st.just(0.0), st.floats(0.25, 120)), LEVELS)
PACERS = st.builds(Pacer, st.lists(STAGES, min_size=1, max_size=6).map(tuple), LEVELS)
JOURNEYS = (
    JourneySpec("many", 0.8, (1, 5), (Task("a"),), range(1000)),
    JourneySpec("few", 0.2, (1, 5), (Task("b"),), ("x", "y", "z")),
)


def exact_total(pacer: Pacer, t: float) -> Fraction:
    """The integral as schoolbooks do it: trapezoids, with fractions."""
    area, at, level = Fraction(0), Fraction(0), Fraction(pacer.start)
    for stage in pacer.stages:
        length, to = Fraction(stage.duration_s), Fraction(stage.to)
        passed = min(max(Fraction(t) - at, Fraction(0)), length)
        if passed > 0:
            there = level + (to - level) * passed / length
            area += (level + there) / 2 * passed
        at, level = at + length, to
    return area


@settings(deadline=None)
@given(PACERS, st.floats(0, 1))
def test_the_total_is_the_exact_integral_of_the_level(pacer: Pacer, share: float) -> None:
    t = pacer.duration_s * share
    assert pacer.total(t) == pytest.approx(float(exact_total(pacer, t)), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@example(Pacer((Stage(0.99999, 3.0), Stage(2.0, 0.0)), 0.0), 1.0)
@given(PACERS, st.floats(0, 1))
def test_when_finds_the_first_moment_at_which_the_total_is_reached(pacer: Pacer, share: float) -> None:
    amount = pacer.total(pacer.duration_s) * share
    moment = pacer.when(amount)
    assert moment is not None
    assert pacer.total(moment) == pytest.approx(amount, rel=1e-6, abs=1e-6)
    assert pacer.total(moment * (1 - 1e-6)) <= amount + 1e-6 * max(amount, 1)


@settings(deadline=None)
@given(PACERS)
def test_what_is_more_than_everything_never_comes(pacer: Pacer) -> None:
    assert pacer.when(pacer.total(pacer.duration_s) + 1) is None


@settings(deadline=None)
@given(PACERS)
def test_arrivals_are_due_in_order_inside_the_plan_and_none_is_missing(pacer: Pacer) -> None:
    assume(pacer.total(pacer.duration_s) < 20_000)
    dues = list(pacer.dues())
    assert len(dues) == pacer.arrivals
    # Half an arrival may round either way.
    assert abs(pacer.arrivals - exact_total(pacer, pacer.duration_s)) <= 0.5 + 1e-6
    assert dues == sorted(dues)
    assert all(0 <= due <= pacer.duration_s * (1 + 1e-12) for due in dues)
    for number in range(0, len(dues), max(len(dues) // 50, 1)):
        assert pacer.total(dues[number]) == pytest.approx(number, rel=1e-6, abs=1e-3)


@settings(deadline=None)
@given(PACERS, st.floats(0.001, 0.999))
def test_users_counted_one_by_one_are_the_level(pacer: Pacer, share: float) -> None:
    t = pacer.duration_s * share
    assume(pacer.peak <= 600)
    level = pacer.level(t)
    # Right at a crossing or a jump both neighbours are right.
    assume(abs(level - round(level)) > 1e-3 or level == 0)
    edges = [sum(stage.duration_s for stage in pacer.stages[:count]) for count in range(len(pacer.stages) + 1)]
    assume(all(abs(t - edge) > 1e-6 for edge in edges))
    present = sum(any(come <= t < go for come, go in pacer.spans(user)) for user in range(math.ceil(pacer.peak) + 1))
    assert present == math.floor(level)


@settings(deadline=None)
@given(PACERS, st.floats(0.1, 10), st.floats(0.1, 1000))
def test_scaling_and_stretching_change_the_total_by_their_factor(pacer: Pacer, height: float, length: float) -> None:
    assume(pacer.duration_s > 0)
    whole = pacer.total(pacer.duration_s)
    scaled, stretched = pacer.scaled(height), pacer.stretched(length)
    assert scaled.total(scaled.duration_s) == pytest.approx(whole * height)
    assert stretched.duration_s == pytest.approx(length)
    assert stretched.total(stretched.duration_s) == pytest.approx(whole * length / pacer.duration_s)


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 5000), st.integers(0, 2**32))
def test_every_arrival_belongs_to_exactly_one_shard_and_is_the_same_person_in_each(
    count: int, number: int, seed: int
) -> None:
    people = [Population(JOURNEYS, Dice(seed)) for _ in range(count)]
    visitors = {people[index].visitor(number)[1] for index in range(count)}
    assert len(visitors) == 1
    (user,) = visitors
    assert sum(Shard(index, count).owns(user) for index in range(count)) == 1


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 400))
def test_the_users_of_all_shards_are_the_users_of_one_machine(count: int, users: int) -> None:
    people = Population(JOURNEYS, Dice(1))
    whole = [people.resident(number)[1] for number in range(users)]
    split = [user for index in range(count) for user in whole if Shard(index, count).owns(user)]
    assert sorted(map(str, split)) == sorted(map(str, whole))


def test_a_hundred_residents_have_the_shares_of_their_journeys() -> None:
    people = Population(JOURNEYS, Dice(1))
    names = [people.resident(number)[0].name for number in range(200)]
    assert names.count("many") == 160
    assert names[:100].count("few") == 20


def test_visitors_come_as_often_as_their_share_says() -> None:
    people = Population(JOURNEYS, Dice(5))
    names = [people.visitor(number)[0].name for number in range(20_000)]
    assert names.count("few") / 20_000 == pytest.approx(0.2, abs=0.012)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 10_000), min_size=1, max_size=30))
def test_draws_depend_on_their_index_only(seed: int, indices: list[int]) -> None:
    straight = {index: Draws(Dice(seed)).at(index) for index in indices}
    shared = Draws(Dice(seed))
    assert all(shared.at(index) == straight[index] and 0 <= straight[index] < 1 for index in reversed(indices))
