"""What a call of the bot offers its reader (buttons to press, texts to write with one touch), and whose rights it changes.

| where | what it offers |
|---|---|
| `reply_markup.inline_keyboard` | data of buttons; deep links as ``/start PAYLOAD`` |
| `reply_markup.keyboard` | the keys' texts |
| `commands` (``setMyCommands``) | the commands, with their slash |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from chaosbot.core.event import ApiCalled

MOST: Final = 32
"""So many buttons, and so many keys, of one call."""
_LONGEST: Final = 256
RIGHTS: Final = frozenset(
    {
        "approveChatJoinRequest",
        "banChatMember",
        "declineChatJoinRequest",
        "kickChatMember",
        "promoteChatMember",
        "restrictChatMember",
        "setChatAdministratorCustomTitle",
        "unbanChatMember",
    }
)
"""The methods that change what a member of a chat may do."""
_ID: Final = re.compile(r"\d{1,16}", re.ASCII)
_DEEP_LINK: Final = re.compile(r"(?:t\.me/\w+|tg://resolve)\?(?:[^#\s]*&)?start=([\w-]{1,64})")


def call_in(body: bytes) -> tuple[ApiCalled, ...]:
    """The call that an answer to a delivery makes: an object with ``method`` and its parameters."""
    try:
        call = orjson.loads(body) if b'"method"' in body else None
    except orjson.JSONDecodeError:
        return ()
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return ()
    chat, press = call.get("chat_id"), call.get("callback_query_id")
    # A bot that was sent an odd chat may answer it: JSON's true is an int in Python, and the journal holds 64 bits.
    known = isinstance(chat, str) or (type(chat) is int and abs(chat) < 1 << 62)
    text = next((call[key] for key in ("text", "caption") if isinstance(call.get(key), str)), "")
    buttons, keys = offered(call)
    press = press if isinstance(press, str) else ""
    return (
        ApiCalled(
            0.0,
            call["method"],
            chat if known else None,
            text,
            callback=press,
            buttons=buttons,
            keys=keys,
            member=concerned(call["method"], call),
        ),
    )


def concerned(method: str, params: Mapping[str, Any]) -> int | None:
    """The member whose rights in a chat a call changes; None for any other call."""
    member = params.get("user_id") if method in RIGHTS else None
    return int(member) if isinstance(member, int | str) and _ID.fullmatch(str(member)) else None


def offered(params: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The data of the buttons, and the texts of the keys, that a call's parameters show.

    Args:
        params: The call's parameters; nested ones as objects, or as JSON texts as forms carry them.
    """
    markup = _nested(params.get("reply_markup"))
    buttons: list[str] = []
    keys: list[str] = []
    if isinstance(markup, dict):
        for button in _cells(markup.get("inline_keyboard")):
            data, url = button.get("callback_data"), button.get("url")
            if isinstance(data, str):
                buttons.append(data)
            if isinstance(url, str):
                keys += _payloads(url)
        keys += [text for button in _cells(markup.get("keyboard")) if isinstance(text := button.get("text"), str)]
    commands = _nested(params.get("commands"))
    for one in commands if isinstance(commands, list) else ():
        if isinstance(one, dict) and isinstance(name := one.get("command"), str) and name:
            keys.append("/" + name.lstrip("/"))
    if isinstance(text := params.get("text"), str):
        keys += _payloads(text)
    return _bounded(buttons), _bounded(keys)


def menu_chat(params: Mapping[str, Any]) -> int | None:
    """The chat for which a command menu is set; None where it is for all."""
    scope = _nested(params.get("scope"))
    chat = scope.get("chat_id") if isinstance(scope, dict) else None
    return chat if type(chat) is int and abs(chat) < 1 << 62 else None


def _payloads(text: str) -> list[str]:
    return [f"/start {payload}" for payload in _DEEP_LINK.findall(text)]


def _nested(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _cells(rows: object) -> Iterator[Mapping[str, Any]]:
    """The buttons of a keyboard; a plain text is a key."""
    for row in rows if isinstance(rows, list) else ():
        for button in row if isinstance(row, list) else ():
            if isinstance(button, dict):
                yield button
            elif isinstance(button, str):
                yield {"text": button}


def _bounded(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text[:_LONGEST] for text in texts if text))[:MOST]
