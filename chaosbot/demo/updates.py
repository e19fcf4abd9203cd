"""Reads what the bot needs out of a Telegram update; pure.

Rules:
1. Only a root that is no object or a bad `update_id` is malformed. The platform redelivers what is not acknowledged, so
   everything else that cannot be understood is *ignored*, not refused.
2. An id is an int of at most 52 bits; `true`, `"1"` and `1.0` are none.
3. Fields the bot does not need are not looked at, whatever is in them.
4. Who acts is `from` of the payload itself and nobody nested inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

JsonObject = Mapping[str, Any]

MAX_ID: Final = 2**52 - 1
FAKE_SENDERS: Final = frozenset({1087968824, 136817688, 777000})
"""Accounts the platform puts into `from` when there is no user: anonymous admin, channel, service notifications."""

KINDS: Final = frozenset(
    {
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
    }
)


class MalformedUpdate(ValueError):
    """The body is no update at all; only its sender can repair that."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who acts. `genuine` is false for bots and for the platform's mock accounts."""

    id: int
    username: str | None
    genuine: bool


@dataclass(frozen=True, slots=True)
class Media:
    """A file offered with a message: `voice`, `photo` or `document`."""

    kind: str
    file_id: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that can be answered: it has a chat and a sender.

    `direct` says that the sender wrote it here and now: neither forwarded nor posted through another bot.
    """

    chat_id: int
    thread_id: int | None
    sender: Sender
    direct: bool
    text: str | None
    entities: tuple[JsonObject, ...]
    media: Media | None
    caption: str | None
    raw: JsonObject


@dataclass(frozen=True, slots=True)
class Callback:
    """A pressed button; without a chat when its message is out of reach."""

    id: str
    sender: Sender
    data: str | None
    chat_id: int | None
    thread_id: int | None
    has_message: bool


@dataclass(frozen=True, slots=True)
class Update:
    """One delivery. `payload` is None for whatever the bot has no use for."""

    id: int
    kind: str
    payload: Message | Callback | None
    raw: JsonObject


def as_id(value: object) -> int | None:
    """Returns the value when it is a genuine id, which may be negative."""
    return value if type(value) is int and value != 0 and -MAX_ID <= value <= MAX_ID else None


def as_object(value: object) -> JsonObject:
    """Returns the value when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str | None:
    """Returns the value when it is a string."""
    return value if isinstance(value, str) else None


def read_update(root: object) -> Update:
    """Reads one update.

    Raises:
        MalformedUpdate: When the root is no object or `update_id` is no id.
    """
    if not isinstance(root, dict):
        raise MalformedUpdate("an update is a JSON object")
    update_id = root.get("update_id")
    if type(update_id) is not int or not 0 <= update_id <= MAX_ID:
        raise MalformedUpdate("update_id is a whole number")
    kinds = [key for key in root if key in KINDS]
    if len(kinds) != 1:  # none that we know, or an ambiguous pair: nothing a redelivery could repair
        others = [key for key in root if key != "update_id"]
        return Update(update_id, "several" if kinds else "unknown" if others else "empty", None, root)
    kind = kinds[0]
    content = as_object(root[kind])
    payload: Message | Callback | None = None
    if kind == "message":
        payload = read_message(content)
    elif kind == "callback_query":
        payload = read_callback(content)
    return Update(update_id, kind, payload, root)


def read_sender(value: object) -> Sender | None:
    """Reads a user; None when its id is none."""
    user = as_object(value)
    user_id = as_id(user.get("id"))
    if user_id is None or user_id < 0:
        return None
    genuine = user.get("is_bot", False) is False and user_id not in FAKE_SENDERS
    return Sender(user_id, as_text(user.get("username")), genuine)


def read_message(content: JsonObject) -> Message | None:
    """Reads a message; None when nobody or nowhere could be answered."""
    chat_id = as_id(as_object(content.get("chat")).get("id"))
    sender = read_sender(content.get("from"))
    if chat_id is None or sender is None:
        return None
    sender_chat = content.get("sender_chat") is not None or content.get("sender_business_bot") is not None
    if sender_chat and sender.genuine:  # written on behalf of a chat or by a business bot: `from` is not its author
        sender = Sender(sender.id, sender.username, False)
    direct = not any(key in content for key in ("forward_origin", "forward_from", "forward_date", "via_bot"))
    entities = content.get("entities")
    return Message(
        chat_id=chat_id,
        thread_id=read_thread(content),
        sender=sender,
        direct=direct,
        text=as_text(content.get("text")),
        entities=tuple(entity for entity in entities[:100] if isinstance(entity, dict))
        if isinstance(entities, list)
        else (),
        media=read_media(content),
        caption=as_text(content.get("caption")),
        raw=content,
    )


def read_thread(content: JsonObject) -> int | None:
    """Reads the topic a message was written in."""
    thread_id = as_id(content.get("message_thread_id"))
    return thread_id if thread_id is not None and thread_id > 0 else None


def read_media(content: JsonObject) -> Media | None:
    """Reads the file of a message; of a photo's sizes the last, which is the largest."""
    for kind in ("voice", "photo", "document"):
        value = content.get(kind)
        if kind == "photo" and isinstance(value, list) and value:
            value = value[-1]
        file = as_object(value)
        file_id = as_text(file.get("file_id"))
        if file_id:
            size = file.get("file_size")
            return Media(kind, file_id[:256], size if type(size) is int and size >= 0 else None)
    return None


def read_callback(content: JsonObject) -> Callback | None:
    """Reads a pressed button; None when nobody pressed it or it cannot be answered."""
    query_id = as_text(content.get("id"))
    sender = read_sender(content.get("from"))
    if not query_id or sender is None:
        return None
    message = as_object(content.get("message"))
    return Callback(
        id=query_id[:256],
        sender=sender,
        data=as_text(content.get("data")),
        chat_id=as_id(as_object(message.get("chat")).get("id")),
        thread_id=read_thread(message),
        has_message=bool(message),
    )
