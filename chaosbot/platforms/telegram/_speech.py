"""How Telegram speaks on the wire: reading the facts of a delivery, and encoding one.

`read_facts` stands in the proxy's and the load driver's hot path: one pass of a C parser and a few look-ups, about 5 µs for a
usual update. Whatever the body is, it answers facts or None and never raises.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final

import orjson

from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.jsontext import read_json
from chaosbot.core.marker import MARKER
from chaosbot.core.platform import Endpoint
from chaosbot.platforms.telegram._updates import KINDS
from chaosbot.platforms.telegram._users import Population

SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
# An update is at most about 64 KiB; what is far beyond that is no update, and must not cost the proxy a parse.
LARGEST: Final = 1 << 20

_KINDS: Final = frozenset(KINDS)
_NAMES: Final = ("first_name", "last_name", "username", "title")
_MARKER: Final = re.compile(MARKER.pattern.encode())
_COMMAND: Final = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@[A-Za-z0-9_]{1,64})?(?=\s|\Z)")


def read_facts(body: bytes, population: Population) -> UpdateFacts | None:
    """What an update is about; None when the body is no update."""
    if len(body) > LARGEST:
        return None
    root = _root(body)
    if root is None or "update_id" not in root:
        return None
    found = _MARKER.search(body) if b"cbm" in body else None
    return facts_of(root, population, found[0].decode() if found else None)


def _root(body: bytes) -> dict[str, Any] | None:
    """The body's object; what half of a character, a number of any length or NaN stands in as well, since most targets read that."""
    try:
        root = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        try:
            root = read_json(body)
        except (ValueError, RecursionError):
            return None
    return root if isinstance(root, dict) else None


def names_in(body: bytes) -> tuple[str, ...]:
    """What the sender of an update and its chats are called."""
    _, payload = _payload(_root(body) or {})
    message = payload.get("message")
    inside = message if isinstance(message, dict) else {}
    places = [payload.get("from"), *(one.get(place) for one in (payload, inside) for place in ("chat", "sender_chat"))]
    found = [place.get(name) for place in places if isinstance(place, dict) for name in _NAMES]
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str)))


def facts_of(root: dict[str, Any], population: Population, marker: str | None) -> UpdateFacts:
    """What an update is about that is no bytes yet."""
    number = root["update_id"]
    kind, payload = _payload(root)
    user = _id(payload.get("from") or payload.get("user"))
    message = payload.get("message") if kind == "callback_query" else None
    chat = _id(message.get("chat")) if isinstance(message, dict) else _id(payload.get("chat"))
    if kind == "chat_boost" and user is None:
        boost = payload.get("boost")
        source = boost.get("source") if isinstance(boost, dict) else None
        user = _id(source.get("user")) if isinstance(source, dict) else None
    return UpdateFacts(
        update_id=number if type(number) is int or isinstance(number, str) else None,
        kind=kind,
        chat=chat if chat is not None else user,
        user=user,
        tier=population.tier(user),
        command=_command(payload.get("text")) if kind is not None and kind.endswith("message") else None,
        marker=marker,
        message=_message_id(message if isinstance(message, dict) else payload),
        callback=str(payload["id"]) if kind == "callback_query" and isinstance(payload.get("id"), str | int) else None,
    )


def _message_id(message: dict[str, Any]) -> int | None:
    number = message.get("message_id")
    return number if type(number) is int else None


def _payload(root: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The update's kind and payload; of an unknown kind the first member that could be one."""
    unknown: str | None = None
    for name, value in root.items():
        if name in _KINDS:
            return name, value if isinstance(value, dict) else {}
        if unknown is None and name != "update_id":
            unknown = name
    value = root.get(unknown) if unknown is not None else None
    return unknown, value if isinstance(value, dict) else {}


def _id(value: object) -> int | str | None:
    if not isinstance(value, dict):
        return None
    number = value.get("id")
    return number if type(number) is int or isinstance(number, str) else None


def _command(text: object) -> str | None:
    if not isinstance(text, str) or text[:1] != "/":
        return None
    match = _COMMAND.match(text)
    return match[1] if match else None


def dumps(value: Any) -> bytes:
    """JSON as the platform would write it; also for what orjson refuses (lone surrogates, integers beyond 64 bits)."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


@lru_cache(maxsize=64)
def _head(host: str, path: str, secret: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}"]
    if secret:
        lines.append(f"{SECRET_HEADER}: {secret}")
    lines += [f"{name}: {value}" for name, value in headers]
    lines += ["Connection: keep-alive", "Accept-Encoding: gzip, deflate", "Content-Type: application/json"]
    return ("\r\n".join(lines) + "\r\nContent-Length: ").encode("utf-8", "surrogateescape")


def encode_body(endpoint: Endpoint, body: bytes) -> bytes:
    """The request that carries this body, with the headers that Telegram sends."""
    head = _head(endpoint.host, endpoint.path, endpoint.secret, endpoint.headers)
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)
