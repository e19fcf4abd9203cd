"""Properties of the statistics under every verdict."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.core.dice import Dice
from chaosbot.core.stats import (
    Histogram,
    autocorrelation,
    block_length,
    enough_for,
    mean_interval,
    median,
    quantile,
    quantile_interval,
    share_interval,
)
from chaosbot.core.trend import DRIFT, INCONCLUSIVE, STABLE, mser5, theil_sen, trend

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80)
SHARES = st.floats(0.0, 1.0)
PARTS = st.lists(
    st.dictionaries(st.integers(1, 50).map(float), st.integers(1, 30), max_size=6).map(Histogram.of),
    min_size=1,
    max_size=30,
)


@given(VALUES, SHARES)
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(values, share):
    found = quantile(values, share)
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert share == 0 or sum(value < found for value in values) < share * len(values) + 1e-6


@given(VALUES, SHARES)
def test_a_histograms_quantile_is_that_of_its_values(values, share):
    assert Histogram.of(Counter(values)).quantile(share) == quantile(values, share)


@given(PARTS, SHARES, SHARES)
def test_merging_adds_counts_and_keeps_quantiles_in_order(parts, one, two):
    merged = Histogram.merged(parts)
    assert merged.total == sum(part.total for part in parts)
    assert merged == Histogram.merged(reversed(parts))
    if merged.total:
        low, high = (merged.quantile(share) for share in sorted((one, two)))
        assert low <= high <= merged.maximum


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_of_a_share_holds_it_and_narrows_with_more(hits, misses, confidence):
    total = hits + misses
    low, high = share_interval(hits, total, confidence)
    assert 0 <= low <= high <= 1
    if total:
        assert low <= hits / total <= high
        wide = high - low
        low, high = share_interval(hits * 10, total * 10, confidence)
        assert high - low <= wide


def test_no_error_in_n_allows_three_in_n():
    assert share_interval(0, 300) == (0.0, pytest.approx(0.01, rel=0.01))
    assert share_interval(0, 0) == (0.0, 1.0)


def test_a_few_that_all_went_wrong_show_that_many_do():
    # Three of three: a share below 36.8 % would show that in less than one of twenty such runs (0.368 ** 3 = 0.05).
    assert share_interval(3, 3) == (pytest.approx(0.3684, abs=1e-4), 1.0)
    assert share_interval(0, 3) == (0.0, pytest.approx(0.6316, abs=1e-4))


def test_wilsons_interval_is_the_published_one():
    # Newcombe 1998, table I: 81 of 263.
    assert share_interval(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


@given(PARTS, st.sampled_from([0.5, 0.95, 0.99]), st.integers(0, 5))
def test_a_bootstrap_interval_holds_the_quantile_and_is_the_same_again(parts, share, seed):
    found = quantile_interval(parts, share, Dice(seed), resamples=40)
    if sum(bool(part.counts) for part in parts) < 8:
        assert found is None
    else:
        assert found is not None
        assert found[0] <= Histogram.merged(parts).quantile(share) <= found[1]
        assert found == quantile_interval(parts, share, Dice(seed), resamples=40)


@given(st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=60), st.integers(0, 5))
def test_the_interval_of_a_mean_holds_it(values, seed):
    low, high = mean_interval(values, Dice(seed), resamples=40)
    assert low <= math.fsum(values) / len(values) <= high


@given(st.lists(st.floats(-1e3, 1e3), max_size=60), st.integers(-2, 70))
def test_autocorrelation_stays_in_bounds_and_blocks_inside_the_series(values, lag):
    assert -1 - 1e-9 <= autocorrelation(values, lag) <= 1 + 1e-9
    assert 1 <= block_length(values) <= max(1, len(values) // 8)


@given(SHARES.filter(lambda share: 0 < share < 1))
def test_every_quantile_needs_samples_beyond_it(share):
    assert enough_for(share) >= 20
    assert enough_for(0.999) > enough_for(0.99) > enough_for(0.95)


@given(st.floats(-100, 100), st.floats(-1e3, 1e3), st.integers(12, 40))
def test_a_straight_line_has_its_own_slope(slope, level, count):
    times = [float(one) for one in range(count)]
    found = theil_sen(times, [level + slope * time for time in times])
    assert found.value == pytest.approx(slope, abs=1e-9)
    assert found.interval[0] <= found.value <= found.interval[1]


@given(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=30), st.floats(-10, 10))
def test_a_line_added_to_a_series_adds_to_its_slope(values, slope):
    times = [float(one) for one in range(len(values))]
    before = theil_sen(times, values)
    after = theil_sen(times, [value + slope * time for time, value in zip(times, values, strict=True)])
    assert after.value == pytest.approx(before.value + slope, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_warm_up_never_takes_more_than_half(values):
    assert 0 <= mser5(values) <= len(values) / 2 + 5


@given(st.lists(st.floats(-1e6, 1e6), max_size=150), st.floats(0, 10), st.booleans())
def test_every_series_gets_one_of_three_answers(values, budget, down):
    found = trend([5.0 * one for one in range(len(values))], values, budget, down_is_bad=down)
    assert found.verdict in (DRIFT, STABLE, INCONCLUSIVE)
    assert found.interval[0] <= found.slope <= found.interval[1]


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=41))
def test_the_median_splits_in_halves(values):
    middle = median(values)
    assert sum(value < middle for value in values) <= len(values) / 2
    assert sum(value > middle for value in values) <= len(values) / 2


def test_a_warm_up_is_cut_where_it_ends():
    series = [100.0 * 0.9**one for one in range(100)] + [math.sin(one) for one in range(300)]
    assert 30 <= mser5(series) <= 110
