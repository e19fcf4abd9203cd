"""A thousand users at once, held for ten minutes.

The bot experiences a full house: queues, pools and limits in their steady state.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import Profile, climb
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Sustained(Profile):
    """1000 users, started at 50/s, for 10 min."""

    users: int = option("count", "users at work", 1000, primary=True)
    spawn_rate: float = option("frequency", "users that start in a second", 50.0)
    duration: float = option("duration", "the whole run", 600.0)

    def __post_init__(self) -> None:
        """A climb must fit into its time."""
        self.pacer()

    def pacer(self) -> Pacer:
        """A quick climb, then level."""
        return Pacer(climb(self.users, self.spawn_rate, self.duration))
