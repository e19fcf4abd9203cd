"""The soak verdict cries wolf rarely and finds leaks; the figures in `chaosbot.core.trend` come from the slow version."""

import math
from collections import Counter

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.stats import median
from chaosbot.core.trend import DRIFT, STABLE, trend

STEP_S, SAMPLES = 5.0, 720
TIMES = [STEP_S * one for one in range(SAMPLES)]
LEVEL = 100.0


def noise(dice, rho=0.0):
    """A first-order autoregression of deviation 1."""
    value = dice.at("start").normal(0, 1)
    for one in range(SAMPLES):
        value = rho * value + math.sqrt(1 - rho * rho) * dice.at(one).normal(0, 1)
        yield value


def leaking(per_hour, rho=0.9):
    return lambda dice: [LEVEL + per_hour * t / 3600 + x for t, x in zip(TIMES, noise(dice, rho), strict=True)]


def sawtooth(period_s):
    """Memory between two collections: it climbs by a fifth, falls back, and never keeps anything."""

    def series(dice):
        phase = dice.at("phase").uniform(0, period_s)
        teeth = [20 * ((t + phase) % period_s) / period_s for t in TIMES]
        return [LEVEL + tooth + 0.5 * x for tooth, x in zip(teeth, noise(dice), strict=True)]

    return series


def warming(dice):
    """A cache that fills for ten minutes and then stays."""
    return [LEVEL - 50 * math.exp(-t / 150) + x for t, x in zip(TIMES, noise(dice, 0.8), strict=True)]


WITHOUT_LEAK = {
    "white noise": (leaking(0, 0.0), median),
    "memory of a minute": (leaking(0, 0.9), median),
    "memory of three minutes": (leaking(0, 0.97), median),
    "memory of eight minutes": (leaking(0, 0.99), median),
    "teeth of half a minute": (sawtooth(30), min),
    "teeth of a minute": (sawtooth(60), min),
    "teeth of three minutes": (sawtooth(200), min),
    "teeth of ten minutes": (sawtooth(600), min),
    "warm-up": (warming, median),
}


def verdicts(series, reduce, runs, budget=0.0):
    return Counter(trend(TIMES, series(Dice(run)), budget, reduce=reduce).verdict for run in range(runs))


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_LEAK)
def test_what_does_not_leak_is_rarely_called_drift(name):
    series, reduce = WITHOUT_LEAK[name]
    assert verdicts(series, reduce, 30)[DRIFT] <= 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", WITHOUT_LEAK)
def test_the_false_alarm_rate_is_what_the_docstring_says(name):
    series, reduce = WITHOUT_LEAK[name]
    found = verdicts(series, reduce, 400)
    print(f"{name}: {found[DRIFT] / 400:.3f}")  # noqa: T201 - the figures of the docstring
    assert found[DRIFT] / 400 <= 0.07


@pytest.mark.parametrize(("rho", "leak"), [(0.0, 2.0), (0.9, 5.0)])
def test_a_leak_of_three_detectable_slopes_is_found(rho, leak):
    runs = [trend(TIMES, leaking(leak, rho)(Dice(run)), 0.5) for run in range(30)]
    assert sum(one.verdict == DRIFT for one in runs) >= 27
    assert median([one.slope for one in runs]) == pytest.approx(leak, rel=0.15)
    assert median([one.minimum_detectable for one in runs]) < leak


def test_a_leak_under_a_sawtooth_is_found():
    def series(dice):
        return [tooth + 3 * t / 3600 for t, tooth in zip(TIMES, sawtooth(60)(dice), strict=True)]

    assert verdicts(series, min, 20, budget=0.5)[DRIFT] >= 18


def test_a_quiet_series_is_stable_against_a_generous_budget():
    assert verdicts(leaking(0, 0.5), median, 20, budget=5.0)[STABLE] >= 19


def test_a_falling_throughput_is_drift_when_falling_is_bad():
    found = [trend(TIMES, leaking(-5.0)(Dice(run)), 0.5, down_is_bad=True) for run in range(10)]
    assert sum(one.verdict == DRIFT for one in found) >= 9
    assert all(one.interval[0] <= one.slope <= one.interval[1] < 0 for one in found if one.verdict == DRIFT)
