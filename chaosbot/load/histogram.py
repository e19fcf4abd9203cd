"""Quantiles of plain lists and of lateness in steps; histograms are `chaosbot.core.hdr`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def quantile(microseconds: Mapping[int, int], share: float) -> float:
    """The value (in seconds) that this share of the counted values does not exceed; 0 of none."""
    total = sum(microseconds.values())
    left = total - max(round(share * total), 1)
    for value in sorted(microseconds, reverse=True):
        left -= microseconds[value]
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


def microseconds(seconds: list[float]) -> Counter[int]:
    """How often each value occurs, in whole microseconds."""
    return Counter([int(value * 1e6) for value in seconds])
