"""The fast path beside `chaosbot.load.histogram`: equal values are recorded together, straight into HdrHistogram's counts."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hdrh.histogram import HdrHistogram

from chaosbot.load.histogram import DIGITS, HIGHEST_US

_SUB: Final = 11  # bits that three digits take in HdrHistogram's layout


def fold(microseconds: list[int]) -> HdrHistogram:
    """The values as a histogram; equal ones are recorded together, and values past the layout as its highest."""
    histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
    counts = histogram.counts
    lowest, highest, total = HIGHEST_US, 0, 0
    for raw, count in Counter(microseconds).items():
        # HdrHistogram's own index computation, written out: its `record_value` costs three times as much.
        value = 0 if raw < 0 else min(raw, HIGHEST_US)
        bucket = max(value.bit_length() - _SUB, 0)
        counts[(bucket << (_SUB - 1)) + (value >> bucket)] += count
        total += count
        lowest, highest = min(lowest, value), max(highest, value)
    if total:
        histogram.total_count = total
        histogram.min_value, histogram.max_value = lowest, highest
    return histogram
