"""Five users for half a minute: does it work at all?

The bot experiences next to nothing; what fails here is broken, not overloaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import LATENCY_AND_ERRORS, Profile, climb
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Smoke(Profile):
    """5 users, started at 5/s, for 30 s."""

    thresholds = LATENCY_AND_ERRORS

    users: int = option("count", "users at work", 5, primary=True)
    spawn_rate: float = option("frequency", "users that start in a second", 5.0)
    duration: float = option("duration", "the whole run", 30.0)

    def __post_init__(self) -> None:
        """A climb must fit into its time."""
        self.pacer()

    def pacer(self) -> Pacer:
        """A quick climb, then level."""
        return Pacer(climb(self.users, self.spawn_rate, self.duration))
