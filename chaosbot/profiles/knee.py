"""Searches the highest rate that the target sustains: doubles, bisects, confirms.

The bot experiences steps of constant arrivals, each as long as needed to see whether it keeps up; the last one is held
longer, because a rate that holds for seconds may not hold for a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.knee import KneeSearch
from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import Profile, Workload
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Knee(Profile):
    """From 50/s, 5 s a step, until known to a tenth; 15 s to confirm."""

    workload = Workload.OPEN
    thresholds = ()

    rate: float = option("frequency", "arrivals a second of the first step", 50.0, primary=True)
    limit: float = option("frequency", "arrivals a second that are never exceeded", 20_000.0)
    step: float = option("duration", "length of a step", 5.0)
    confirm: float = option("duration", "length of the confirmation", 15.0)
    precision: float = option("share", "how close the search gets", 0.1)

    def __post_init__(self) -> None:
        """A search needs room and time."""
        if not 0 < self.rate <= self.limit:
            raise ValueError(
                f"the first step of {self.rate:g}/s must lie above 0 and within the limit {self.limit:g}/s"
            )
        if not (self.step > 0 and self.confirm > 0 and self.precision > 0):
            raise ValueError("step, confirm and precision must be above 0")

    def search(self) -> KneeSearch:
        """The search, before its first step."""
        return KneeSearch(self.rate, self.limit, self.step, self.confirm, self.precision)

    def pacer(self) -> Pacer:
        """The first step; the ones after it depend on how it went (`search`)."""
        return Pacer.constant(self.rate, self.step)
