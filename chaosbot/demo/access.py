"""Who may do what: four tiers, by id and by grant.

Rules:
1. An unknown id is a guest.
2. A grant never makes an admin; only an admin grants and revokes.
3. The roster knows ids only. Names, replies, forwards and chats are no credentials.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, IntEnum, auto
from typing import Final

MAX_GRANTS: Final = 10_000


class Tier(IntEnum):
    """How much is allowed; a tier includes those below it."""

    GUEST = 0
    USER = 1
    DEVELOPER = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """The tier's name as people read it."""
        return self.name.lower()


COMMANDS: Final[dict[str, Tier]] = {
    **dict.fromkeys(("start", "help", "status", "skills", "mode", "cancel", "clear"), Tier.GUEST),
    **dict.fromkeys(("skill", "translate", "summarize", "rewrite", "remind", "reminders", "task", "tasks"), Tier.USER),
    **dict.fromkeys(("traces", "trace", "circuits", "tier"), Tier.DEVELOPER),
    **dict.fromkeys(("grant", "revoke", "admin"), Tier.ADMIN),
}

RANGES: Final = ((2_000_000, 2_000_099, Tier.USER), (3_000_000, 3_000_009, Tier.DEVELOPER))
GRANTABLE: Final = {tier.label: tier for tier in (Tier.GUEST, Tier.USER, Tier.DEVELOPER)}


class Roster:
    """The tiers of all users."""

    def __init__(self, admin_id: int) -> None:
        """Starts without grants."""
        self.admin_id = admin_id
        self._grants: OrderedDict[int, Tier] = OrderedDict()

    def tier(self, user_id: int) -> Tier:
        """Tells the tier of a user."""
        if user_id == self.admin_id:
            return Tier.ADMIN
        if user_id in self._grants:
            return self._grants[user_id]
        for first, last, tier in RANGES:
            if first <= user_id <= last:
                return tier
        return Tier.GUEST

    def grant(self, user_id: int, tier: Tier) -> None:
        """Gives a user a tier; the oldest grant goes when there are too many."""
        self._grants[user_id] = tier
        self._grants.move_to_end(user_id)
        if len(self._grants) > MAX_GRANTS:
            self._grants.popitem(last=False)

    def revoke(self, user_id: int) -> bool:
        """Takes a grant back; returns whether there was one."""
        return self._grants.pop(user_id, None) is not None

    @property
    def grants(self) -> int:
        """How many grants there are."""
        return len(self._grants)


# ── rate limits ───────────────────────────────────────────────────────────────────────────────────────────────────────


PER_MINUTE: Final = {Tier.GUEST: 5, Tier.USER: 20, Tier.DEVELOPER: 50, Tier.ADMIN: 1000}
WINDOW_S: Final = 60.0
MAX_USERS: Final = 20_000


class Allowance(Enum):
    """What happens to a message."""

    GO = auto()
    TELL = auto()
    SILENT = auto()


class RateLimits:
    """Counts the messages of each user in fixed windows.

    Beyond the limit the user is told once in that minute; the rest is acknowledged in silence, because a refusal would only make the
    platform deliver it again.
    """

    def __init__(self, enabled: bool, clock: Callable[[], float]) -> None:
        """Starts with everybody at zero."""
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
