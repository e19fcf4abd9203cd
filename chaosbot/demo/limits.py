"""Rate limits per user: so many messages in a minute, by tier.

Beyond the limit the user is told once in that minute; the rest is acknowledged in silence, because a refusal would only
make the platform deliver it again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from chaosbot.demo.access import Tier

PER_MINUTE: Final = {Tier.GUEST: 5, Tier.USER: 20, Tier.DEVELOPER: 50, Tier.ADMIN: 1000}
WINDOW_S: Final = 60.0
MAX_USERS: Final = 20_000


class Allowance(Enum):
    """What happens to a message."""

    GO = auto()
    TELL = auto()
    SILENT = auto()


class RateLimits:
    """Counts the messages of each user in fixed windows."""

    def __init__(self, enabled: bool, clock: Callable[[], float]) -> None:
        """Starts with everybody at zero.

        Args:
            enabled: Without it everything goes.
            clock: Seconds, rising.
        """
        self._enabled = enabled
        self._clock = clock
        self._windows: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def take(self, user_id: int, tier: Tier) -> Allowance:
        """Counts one message of a user and tells what becomes of it."""
        if not self._enabled:
            return Allowance.GO
        now = self._clock()
        started, count = self._windows.get(user_id, (now, 0))
        if now - started >= WINDOW_S:
            started, count = now, 0
        count += 1
        self._windows[user_id] = (started, count)
        self._windows.move_to_end(user_id)
        if len(self._windows) > MAX_USERS:
            self._windows.popitem(last=False)
        excess = count - PER_MINUTE[tier]
        return Allowance.GO if excess <= 0 else Allowance.TELL if excess == 1 else Allowance.SILENT
