"""What the proxy itself says to clients: answers in the upstream's place, changed headers, its own 502."""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from typing import Any, Final

from mitmproxy import http

from chaosbot.core.effect import SetHeader

TAG: Final = "x-chaosbot"
"""The header that marks an answer as the proxy's own; its value names the rule."""

_ERRNO: Final = re.compile(r"\[Errno (-?\d{1,9})\]\s*")


def answer(status: int, headers: tuple[tuple[str, str], ...], body: bytes, tag: str) -> Any:
    """An answer by the proxy, marked as such."""
    tagged = (*headers, *(((TAG, tag),) if tag else ()))
    fields = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in tagged]
    made = http.Response.make(status, body, http.Headers(fields))
    made.reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    return made


def set_header(message: Any, effect: SetHeader) -> None:
    """Sets, adds or removes a header; values may hold any byte (as latin-1)."""
    if effect.value is None:
        message.headers.pop(effect.name, None)
        return
    value = effect.value.encode("latin-1", "replace")
    name = effect.name.encode("latin-1", "replace")
    if effect.add:
        message.headers.fields = (*message.headers.fields, (name, value))
    else:
        kept = tuple(field for field in message.headers.fields if field[0].lower() != name.lower())
        message.headers.fields = (*kept, (name, value))


def plainly(message: str) -> str:
    """What went wrong on the way to an upstream, as a person would say it."""
    number = _ERRNO.search(message)
    if number is not None and int(number[1]) > 0:
        return os.strerror(int(number[1]))
    if "ertificate verify failed" in message:
        return f"{message}; name its authority by --upstream-ca, or add --insecure-upstream"
    return _ERRNO.sub("", message).removeprefix("Connection killed: ").strip()


def own_error(status: int, message: str = "") -> bytes:
    """An answer that the proxy gives of its own accord, marked as such so that no check blames the bot."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    body = f"{status} from the proxy, not from the upstream: {plainly(message)}\n".encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {phrase}\r\n{TAG}: upstream\r\n"
        f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
