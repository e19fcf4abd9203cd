"""Planted bugs that are more than a condition: whom to believe, how to stall, how to die.

`acting_tier` holds the healthy rule as well, because five bugs are wrong answers to its question.
"""

from __future__ import annotations

import os
import re
import time
from typing import Final

from chaosbot.demo.access import Roster, Tier
from chaosbot.demo.bugs import Bug
from chaosbot.demo.updates import Message, as_object, read_sender

STALL_S: Final = 3.0
_MANY_SPACES: Final = re.compile(r" {2000}")


def acting_tier(message: Message, roster: Roster, admin_names: set[str], bugs: frozenset[Bug]) -> Tier | None:
    """Tells what the author of a message may do.

    Args:
        message: The message; only its own `from` counts.
        roster: Tiers by id.
        admin_names: Usernames that genuine admins were seen with; only a bug looks at them.
        bugs: Planted bugs.
    """
    sender = message.sender
    if not sender.genuine:
        if Bug.FAKE_SENDER_TRUSTED in bugs and sender.id == 1087968824:
            return Tier.ADMIN  # BUG: an admin of some group, not of this bot
        return None
    tier = roster.tier(sender.id)
    if Bug.ADMIN_BY_USERNAME in bugs and sender.username:
        if sender.id == roster.admin_id:
            admin_names.add(sender.username)
        if sender.username in admin_names:
            return Tier.ADMIN  # BUG: names are free to choose
    if Bug.TIER_FROM_REPLY in bugs:  # BUG: the nearest `from` in the tree is not always the sender
        tier = max(tier, _nested(message.raw.get("reply_to_message"), "from", roster))
    if Bug.TIER_FROM_FORWARD in bugs:  # BUG: the first author wrote it, the sender chose it
        tier = max(tier, _nested(message.raw.get("forward_origin"), "sender_user", roster))
        tier = max(tier, _nested(message.raw, "forward_from", roster))
    return tier


def _nested(value: object, key: str, roster: Roster) -> Tier:
    sender = read_sender(as_object(value).get(key))
    return Tier.GUEST if sender is None else roster.tier(sender.id)


def runs_forwards(bugs: frozenset[Bug]) -> bool:
    """Whether forwarded commands run."""
    return Bug.TIER_FROM_FORWARD in bugs


def written_in_group(message: Message) -> bool:
    """Whether a message comes from a group of either kind."""
    return as_object(message.raw.get("chat")).get("type") in ("group", "supergroup")


def slow_down(text: str) -> None:
    """BUG: holds the event loop on certain texts, as a regular expression that backtracks without end would."""
    argument = text.partition(" ")[2] if text.startswith("/") else ""
    if len(argument) >= 3500 or _MANY_SPACES.search(text):
        time.sleep(STALL_S)


def die_like_a_bot() -> None:
    """BUG: ends the process, as an unhandled rejection does in some runtimes."""
    os._exit(70)
