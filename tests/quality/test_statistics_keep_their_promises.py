"""Intervals cover what they promise, measured; the figures in `chaosbot.core.stats` come from the slow versions."""

import math
from collections import Counter
from statistics import NormalDist

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.stats import Histogram, quantile_interval, share_interval

LEVEL, WITHIN, REQUESTS = 0.3, 0.5, 40
TRUE_P99 = math.exp(NormalDist().inv_cdf(0.99) * math.hypot(LEVEL, WITHIN))


def latencies(dice: Dice, seconds: int, rho: float) -> list[Histogram]:
    """Seconds whose level follows a first-order autoregression; each request scatters around its second's level."""
    level, parts = dice.at("start").normal(0, LEVEL), []
    for second in range(seconds):
        place = dice.at(second)
        level = rho * level + math.sqrt(1 - rho * rho) * place.at("step").normal(0, LEVEL)
        values = (place.at("request", one).lognormal(math.exp(level), WITHIN) for one in range(REQUESTS))
        parts.append(Histogram.of(Counter(float(f"{value:.3g}") for value in values)))
    return parts


def binomial(parts: list[Histogram]) -> tuple[float, float]:
    """The interval that takes requests for independent."""
    whole = Histogram.merged(parts)
    reach = 1.96 * math.sqrt(0.99 * 0.01 / whole.total)
    return whole.quantile(0.99 - reach), whole.quantile(min(1.0, 0.99 + reach))


def coverage(runs: int, seconds: int, rho: float) -> tuple[float, float]:
    """The shares of runs in which the bootstrap's and the binomial interval hold the true p99."""
    block = naive = 0
    for run in range(runs):
        parts = latencies(Dice(run), seconds, rho)
        low, high = quantile_interval(parts, 0.99, Dice(run).at("interval"), resamples=200)
        block += low <= TRUE_P99 <= high
        low, high = binomial(parts)
        naive += low <= TRUE_P99 <= high
    return block / runs, naive / runs


def test_a_bootstrap_interval_covers_where_a_binomial_one_does_not():
    block, naive = coverage(30, 200, 0.9)
    assert block >= 0.7
    assert naive <= 0.6


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("rho", "at_least"), [(0.0, 0.88), (0.5, 0.85), (0.9, 0.75)])
def test_coverage_at_length(rho, at_least):
    block, naive = coverage(300, 300, rho)
    print(f"rho {rho}: block {block:.3f}, binomial {naive:.3f}")  # noqa: T201 - the figures of the docstring
    assert block >= at_least


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_the_interval_of_an_error_rate_covers(share):
    covered = 0
    for run in range(400):
        hits = sum(Dice(run).at(one).chance(share) for one in range(300))
        low, high = share_interval(hits, 300)
        covered += low <= share <= high
    assert covered / 400 >= 0.91
