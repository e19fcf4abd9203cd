"""Grows from nothing to a thousand users, then holds.

The bot experiences a climb of ten users a second: what breaks first, and at how many users, shows on the way up.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import Profile, climb
from chaosbot.core.registry import option


@dataclass(frozen=True)
class RampUp(Profile):
    """0 → 1000 users at 10/s in 5 min."""

    users: int = option("count", "users at the end of the climb", 1000, primary=True)
    spawn_rate: float = option("frequency", "users that start in a second", 10.0)
    duration: float = option("duration", "the whole run", 300.0)

    def __post_init__(self) -> None:
        """A climb must fit into its time."""
        self.pacer()

    def pacer(self) -> Pacer:
        """A straight climb, then level."""
        return Pacer(climb(self.users, self.spawn_rate, self.duration))
