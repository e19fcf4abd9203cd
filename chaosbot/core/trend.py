"""Trends that are there: drift of a series over a long run, told apart from warm-up, sawtooth and noise with a memory.

Rules:

- Warm-up is found, not assumed (MSER-5), and left out.
- A series is judged by block values: troughs for memory (a garbage collector's teeth share their feet), medians for latency. A
  block is at least as long as the series' own period, where it has one.
- The slope is Theil–Sen's; its test is Mann–Kendall's with Hamed and Rao's correction, because neighbouring blocks resemble each
  other and the plain test takes that for a trend (it cries wolf on 78 % of autocorrelated noise).
- The answer is DRIFT, STABLE (the upper bound of the slope is under the budget) or INCONCLUSIVE, and says which slope a run like
  this one would have shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Final

from chaosbot.core.stats import Interval, autocorrelation, median, z_of

DRIFT, STABLE, INCONCLUSIVE = "drift", "stable", "inconclusive"
BLOCKS: Final = 40
FEWEST_BLOCKS: Final = 10
# Stricter than the usual 0.05, since a long memory hides from the correction and a false alarm costs somebody a day.
SIGNIFICANT: Final = 0.02
_LOOKED_AT: Final = 720
HOUR: Final = 3600.0


def mser5(series: Sequence[float]) -> int:
    """How many values at the start are warm-up: the cut that leaves the mean of the rest best known (MSER, batches of five).

    At most half of the series is given up; a series that is still warming up then shows in its trend.
    """
    size = 5
    means = [math.fsum(series[i : i + size]) / size for i in range(0, len(series) - size + 1, size)]
    count = len(means)
    if count < 4:
        return 0
    best, cut, total, squares = math.inf, 0, 0.0, 0.0
    centre = means[-1]  # sums of squares around a value near the end lose no digits to a large level
    for place in range(count - 1, -1, -1):
        total += means[place] - centre
        squares += (means[place] - centre) ** 2
        left = count - place
        if place <= count // 2 and left >= 2:
            score = max(0.0, squares - total * total / left) / (left * left)
            if score <= best:
                best, cut = score, place
    return cut * size


@dataclass(frozen=True, slots=True)
class Slope:
    """A Theil–Sen slope with its interval and its Mann–Kendall p-value; the standard error is the interval's."""

    value: float
    interval: Interval
    p_value: float
    error: float


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, place = [0.0] * len(values), 0
    while place < len(order):
        end = place
        while end + 1 < len(order) and values[order[end + 1]] == values[order[place]]:
            end += 1
        for index in order[place : end + 1]:
            ranks[index] = (place + end) / 2 + 1
        place = end + 1
    return ranks


def _inflation(values: Sequence[float]) -> float:
    """Hamed and Rao's factor on the variance of Mann–Kendall's S, from the ranks' significant autocorrelations; at least 1.

    Only the leading significant lags count (a sum over all of them is noise and can turn negative). A long memory hides in
    lags that are each too small to be significant, so that the factor of a first-order autoregression with the same first lag
    is the least that is taken.
    """
    count = len(values)
    if count < 4:
        return 1.0
    ranks, bound, total, first = _ranks(values), z_of(0.8) / math.sqrt(count), 0.0, 0.0
    for lag in range(1, count // 4 + 1):
        rho = autocorrelation(ranks, lag)
        # The sample autocorrelation is biased down by about (1 + 4 rho) / n, the more the shorter the series.
        rho = min(0.9, rho + (1 + 4 * max(0.0, rho)) / count)
        if rho <= bound:
            break
        first = first or rho
        total += (count - lag) * (count - lag - 1) * (count - lag - 2) * rho
    hamed_rao = 1 + 2 * total / (count * (count - 1) * (count - 2))
    return max(1.0, hamed_rao, (1 + first) / (1 - first))


def theil_sen(times: Sequence[float], values: Sequence[float], confidence: float = 0.95) -> Slope:
    """The median of all pairwise slopes, with Sen's interval; needs at least three distinct times."""
    slopes, score = [], 0
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            if times[j] != times[i]:
                slopes.append((values[j] - values[i]) / (times[j] - times[i]))
            score += (values[j] > values[i]) - (values[j] < values[i])
    slopes.sort()
    middle = median(slopes)
    residuals = [value - middle * time for time, value in zip(times, values, strict=True)]
    spread = math.sqrt(_variance_of_score(values) * _inflation(residuals))
    z = z_of(confidence)
    reach = z * spread / 2
    low = slopes[max(0, math.floor(len(slopes) / 2 - reach))]
    high = slopes[min(len(slopes) - 1, math.ceil(len(slopes) / 2 + reach))]
    # The continuity correction: S moves in steps of two.
    normal = 0.0 if not spread or not score else (abs(score) - 1) / spread
    p_value = 2 * (1 - NormalDist().cdf(normal))
    return Slope(middle, (min(low, middle), max(high, middle)), min(1.0, p_value), (high - low) / (2 * z))


def _variance_of_score(values: Sequence[float]) -> float:
    count = len(values)
    ties = math.fsum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    return max(0.0, (count * (count - 1) * (2 * count + 5) - ties) / 18)


def period(series: Sequence[float]) -> int:
    """The lag at which an oscillating series repeats itself; 0 when it does not.

    The first peak of the autocorrelation above a half, after it has fallen below a tenth.
    """
    # Means of neighbours tell a long period as well as single values do, and looking stays quick.
    step = math.ceil(len(series) / _LOOKED_AT)
    thin = [math.fsum(series[i : i + step]) / step for i in range(0, len(series) - step + 1, step)]
    fallen, best, peak = False, 0, 0.5
    for lag in range(1, len(thin) // 3):
        rho = autocorrelation(thin, lag)
        if not fallen:
            fallen = rho < 0.1
        elif rho > peak:
            best, peak = lag, rho
        elif best and rho < peak - 0.1:
            break
    return best * step


@dataclass(frozen=True, slots=True)
class Trend:
    """What a series does over a run; slopes are per hour, `points` are the block values that were judged."""

    verdict: str
    reason: str
    slope: float
    interval: Interval
    minimum_detectable: float
    p_value: float
    warmup_s: float
    points: tuple[tuple[float, float], ...]


def trend(
    times: Sequence[float],
    values: Sequence[float],
    budget_per_hour: float,
    *,
    reduce: Callable[[Sequence[float]], float] = median,
    down_is_bad: bool = False,
) -> Trend:
    """Judges a series that was sampled evenly, but for gaps.

    Measured over 400 runs each of an hour, sampled every five seconds (`tests/quality/test_soak_calibration.py`): white noise is
    called drift in 1 % of the runs, first-order autoregressions with a memory of one, three and eight minutes in 3, 4 and 5 %,
    sawtooth memory of any period up to ten minutes in about 1 %, a cache that warms up for ten minutes in 3 %.

    Args:
        times: Seconds.
        values: What was measured.
        budget_per_hour: The slope (in the harmful direction) that is still fine.
        reduce: What stands for a block: `min` for memory, `median` for latency.
        down_is_bad: Whether falling is the harmful direction (throughput).
    """
    sign = -1.0 if down_is_bad else 1.0
    signed = [sign * value for value in values]
    cut = _warmup(times, signed)
    points = _blocks(times[cut:], signed[cut:], reduce)
    warm = times[cut] - times[0] if cut < len(times) else 0.0
    if len(points) < FEWEST_BLOCKS:
        reason = f"too short: {len(points)} blocks of the {FEWEST_BLOCKS} that a trend needs"
        return Trend(INCONCLUSIVE, reason, 0.0, (-math.inf, math.inf), math.inf, 1.0, warm, _turned(points, sign))
    slope = theil_sen([time / HOUR for time, _ in points], [value for _, value in points])
    low, high = slope.interval
    detectable = (z_of(1 - SIGNIFICANT) + NormalDist().inv_cdf(0.8)) * slope.error
    if high < budget_per_hour:
        verdict, reason = STABLE, "the upper bound of the slope is under the budget"
    elif slope.p_value < SIGNIFICANT and low > 0:
        verdict, reason = DRIFT, "the whole interval of the slope is on the harmful side"
    else:
        verdict, reason = INCONCLUSIVE, "the run is too short or too noisy to tell a slope of the budget from none"
    shown = (low, high) if sign > 0 else (-high, -low)
    return Trend(verdict, reason, sign * slope.value, shown, detectable, slope.p_value, warm, _turned(points, sign))


def _turned(points: Sequence[tuple[float, float]], sign: float) -> tuple[tuple[float, float], ...]:
    return tuple((time, sign * value) for time, value in points)


def _warmup(times: Sequence[float], values: Sequence[float]) -> int:
    """MSER-5 on what remains when the second half's slope is taken out, so that a steady leak is no warm-up."""
    half = len(values) // 2
    coarse = _blocks(times[half:], values[half:], median, blocks=20)
    if len(coarse) < 4:
        return 0
    slope = theil_sen([time for time, _ in coarse], [value for _, value in coarse]).value
    # The cut balances what is left of the warm-up against noise; as much again drops what it let pass.
    return min(half, 2 * mser5([value - slope * time for time, value in zip(times, values, strict=True)]))


def _blocks(
    times: Sequence[float],
    values: Sequence[float],
    reduce: Callable[[Sequence[float]], float],
    blocks: int = BLOCKS,
) -> list[tuple[float, float]]:
    """Block values at their blocks' middles; blocks that a gap left less than half full are left out."""
    if len(values) < 2 * FEWEST_BLOCKS:
        return []
    size = max(2, len(values) // blocks, period(_detrended(values)))
    step = median([b - a for a, b in pairwise(times)]) or 1.0
    length = size * step
    found, start = [], 0
    while start < len(values):
        origin, end = times[start], start
        while end < len(values) and times[end] < origin + length - step / 2:
            end += 1
        if end - start >= max(2, size / 2):
            found.append((origin + length / 2, reduce(values[start:end])))
        start = max(end, start + 1)
    return found


def _detrended(values: Sequence[float]) -> list[float]:
    """The values without a straight line."""
    count = len(values)
    middle, mean = (count - 1) / 2, math.fsum(values) / count
    spread = count * (count * count - 1) / 12
    slope = math.fsum((i - middle) * (value - mean) for i, value in enumerate(values)) / spread if spread else 0.0
    return [value - mean - slope * (i - middle) for i, value in enumerate(values)]
