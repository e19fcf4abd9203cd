"""Payload builders for your own tests: updates as Telegram's webhook delivers them, as dictionaries.

Each returns a whole update (``{"update_id": …, "message": {…}}``) that the parsers of aiogram, python-telegram-bot, grammY and Telegraf
accept. Chats follow from `chat_id`: none (or the user's own id) is the private chat, a negative id a supergroup. Ids that are not
given count up within the process, so that two updates are never taken for one delivery; give them to pin a test. Members that a
builder does not know are passed through as keywords, and None takes one away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.errors import UnknownName
from chaosbot.core.platform import EPOCH
from chaosbot.platforms.telegram import _parts as parts
from chaosbot.platforms.telegram._users import ADMIN_ID, SHARES, TIERS, Population, private

_NUMBERS: Final = count(1)
_FIRST_UPDATE: Final = 100_000_000
_FIRST_MESSAGE: Final = 1_000


def _place(update_id: int | None, date: int) -> parts.Place:
    number = next(_NUMBERS)
    return parts.Place(Dice(0).at("builder", number), date, update_id or _FIRST_UPDATE + number)


def _chat(user_id: int, chat_id: int | None) -> dict[str, Any]:
    if chat_id in (None, user_id):
        return private(user_id)
    return {"id": chat_id, "type": "supergroup" if str(chat_id).startswith("-") else "private", "title": "Chaos group"}


def _message(
    user_id: int, chat_id: int | None, update_id: int | None, message_id: int | None, date: int, content: dict[str, Any]
) -> dict[str, Any]:
    place = _place(update_id, date)
    members = {
        "message_id": message_id or _FIRST_MESSAGE + place.update_id - _FIRST_UPDATE,
        "chat": _chat(user_id, chat_id),
    } | content
    return parts.update(place, "message", parts.message(place, user_id, **members))


def text_message(
    user_id: int,
    text: str,
    *,
    chat_id: int | None = None,
    update_id: int | None = None,
    message_id: int | None = None,
    date: int = EPOCH,
    **members: Any,
) -> dict[str, Any]:
    """A text; one that begins with ``/command`` carries the entity that Telegram puts there.

    Args:
        user_id: Who writes.
        text: What they write.
        chat_id: Where; none is their private chat.
        update_id: The delivery id; none counts up.
        message_id: The message's number in its chat; none counts up.
        date: Unix time in seconds at which it was written.
        members: More members of the message (``reply_to_message={…}``).
    """
    if text[:1] == "/" and text[1:2].isalpha():
        members = {"entities": [parts.command_entity(text)]} | members
    return _message(user_id, chat_id, update_id, message_id, date, {"text": text, **members})


def voice_message(
    user_id: int,
    duration: int = 5,
    *,
    chat_id: int | None = None,
    update_id: int | None = None,
    message_id: int | None = None,
    date: int = EPOCH,
    **members: Any,
) -> dict[str, Any]:
    """A voice message of `duration` seconds (OGG/Opus); `members` as for `text_message`, ``caption=…`` for one."""
    voice = parts.voice(_place(update_id, date)) | {"duration": duration}
    return _message(user_id, chat_id, update_id, message_id, date, {"voice": voice, **members})


def photo_message(
    user_id: int,
    caption: str | None = None,
    *,
    chat_id: int | None = None,
    update_id: int | None = None,
    message_id: int | None = None,
    date: int = EPOCH,
    **members: Any,
) -> dict[str, Any]:
    """A picture in three sizes, the largest last, as Telegram sends it."""
    photo = parts.photos(_place(update_id, date))
    return _message(user_id, chat_id, update_id, message_id, date, {"photo": photo, "caption": caption, **members})


def document_message(
    user_id: int,
    filename: str = "report.pdf",
    mime_type: str = "application/pdf",
    *,
    chat_id: int | None = None,
    update_id: int | None = None,
    message_id: int | None = None,
    date: int = EPOCH,
    **members: Any,
) -> dict[str, Any]:
    """A file with its name and type; `members` as for `text_message`, ``caption=…`` for one."""
    document = parts.document(_place(update_id, date)) | {"file_name": filename, "mime_type": mime_type}
    return _message(user_id, chat_id, update_id, message_id, date, {"document": document, **members})


def callback_query(
    user_id: int,
    data: str,
    *,
    chat_id: int | None = None,
    update_id: int | None = None,
    message_id: int | None = None,
    text: str = "Choose one",
    date: int = EPOCH,
    **members: Any,
) -> dict[str, Any]:
    """A pressed button with this callback data (at most 64 bytes) below a message of the bot.

    Args:
        user_id: Who presses.
        data: The button's callback data.
        chat_id: Where the message stands; none is the user's private chat.
        update_id: The delivery id; none counts up.
        message_id: The number of the bot's message; none counts up.
        text: That message's text.
        date: Unix time in seconds of that message.
        members: More members of the query.
    """
    place = _place(update_id, date)
    message = {
        "message_id": message_id or _FIRST_MESSAGE + place.update_id - _FIRST_UPDATE,
        "from": parts.bot(),
        "chat": _chat(user_id, chat_id),
        "date": date,
        "text": text,
    }
    return parts.update(place, "callback_query", parts.callback(place, user_id, data, message=message) | members)


class UserPool:
    """Synthetic users in four tiers, whose ids never collide with real people's.

    The ids (document them in your bot's statistics to leave them out): guests 1 000 000–1 000 999, users 2 000 000–2 000 099,
    developers 3 000 000–3 000 009, and the admin's own.

    Args:
        seed: The same seed gives the same users in the same order.
        admin_id: The bot's admin.
    """

    def __init__(self, seed: int = 0, admin_id: int = ADMIN_ID) -> None:
        self._population = Population(admin_id)
        self._dice = Dice(seed).at("user-pool")
        self._numbers = count()

    def get_user(self, tier: str) -> int:
        """The id of some user of a tier: ``guest``, ``user``, ``developer`` or ``admin``.

        Raises:
            UnknownName: There is no such tier.
        """
        if tier not in TIERS:
            raise UnknownName.of("tier", tier, TIERS)
        return self._population.pick(tier, self._dice.at(next(self._numbers)))

    def get_weighted_user(self) -> int:
        """The id of some user, tiers as often as in production: 80 % guests, 15 % users, 4 % developers, 1 % admin."""
        place = self._dice.at(next(self._numbers))
        share = place.at("tier").uniform(0.0, 1.0)
        for tier in TIERS:
            share -= SHARES[tier]
            if share <= 0:
                break
        return self._population.pick(tier, place)

    def users(self, tier: str) -> Sequence[int]:
        """All ids of a tier."""
        return self._population.ids(tier)

    def tier_of(self, user_id: int) -> str:
        """The tier of an id; any id that is not in the pool is a guest's."""
        return self._population.tier(user_id) or "guest"


__all__ = [
    "UserPool",
    "callback_query",
    "document_message",
    "photo_message",
    "text_message",
    "voice_message",
]
