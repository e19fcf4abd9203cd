"""The building blocks of updates: places, messages, files and the small objects inside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.marker import marker
from chaosbot.platforms.telegram._users import person, private

Json = dict[str, Any]

LOWEST_UPDATE: Final = 100_000_000
HIGHEST_UPDATE: Final = 1_900_000_000
"""Update ids are drawn between these: real ones look so, and a 32-bit integer holds them."""


_JOINED: Final = (("old", "left"), ("new", "member"))


@dataclass(frozen=True, slots=True)
class Place:
    """One delivery's place in all chance: what makes it different from every other.

    Args:
        dice: Its place.
        date: Unix time that it claims.
        number: Its update id; 0 draws one.
    """

    dice: Dice
    date: int
    number: int = 0

    @property
    def update_id(self) -> int:
        """The delivery id."""
        return self.number or self.dice.at("update").integer(LOWEST_UPDATE, HIGHEST_UPDATE)

    @property
    def message_id(self) -> int:
        """The message's number in its chat."""
        return self.dice.at("message").integer(1, 2_000_000)

    @property
    def marker(self) -> str:
        """The text that joins what the bot does to this delivery."""
        return marker(self.dice)

    def token(self, what: str, length: int = 24) -> str:
        """An opaque identifier."""
        return self.dice.at("token", what).token(length)

    def id(self, what: str) -> str:
        """An identifier of digits, as callback and inline queries carry."""
        return str(self.dice.at("id", what).integer(10**17, 10**18 - 1))


def utf16(text: str) -> int:
    """A text's length as Telegram counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def command_entity(text: str) -> Json:
    """The entity that Telegram puts on a command at the start of a text."""
    return {"type": "bot_command", "offset": 0, "length": utf16(text.split(maxsplit=1)[0])}


def message(place: Place, user: int, **content: Any) -> Json:
    """A message of a user in their private chat; `content` adds members, and None takes one away."""
    members = {
        "message_id": place.message_id,
        "from": person(user),
        "chat": private(user),
        "date": place.date,
    } | content
    return {name: value for name, value in members.items() if value is not None}


def text_message(place: Place, user: int, text: str, **content: Any) -> Json:
    """A text; one that begins with a slash and a letter is a command, with its entity."""
    if text[:1] == "/" and text[1:2].isalpha() and "entities" not in content:
        content["entities"] = [command_entity(text)]
    return message(place, user, text=text, **content)


def update(place: Place, kind: str, payload: Json) -> Json:
    """A whole update with this payload."""
    return {"update_id": place.update_id, kind: payload}


def file(place: Place, what: str, **more: Any) -> Json:
    """What every file object has."""
    return {"file_id": place.token(f"{what}-id", 48), "file_unique_id": place.token(f"{what}-unique", 12), **more}


def photo_size(place: Place, width: int, height: int) -> Json:
    """One size of a picture."""
    return file(place, f"photo-{width}", width=width, height=height, file_size=width * height // 8)


def photos(place: Place) -> list[Json]:
    """A picture in three sizes, the largest last."""
    return [photo_size(place, 90, 67), photo_size(place, 320, 240), photo_size(place, 1280, 960)]


def voice(place: Place) -> Json:
    """A voice message."""
    return file(
        place, "voice", duration=place.dice.at("duration").integer(1, 60), mime_type="audio/ogg", file_size=14_532
    )


def document(place: Place) -> Json:
    """A file of some kind."""
    return file(place, "document", file_name="report.pdf", mime_type="application/pdf", file_size=183_220)


def sticker(place: Place) -> Json:
    """A sticker."""
    return file(
        place,
        "sticker",
        type="regular",
        width=512,
        height=512,
        is_animated=False,
        is_video=False,
        emoji="👍",
        set_name="Chaos",
    )


def location() -> Json:
    """A place on earth."""
    return {"latitude": 21.028511, "longitude": 105.804817}


def poll(place: Place, question: str) -> Json:
    """A poll with two options."""
    options = [
        {"persistent_id": place.token(f"option-{number}", 8), "text": text, "voter_count": number}
        for number, text in enumerate(("yes", "no"))
    ]
    return {
        "id": place.id("poll"),
        "question": question,
        "options": options,
        "total_voter_count": 1,
        "is_closed": False,
        "is_anonymous": False,
        "type": "regular",
        "allows_multiple_answers": False,
        "allows_revoting": True,
        "members_only": False,
    }


def bot() -> Json:
    """The bot itself, as its own messages carry it."""
    return {"id": 123_456, "is_bot": True, "first_name": "Target", "username": "target_bot"}


def callback(
    place: Place, user: int, data: str | None, *, chat: Json | None = None, below: int | None = None, **more: Any
) -> Json:
    """A pressed button below a message of the bot; None takes a member away.

    Args:
        place: The delivery's place.
        user: Who presses.
        data: The button's data.
        chat: Where the message stands; none is the user's private chat.
        below: The message's number.
        more: Other members of the query.
    """
    members: Json = {
        "id": place.id("callback"),
        "from": person(user),
        "message": {
            "message_id": place.message_id if below is None else below,
            "from": bot(),
            "chat": private(user) if chat is None else chat,
            "date": place.date,
            "text": f"Choose one: {place.marker}",
        },
        "chat_instance": place.id("instance"),
        "data": data,
    } | more
    return {name: value for name, value in members.items() if value is not None}


def inline_query(place: Place, user: int, text: str) -> Json:
    """What somebody writes behind the bot's name in any chat."""
    return {"id": place.id("query"), "from": person(user), "query": text, "offset": "", "chat_type": "sender"}


def joining(place: Place, user: int, kind: str, chat: Json) -> Json:
    """The update of one of Telegram's kinds by which a bot learns that somebody joins a group, or asks to."""
    who = person(user)
    if kind == "new_chat_members":
        return update(place, "message", message(place, user, chat=chat, new_chat_members=[who]))
    common = {"chat": chat, "from": who, "date": place.date}
    if kind == "chat_member":
        states = {f"{when}_chat_member": {"user": who, "status": status} for when, status in _JOINED}
        return update(place, kind, common | states)
    return update(place, kind, common | {"user_chat_id": user})
