"""The messages that sending and editing methods return: they repeat what the call said and invent the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from zlib import crc32

from chaosbot.mocks.telegram.call import ApiCall, BadCall
from chaosbot.mocks.telegram.files import FILES, file_of, media_of, photo_of
from chaosbot.platforms.telegram._users import MOCK_BOT


@dataclass
class Desk:
    """What the mock remembers between calls: message numbers and the bot's own settings.

    Args:
        bot_id: The bot's id where the token tells none.
        ids: Rising numbers for messages, files, polls …
        settings: What ``set…`` methods left, by the name that ``get…`` asks for.
        webhook: The webhook's URL; empty when none is set.
        admin: Who administers every group.
        alone: Whether no other process is called as well.
        shown: What stands in messages, the latest, as far as calls told: by chat and number, the content and the buttons.
    """

    bot_id: int
    ids: Iterator[int]
    settings: dict[str, Any] = field(default_factory=dict)
    webhook: str = ""
    admin: int = 1
    alone: bool = True
    shown: dict[tuple[str, int], tuple[Any, Any]] = field(default_factory=dict)

    def show(self, chat: int | str | None, message: int, content: Any, buttons: Any) -> None:
        """Remembers what stands in a message from now on."""
        self.shown.pop((str(chat), message), None)
        self.shown[str(chat), message] = content, buttons
        while len(self.shown) > _MOST_SHOWN:
            self.shown.pop(next(iter(self.shown)))

    def bot(self, call: ApiCall) -> dict[str, Any]:
        """The bot as a User."""
        return {
            "id": call.token_id or self.bot_id,
            "is_bot": True,
            "first_name": "Chaosbot mock",
            "username": MOCK_BOT,
        }


_MOST_SHOWN: Final = 5_000
_COMPARED: Final = frozenset({"editmessagetext", "editmessagecaption", "editmessagereplymarkup"})
_SAME: Final = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)

Builder: TypeAlias = Callable[[ApiCall, Desk], Any]


def unix_now() -> int:
    """The time as the Bot API writes it."""
    return int(time.time())


def chat_of(chat: int | str | None) -> dict[str, Any]:
    """A Chat by its id: private when positive, a supergroup from -100… on, a group, or a channel by name."""
    if isinstance(chat, str):
        name = chat.removeprefix("@")[:32]
        return {"id": -1_000_000_000_000 - crc32(name.encode()), "type": "channel", "title": name, "username": name}
    number = chat or 0
    if number >= 0:
        return {"id": number, "type": "private", "first_name": "Test"}
    return {"id": number, "type": "supergroup" if number <= -1_000_000_000_000 else "group", "title": "Test group"}


def envelope(call: ApiCall, desk: Desk, chat: int | str | None = None) -> dict[str, Any]:
    """A Message without content."""
    message: dict[str, Any] = {
        "message_id": next(desk.ids),
        "from": desk.bot(call),
        "chat": chat_of(call.chat if chat is None else chat),
        "date": unix_now(),
    }
    markup = call.nested("reply_markup")
    if isinstance(markup, dict) and isinstance(markup.get("inline_keyboard"), list):
        message["reply_markup"] = {"inline_keyboard": markup["inline_keyboard"]}
    if (thread := call.integer("message_thread_id")) is not None:
        message["message_thread_id"] = thread
    if (replied := call.reply_to) is not None:
        message["reply_to_message"] = {"message_id": replied, "chat": message["chat"], "date": message["date"]}
    return message


def items(call: ApiCall, name: str) -> list[Any]:
    """A list parameter; empty when it is none."""
    value = call.nested(name)
    return value if isinstance(value, list) else []


def captioned(message: dict[str, Any], call: ApiCall) -> dict[str, Any]:
    """The message with the caption that the call gives."""
    if caption := call.text("caption"):
        message["caption"] = caption
    return message


def text(call: ApiCall, desk: Desk) -> Any:
    """`sendMessage`."""
    message: dict[str, Any] = envelope(call, desk) | {"text": call.text("text")}
    desk.show(call.chat, message["message_id"], _content(call), _buttons(call))
    return message


def media(kind: str) -> Builder:
    """What sends one file of this kind."""

    def build(call: ApiCall, desk: Desk) -> Any:
        content = media_of(kind, call, desk.ids)
        message = captioned(envelope(call, desk), call) | {kind: content}
        if kind == "animation":
            message["document"] = file_of("animation", call, desk.ids, content["file_id"])
        return message

    return build


def album(call: ApiCall, desk: Desk) -> Any:
    """`sendMediaGroup`: one message for each item."""
    group = str(next(desk.ids))
    messages = []
    for item in items(call, "media"):
        kind = str(item.get("type")) if isinstance(item, dict) else ""
        if kind not in FILES:
            raise BadCall(400, "Bad Request: wrong type of the album's media")
        source = item.get("media")
        content = media_of(kind, call, desk.ids, source)
        message = envelope(call, desk) | {kind: content, "media_group_id": group}
        if isinstance(item.get("caption"), str):
            message["caption"] = item["caption"]
        messages.append(message)
    return messages


def paid(call: ApiCall, desk: Desk) -> Any:
    """`sendPaidMedia`."""
    media = []
    for item in items(call, "media"):
        kind = "video" if isinstance(item, dict) and item.get("type") == "video" else "photo"
        source = item.get("media") if isinstance(item, dict) else None
        media.append({"type": kind, kind: media_of(kind, call, desk.ids, source)})
    message = captioned(envelope(call, desk), call)
    return message | {"paid_media": {"star_count": call.integer("star_count") or 1, "paid_media": media}}


def place(call: ApiCall) -> dict[str, Any]:
    """The call's coordinates."""
    return {"latitude": call.number("latitude"), "longitude": call.number("longitude")}


def location(call: ApiCall, desk: Desk) -> Any:
    """`sendLocation`."""
    return envelope(call, desk) | {"location": place(call)}


def venue(call: ApiCall, desk: Desk) -> Any:
    """`sendVenue`."""
    venue = {"location": place(call), "title": call.text("title"), "address": call.text("address")}
    return envelope(call, desk) | {"venue": venue, "location": place(call)}


def contact(call: ApiCall, desk: Desk) -> Any:
    """`sendContact`."""
    contact = {"phone_number": call.text("phone_number"), "first_name": call.text("first_name")}
    return envelope(call, desk) | {"contact": contact}


def poll_object(call: ApiCall, desk: Desk, *, closed: bool) -> dict[str, Any]:
    """A Poll without votes."""
    options = [
        {
            "text": str(option.get("text", "")) if isinstance(option, dict) else str(option),
            "voter_count": 0,
            "persistent_id": str(number),
        }
        for number, option in enumerate(items(call, "options") or ["yes", "no"])
    ]
    return {
        "id": str(next(desk.ids)),
        "question": call.text("question") or "?",
        "options": options,
        "total_voter_count": 0,
        "is_closed": closed,
        "is_anonymous": call.flag("is_anonymous") if "is_anonymous" in call.params else True,
        "type": call.text("type") or "regular",
        "allows_multiple_answers": call.flag("allows_multiple_answers"),
        "allows_revoting": True,
        "members_only": False,
    }


def poll(call: ApiCall, desk: Desk) -> Any:
    """`sendPoll`."""
    return envelope(call, desk) | {"poll": poll_object(call, desk, closed=False)}


def dice(call: ApiCall, desk: Desk) -> Any:
    """`sendDice`: the values take turns."""
    message = envelope(call, desk)
    return message | {"dice": {"emoji": call.text("emoji") or "🎲", "value": message["message_id"] % 6 + 1}}


def checklist(call: ApiCall, desk: Desk) -> Any:
    """`sendChecklist`."""
    wanted = call.nested("checklist")
    wanted = wanted if isinstance(wanted, dict) else {}
    tasks = wanted.get("tasks")
    tasks = [
        {"id": task["id"] if isinstance(task.get("id"), int) else number, "text": str(task.get("text", ""))}
        for number, task in enumerate(tasks if isinstance(tasks, list) else [], 1)
        if isinstance(task, dict)
    ]
    return envelope(call, desk) | {"checklist": {"title": str(wanted.get("title", "")), "tasks": tasks}}


def game(call: ApiCall, desk: Desk) -> Any:
    """`sendGame`."""
    game = {"title": call.text("game_short_name") or "game", "description": "game", "photo": photo_of(call, desk.ids)}
    return envelope(call, desk) | {"game": game}


def invoice(call: ApiCall, desk: Desk) -> Any:
    """`sendInvoice`."""
    prices = [price for price in items(call, "prices") if isinstance(price, dict)]
    invoice = {
        "title": call.text("title"),
        "description": call.text("description"),
        "start_parameter": call.text("start_parameter"),
        "currency": call.text("currency") or "XTR",
        "total_amount": sum(price["amount"] for price in prices if isinstance(price.get("amount"), int)),
    }
    return envelope(call, desk) | {"invoice": invoice}


def rich(call: ApiCall, desk: Desk) -> Any:
    """`sendRichMessage`, as one paragraph."""
    rich = call.nested("rich_message")
    rich = rich if isinstance(rich, dict) else {}
    text = str(rich.get("html") or rich.get("markdown") or "")
    return envelope(call, desk) | {"rich_message": {"blocks": [{"type": "paragraph", "text": text}]}}


def forward(call: ApiCall, desk: Desk) -> Any:
    """`forwardMessage`."""
    origin = {"type": "hidden_user", "date": unix_now(), "sender_user_name": "Test"}
    return envelope(call, desk) | {"forward_origin": origin, "text": "forwarded"}


def message_ids(call: ApiCall, desk: Desk) -> Any:
    """`copyMessages` and `forwardMessages`: a new id for each."""
    return [{"message_id": next(desk.ids)} for _ in items(call, "message_ids")]


def _content(call: ApiCall) -> Any:
    """What a call writes into a message, so that the same is equal."""
    texts = [call.text(name) for name in ("text", "caption", "parse_mode")]
    return [*texts, call.nested("entities"), call.nested("caption_entities")]


def _buttons(call: ApiCall) -> Any:
    """The buttons that a call puts below a message; None for none."""
    markup = call.nested("reply_markup")
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    return rows or None


def _change(call: ApiCall, desk: Desk, number: int) -> None:
    """Changes what stands in a message.

    Raises:
        BadCall: It stands there already.
    """
    before = desk.shown.get((str(call.chat), number), (None, None))
    content = before[0] if call.method.lower() == "editmessagereplymarkup" else _content(call)
    now = content, _buttons(call)
    if now == before and now != (None, None):
        raise BadCall(400, _SAME)
    desk.show(call.chat, number, *now)


def edit(call: ApiCall, desk: Desk) -> Any:
    """True for inline messages, else the message as edited; refused where that changes nothing."""
    if call.chat is None:
        return True
    message = captioned(envelope(call, desk), call)
    message["message_id"] = call.integer("message_id") or message["message_id"]
    if desk.alone and call.method.lower() in _COMPARED:
        _change(call, desk, message["message_id"])
    message["edit_date"] = message["date"]
    media = call.nested("media")
    kind = str(media.get("type")) if isinstance(media, dict) else ""
    if kind in FILES and isinstance(media, dict):
        source = media.get("media")
        message[kind] = media_of(kind, call, desk.ids, source)
    elif call.integer("latitude") is not None or "latitude" in call.params:
        message["location"] = place(call)
    elif "caption" not in call.params:
        message["text"] = call.text("text") or "…"
    return message
