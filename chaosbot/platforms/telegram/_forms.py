"""One text, or one pressed button, in every form in which the platform can deliver it.

A handler is written for the usual form: a new message with a text, sent by a person with a name, in a private chat. The Bot API marks
nearly all of that optional ("Message", "CallbackQuery", "User").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from chaosbot.platforms.telegram._parts import (
    Json,
    Place,
    bot,
    callback,
    command_entity,
    document,
    message,
    photos,
    sticker,
    text_message,
    update,
    voice,
)
from chaosbot.platforms.telegram._users import channel, person, private, robot, supergroup

_EDITED: Final = {"edit_date": 1_700_000_005}
_ODD: Final = {"first_name": "A_b*c <d> & [e]", "last_name": "`f_"}
"""A name as people may choose it; between markup it must be escaped."""
_SAME: Final = frozenset({"bare-sender", "bare-presser", "odd-name", "inaccessible-message"})
_BUSINESS: Final = {"business_connection_id": "chaos"}

Written = Callable[[Place, int], dict[str, Any]]


def _bare(user: int) -> Json:
    return {"id": user, "is_bot": False, "first_name": person(user)["first_name"]}


def _earlier(place: Place, user: int, **content: Any) -> Json:
    """A message that the new one answers."""
    return message(place, user, **{"message_id": 2, "date": place.date - 60} | content)


_MESSAGES: Final[dict[str, tuple[str, Written]]] = {
    "edited": ("edited_message", lambda _, __: _EDITED),
    "business": ("business_message", lambda _, __: _BUSINESS),
    "edited-business": ("edited_business_message", lambda _, __: _EDITED | _BUSINESS),
    "bare-sender": ("message", lambda _, user: {"from": _bare(user), "chat": {"id": user, "type": "private"}}),
    "odd-name": ("message", lambda _, user: {"from": person(user) | _ODD, "chat": private(user) | _ODD}),
    "reply-to-sticker": (
        "message",
        lambda place, user: {"reply_to_message": _earlier(place, user, sticker=sticker(place))},
    ),
    "reply-to-bot": (
        "message",
        lambda place, user: {"reply_to_message": _earlier(place, user, text="Hello", **{"from": bot()})},
    ),
    "reply-without-sender": (
        "message",
        lambda place, user: {"reply_to_message": _earlier(place, user, text="Hello", **{"from": None})},
    ),
    "external-reply": (
        "message",
        lambda place, _: {
            "external_reply": {"origin": {"type": "hidden_user", "sender_user_name": "X", "date": place.date - 60}}
        },
    ),
    "forwarded": (
        "message",
        lambda place, _: {"forward_origin": {"type": "hidden_user", "sender_user_name": "X", "date": place.date - 60}},
    ),
    "via-bot": ("message", lambda _, __: {"via_bot": robot()}),
    "without-entities": ("message", lambda _, __: {"entities": None}),
    "group": ("message", lambda place, _: {"chat": supergroup(place.dice)}),
    "topic": (
        "message",
        lambda place, _: {
            "chat": supergroup(place.dice) | {"is_forum": True},
            "message_thread_id": 7,
            "is_topic_message": True,
        },
    ),
    "anonymous": (
        "message",
        lambda place, _: {
            "chat": supergroup(place.dice),
            "sender_chat": supergroup(place.dice),
            "from": {"id": 1_087_968_824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"},
        },
    ),
    "group-without-sender": ("message", lambda place, _: {"chat": supergroup(place.dice), "from": None}),
    "post": (
        "channel_post",
        lambda place, _: {"chat": channel(place.dice), "sender_chat": channel(place.dice), "from": None},
    ),
    "edited-post": (
        "edited_channel_post",
        lambda place, _: {"chat": channel(place.dice), "sender_chat": channel(place.dice), "from": None} | _EDITED,
    ),
}
"""Forms of a text message: the kind of the update, and the members that differ."""

_BELOW: Final[dict[str, Callable[[Place], Json]]] = {
    "caption-of-photo": lambda place: {"photo": photos(place)},
    "caption-of-document": lambda place: {"document": document(place)},
    "caption-of-voice": lambda place: {"voice": voice(place)},
}
"""What a text may stand below, as its caption."""


_PRESSES: Final[dict[str, Callable[[Place, int, Json], dict[str, Any]]]] = {
    "without-message": lambda _, __, ___: {"message": None},
    "inaccessible-message": lambda place, user, _: {
        "message": {"message_id": place.message_id, "chat": private(user), "date": 0}
    },
    "without-message.inline": lambda place, _, __: {"message": None, "inline_message_id": place.token("inline", 24)},
    "below-photo": lambda place, _, shown: {
        "message": _without(shown, "text") | {"photo": photos(place), "caption": "Choose one"}
    },
    "below-nothing": lambda _, __, shown: {"message": _without(shown, "text")},
    "message-without-sender": lambda _, __, shown: {"message": _without(shown, "from")},
    "bare-presser": lambda _, user, __: {"from": _bare(user)},
    "press-in-group": lambda place, _, shown: {"message": shown | {"chat": supergroup(place.dice)}},
    "press-in-channel": lambda place, _, shown: {
        "message": _without(shown, "from") | {"chat": channel(place.dice), "sender_chat": channel(place.dice)}
    },
}
"""Forms of a press: the members that differ, by the delivery's place, who presses, and the message as it usually is."""


def _without(members: Json, name: str) -> Json:
    return {key: value for key, value in members.items() if key != name}


def forms(*, pressed: bool) -> dict[str, bool]:
    """The words for all forms of a text, or of a press, and whether each must be answered as the usual one is."""
    return {form: form in _SAME for form in (_PRESSES if pressed else (*_MESSAGES, *_BELOW))}


def formed(form: str, text: str, user: int, place: Place) -> Json:
    """The text that is written, or the data that is pressed, in a form (`forms`)."""
    if form in _PRESSES:
        usual = callback(place, user, text)
        made = usual | _PRESSES[form](place, user, usual["message"])
        return update(place, "callback_query", {name: value for name, value in made.items() if value is not None})
    if form in _MESSAGES:
        kind, members = _MESSAGES[form]
        return update(place, kind, text_message(place, user, text, **members(place, user)))
    marked = {"caption_entities": [command_entity(text)]} if text[:1] == "/" and text[1:2].isalpha() else {}
    return update(place, "message", message(place, user, caption=text, **marked, **_BELOW[form](place)))
