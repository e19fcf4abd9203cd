"""Model and dice: pure decisions hold for every input, in every order."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.core import units
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.verdict import Verdict

keys = st.lists(st.one_of(st.text(max_size=20), st.integers(), st.binary(max_size=20)), min_size=1, max_size=5)


@given(st.integers(), st.lists(keys, min_size=1, max_size=30), st.randoms())
def test_draws_do_not_depend_on_the_order_in_which_they_are_made(
    seed: int, wanted: list[list], order: random.Random
) -> None:
    dice = Dice(seed)
    first = {repr(key): dice.at(*key).fraction() for key in wanted}
    shuffled = list(wanted)
    order.shuffle(shuffled)
    assert {repr(key): dice.at(*key).fraction() for key in shuffled} == first


@given(st.integers(), keys, keys)
def test_different_keys_are_different_places(seed: int, one: list, other: list) -> None:
    same = [(type(part), part) for part in one] == [(type(part), part) for part in other]
    assert (Dice(seed).at(*one).path == Dice(seed).at(*other).path) == same


@given(st.integers(), keys, keys)
def test_going_deeper_in_one_step_or_in_two_is_the_same_place(seed: int, one: list, other: list) -> None:
    deep = Dice(seed).at(*one).at(*other)
    if len(Dice(seed).at(*one, *other).path) <= 64 and not Dice(seed).at(*one).path.startswith(b"h"):
        assert deep == Dice(seed).at(*one, *other)
    assert 0 <= deep.fraction() < 1


@given(st.integers(), keys)
def test_probability_zero_never_fires_and_one_always_does(seed: int, key: list) -> None:
    assert not Dice(seed).at(*key).chance(0.0)
    assert Dice(seed).at(*key).chance(1.0)


def test_a_probability_of_0_3_fires_about_three_times_in_ten() -> None:
    fired = sum(Dice(7).at("rule", number).chance(0.3) for number in range(20_000))
    # Five standard deviations: fails by chance once in two million seeds, and the seed is fixed.
    assert abs(fired / 20_000 - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 20_000)


@given(st.integers(), st.integers(-1000, 1000), st.integers(0, 1000))
def test_integers_stay_inside_their_range(seed: int, low: int, width: int) -> None:
    assert low <= Dice(seed).integer(low, low + width) <= low + width


@given(st.integers(), st.lists(st.integers(), max_size=50))
def test_shuffling_keeps_every_item(seed: int, items: list[int]) -> None:
    assert sorted(Dice(seed).shuffled(items)) == sorted(items)


@given(st.integers(), st.lists(st.floats(0, 10), min_size=1, max_size=10))
def test_an_option_of_weight_zero_is_never_chosen(seed: int, weights: list[float]) -> None:
    if math.fsum(weights) > 0:
        chosen = Dice(seed).weighted(range(len(weights)), weights)
        assert weights[chosen] > 0


@pytest.mark.parametrize("seed", range(3))
def test_distributions_have_the_centre_that_they_promise(seed: int) -> None:
    places = [Dice(seed).at("draw", number) for number in range(4001)]
    median = sorted(place.lognormal(0.2, 0.5) for place in places)[2000]
    assert median == pytest.approx(0.2, rel=0.1)
    assert sum(place.normal(5, 2) for place in places) / 4001 == pytest.approx(5, abs=0.2)
    assert min(place.pareto(0.1, 3) for place in places) >= 0.1


@given(st.floats(0, 1e6, allow_nan=False))
def test_a_formatted_duration_reads_back_as_nearly_the_same(seconds: float) -> None:
    text = units.format_duration(seconds)
    assert units.duration(text) == pytest.approx(seconds, rel=0.02, abs=31 if seconds >= 3600 else 0.51)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h30m", 5400), ("10us", 1e-5), ("0", 0), (0, 0), ("2m 30s", 150)],
)
def test_durations_read_as_people_write_them(text: object, seconds: float) -> None:
    assert units.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["250", 250, "ms", "-1s", "3 parsecs", "", None, True, "1e3ms", "nan s"])
def test_a_duration_without_unit_or_sense_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match="250ms"):
        units.duration(text)


@pytest.mark.parametrize(
    ("text", "count"), [("10MB", 10_000_000), ("64KiB", 65536), ("512", 512), (7, 7), ("1.5kb", 1500)]
)
def test_sizes_read_as_people_write_them(text: object, count: int) -> None:
    assert units.size(text) == count


@pytest.mark.parametrize(("text", "value"), [("30%", 0.3), (0.3, 0.3), ("1", 1.0), ("100%", 1.0), (0, 0.0)])
def test_shares_read_as_number_or_percentage(text: object, value: float) -> None:
    assert units.share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["130%", "-0.1", "2", "often", None, False])
def test_a_share_outside_zero_to_one_is_refused(text: object) -> None:
    with pytest.raises(ConfigError):
        units.share(text)


def test_no_verdict_at_all_is_no_pass() -> None:
    assert Verdict.worst([]) is Verdict.INCONCLUSIVE


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_the_worst_verdict_wins_whatever_the_order(verdicts: list[Verdict]) -> None:
    worst = Verdict.worst(verdicts)
    assert worst in verdicts
    assert worst is Verdict.worst(reversed(verdicts))
    assert (worst is Verdict.PASS) == all(verdict is Verdict.PASS for verdict in verdicts)
    assert (Verdict.FAIL in verdicts) == (worst is Verdict.FAIL)


def test_exit_codes_are_the_contract() -> None:
    assert {verdict.value: verdict.exit_code for verdict in Verdict} == {
        "pass": 0,
        "inconclusive": 3,
        "invalid": 3,
        "fail": 1,
    }
