"""Golden updates: one valid, complete update for every kind, every content of a message, every command and every button.

Each has an update id, a user and a marker of its own. `golden` is what mutations start from; `KINDS` lists the payloads that
an update may carry (exactly one of them).
"""

from __future__ import annotations

from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.platforms.telegram._commands import COMMANDS, SENTENCES, command_text
from chaosbot.platforms.telegram._contents import contents
from chaosbot.platforms.telegram._others import others
from chaosbot.platforms.telegram._parts import Place, callback, text_message, update
from chaosbot.platforms.telegram._users import Population

KINDS: Final = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "guest_message",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "managed_bot",
    "subscription",
    "stopped_message_generation",
)
"""Every payload of the documented Bot API, in the order of its documentation."""

BUTTONS: Final = {
    "category": "category:writing",
    "skill": "skill:rewrite",
    "approve": "improvement:approve:1",
    "reject": "improvement:reject:1",
}
"""The buttons of the bots that this platform was made for; any other bot answers that it does not know them."""


def golden(dice: Dice, date: int, population: Population) -> dict[str, Any]:
    """Valid updates by name (``message/voice``, ``command/help``, ``callback_query/skill``, ``poll_answer`` …)."""
    made: dict[str, Any] = {}

    def place(name: str) -> Place:
        return Place(dice.at("golden", name), date)

    def user(name: str, tier: str = "guest") -> int:
        return population.pick(tier, dice.at("golden", name, "user"))

    for name, content in contents(place, user).items():
        here = place(name)
        made[name] = update(here, "message", content)
    for command, tier in COMMANDS.items():
        name = f"command/{command}"
        here = place(name)
        text = command_text(command, here.dice, here.marker)
        made[name] = update(here, "message", text_message(here, user(name, tier), text))
    for button, data in BUTTONS.items():
        name = f"callback_query/{button}"
        here = place(name)
        tier = "guest" if button == "category" else "user"
        made[name] = update(here, "callback_query", callback(here, user(name, tier), data))
    for name, (kind, payload) in others(place, user).items():
        made[name] = update(place(name), kind, payload)
    return made


def said(place: Place) -> str:
    """A sentence of a person, with the marker."""
    return f"{place.dice.at('sentence').choice(SENTENCES)} {place.marker}"
