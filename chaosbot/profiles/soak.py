"""Two hundred users for an hour.

The bot experiences an ordinary day in fast motion: leaks of memory, descriptors and tasks grow until the trend shows them.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import LATENCY_AND_ERRORS, Profile, Threshold, climb
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Soak(Profile):
    """200 users, started at 20/s, for 1 h.

    Two hundred users who wait seconds between messages make some sixty requests a second, so throughput is no promise here.
    """

    thresholds = (*LATENCY_AND_ERRORS, Threshold("circuit_trips", 0.0, 3.0))

    users: int = option("count", "users at work", 200, primary=True)
    spawn_rate: float = option("frequency", "users that start in a second", 20.0)
    duration: float = option("duration", "the whole run", 3600.0)

    def __post_init__(self) -> None:
        """A climb must fit into its time."""
        self.pacer()

    def pacer(self) -> Pacer:
        """A quick climb, then level."""
        return Pacer(climb(self.users, self.spawn_rate, self.duration))
