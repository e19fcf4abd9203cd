"""Latencies as HdrHistograms, and quantiles of plain lists; the plain path.

`chaosbot.load.fast_histogram` stands beside it; a property test holds them equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from hdrh.histogram import HdrHistogram

HIGHEST_US: Final = 3_600_000_000  # an hour
DIGITS: Final = 3


def fold(microseconds: list[int]) -> HdrHistogram:
    """The values as a histogram; those outside of 0..`HIGHEST_US` count as the nearest end."""
    histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
    for value in microseconds:
        histogram.record_value(min(max(value, 0), HIGHEST_US))
    return histogram


def encode(microseconds: list[int], fold: Callable[[list[int]], HdrHistogram] = fold) -> str:
    """The values as HdrHistogram's compressed text; empty for none."""
    if not microseconds:
        return ""
    text: bytes = fold(microseconds).encode()
    return text.decode("ascii")


def quantile(microseconds: list[int], share: float) -> float:
    """The value (in seconds) that this share of the values does not exceed; 0 of none."""
    if not microseconds:
        return 0.0
    left = len(microseconds) - max(round(share * len(microseconds)), 1)
    counts = Counter(microseconds)
    for value in sorted(counts, reverse=True):
        left -= counts[value]
        if left < 0:
            return value * 1e-6
    return 0.0


def lateness_s(steps: Counter[int], share: float) -> float:
    """A quantile of lateness, from steps of 100 µs."""
    left = steps.total() * (1 - share)
    for step in sorted(steps, reverse=True):
        left -= steps[step]
        if left < 0:
            return step * 1e-4
    return 0.0


def microseconds(seconds: list[float]) -> list[int]:
    """The values as whole microseconds."""
    return [int(value * 1e6) for value in seconds]
