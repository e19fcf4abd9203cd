"""Five hundred users, suddenly two thousand, and five hundred again.

The bot experiences a post that went viral: whether it keeps answering on the peak, and whether it comes back afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import Profile, climb
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Spike(Profile):
    """500 → 2000 → 500 users at 100/s in 3 min, a third of the time each."""

    users: int = option("count", "users on the peak", 2000, primary=True)
    base: int = option("count", "users before and after it; a quarter of the peak when 0", 0)
    spawn_rate: float = option("frequency", "users that start or leave in a second", 100.0)
    duration: float = option("duration", "the whole run", 180.0)

    def __post_init__(self) -> None:
        """A peak stands above its base, and its slopes fit into the time."""
        if self.base > self.users:
            raise ValueError(f"a base of {self.base} users is above the peak of {self.users}; lower the base")
        self.pacer()

    def pacer(self) -> Pacer:
        """Up to the base, up to the peak, down to the base."""
        third, base = self.duration / 3, self.base or self.users // 4
        return Pacer(
            (
                *climb(base, self.spawn_rate, third),
                *climb(self.users, self.spawn_rate, third, base),
                *climb(base, self.spawn_rate, third, self.users),
            )
        )
