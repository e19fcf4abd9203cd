"""A thousand requests a second out of the blue, then calm.

The bot experiences arrivals that do not wait for its answers: an open workload, so a queue that forms here is the bot's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer, Stage
from chaosbot.core.profile import Profile, Workload
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Burst(Profile):
    """50/s, 1000/s and 50/s again, 10 s each."""

    workload = Workload.OPEN

    rate: float = option("frequency", "arrivals a second in the burst", 1000.0, primary=True)
    base: float = option("frequency", "arrivals a second before and after it", 50.0)
    duration: float = option("duration", "the whole run; the burst is its middle third", 30.0)

    def __post_init__(self) -> None:
        """A burst stands above its base."""
        if self.base > self.rate:
            raise ValueError(f"a base of {self.base:g}/s is above the burst of {self.rate:g}/s; lower the base")

    def pacer(self) -> Pacer:
        """Three levels with two jumps."""
        third = self.duration / 3
        return Pacer(
            (
                Stage(third, self.base),
                Stage(0, self.rate),
                Stage(third, self.rate),
                Stage(0, self.base),
                Stage(third, self.base),
            ),
            self.base,
        )
