"""The synthetic users: four tiers with ids that never collide with real people's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.dice import Dice

ADMIN_ID: Final = 999_999_999
GUESTS: Final = range(1_000_000, 1_001_000)
USERS: Final = range(2_000_000, 2_000_100)
DEVELOPERS: Final = range(3_000_000, 3_000_010)
TEST_SUBJECTS: Final = USERS
"""The only ids that `/grant`, `/revoke` and `/tier` are ever sent about."""

MOCK_BOT: Final = "chaosbot_mock_bot"
"""The username by which the Bot API's mock calls the bot."""

TIERS: Final = ("guest", "user", "developer", "admin")
SHARES: Final = {"guest": 0.80, "user": 0.15, "developer": 0.04, "admin": 0.01}
RANK: Final = {tier: rank for rank, tier in enumerate(TIERS)}

_NAMES: Final = ("Ada", "Linh", "Мария", "小明", "Omar", "Zoë", "Bjørn", "Noor", "O'Neil", "José")
_FAMILIES: Final = ("Lovelace", "Nguyễn", "Иванова", "王", "Haddad", "Weiß", "Åse", "Karimi", "D'Arc", "Souza")
_TONGUES: Final = ("en", "vi", "ru", "zh-hans", "ar", "de", "nb", "fa", "en", "pt-br")
ALIKE: Final = len(_NAMES)
"""Users whose ids agree modulo this number have the same names."""


@dataclass(frozen=True, slots=True)
class Population:
    """Which ids belong to which tier.

    Args:
        admin_id: The bot's real admin.
    """

    admin_id: int = ADMIN_ID

    def ids(self, tier: str) -> Sequence[int]:
        """The ids of a tier."""
        return {"guest": GUESTS, "user": USERS, "developer": DEVELOPERS}.get(tier, (self.admin_id,))

    def tier(self, user: object) -> str | None:
        """The tier of an id; an id that is none of ours is a guest's, like a stranger's; None for what is no id."""
        if type(user) is not int:
            return None
        if user == self.admin_id:
            return "admin"
        if 2_000_000 <= user <= 2_000_099:
            return "user"
        return "developer" if 3_000_000 <= user <= 3_000_009 else "guest"

    def pick(self, tier: str, dice: Dice) -> int:
        """One id of a tier."""
        return dice.choice(self.ids(tier))


def person(user: int) -> dict[str, Any]:
    """The User object of an id: always the same person.

    With all that people can leave out, so that a target which takes it for granted serves somebody: who lacks it is compared with them.
    """
    number = user % len(_NAMES)
    return {
        "id": user,
        "is_bot": False,
        "first_name": _NAMES[number],
        "last_name": _FAMILIES[number],
        "username": f"chaos_{user}",
        "language_code": _TONGUES[number],
    }


def robot(number: int = 5_000_001) -> dict[str, Any]:
    """The User object of some other bot."""
    return {"id": number, "is_bot": True, "first_name": "Helper", "username": "some_helper_bot"}


def private(user: int) -> dict[str, Any]:
    """The private chat with a user; its id is the user's."""
    someone = person(user)
    return {"id": user, "type": "private"} | {name: someone[name] for name in ("first_name", "last_name", "username")}


def basic_group(user: int) -> dict[str, Any]:
    """The small group that a user shares with the bot; it can become a supergroup, which changes its id."""
    return {"id": -user, "type": "group", "title": "Chaos small group", "all_members_are_administrators": False}


def supergroup(dice: Dice) -> dict[str, Any]:
    """A group of its own for each place in the dice."""
    return {
        "id": -1_000_000_000_000 - dice.at("group").integer(10**9, 10**10 - 1),
        "type": "supergroup",
        "title": "Chaos group",
    }


def channel(dice: Dice) -> dict[str, Any]:
    """A channel of its own for each place in the dice."""
    return {
        "id": -1_000_000_000_000 - dice.at("channel").integer(10**9, 10**10 - 1),
        "type": "channel",
        "title": "Chaos channel",
    }
