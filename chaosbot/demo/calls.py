"""What the bot wants done outside: calls of the Bot API and downloads, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_TEXT: Final = 4096
"""Telegram's limit for a message, in UTF-16 units."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a Bot API method. Calls of one lane are made in order; `lane` is the chat they are about."""

    method: str
    payload: Mapping[str, Any]
    lane: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Download the file, then answer with `done` (which has a `{size}`) or with `failed`."""

    file_id: str
    chat_id: int
    thread_id: int | None
    done: str
    failed: str
    lane: int = field(default=0)


Outgoing = Call | Fetch


def bounded(text: str, limit: int = MAX_TEXT) -> str:
    """Shortens a text in its middle, so that its beginning and its end survive.

    Args:
        text: Any text.
        limit: Longest result, in UTF-16 units.

    Returns:
        The text, or its two ends with an ellipsis between.
    """
    if len(text) * 2 <= limit:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= limit * 2:
        return text
    head, tail = (limit - 1) // 2, limit - 1 - (limit - 1) // 2
    beginning = units[: head * 2].decode("utf-16-le", "ignore")
    end = units[len(units) - tail * 2 :]
    if end and 0xDC <= end[1] <= 0xDF:  # the cut fell inside a surrogate pair
        end = end[2:]
    return f"{beginning}…{end.decode('utf-16-le', 'ignore')}"


def send_message(chat_id: int, text: str, thread_id: int | None = None, **more: Any) -> Call:
    """Builds a sendMessage call."""
    payload: dict[str, Any] = {"chat_id": chat_id, "text": bounded(text), **more}
    if thread_id is not None:
        payload["message_thread_id"] = thread_id
    return Call("sendMessage", payload, chat_id)


def answer_callback(query_id: str, text: str, lane: int) -> Call:
    """Builds an answerCallbackQuery call; its text has at most 200 characters."""
    return Call("answerCallbackQuery", {"callback_query_id": query_id, "text": bounded(text, 200)}, lane)
