"""Arrivals at one rate, whether or not the target keeps up.

The bot experiences an open workload: a queue that forms is its own, and latency counts from when each request was due.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import LATENCY_AND_ERRORS, Profile, Workload
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Steady(Profile):
    """100/s for 1 min."""

    workload = Workload.OPEN
    thresholds = LATENCY_AND_ERRORS

    rate: float = option("frequency", "arrivals a second", 100.0, primary=True)
    duration: float = option("duration", "the whole run", 60.0)

    def pacer(self) -> Pacer:
        """One level."""
        return Pacer.constant(self.rate, self.duration)
