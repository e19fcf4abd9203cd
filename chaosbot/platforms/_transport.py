"""How one kind of update travels: method, query, headers, and how its payload becomes a body.

A `BodyCodec` is a content type with a writer and a reader. Writers take any JSON value, since mutations change payloads: what a form
cannot say as text (a list, an object) it says as JSON.

| codec | body | used by |
|---|---|---|
| `JSON` | the payload | most |
| `FORM` | a form, one field for each member | slash commands, SMS |
| `PAYLOAD` | a form with one field ``payload``, which is JSON | interactivity, GitHub's forms |
| `MULTIPART` | a form in parts | inbound mail |
| `nested(member)` | JSON in which one member is JSON again, as text | notifications of queues |
| `NONE` | no body | handshakes by GET |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from chaosbot.core.kit import there


def dumps(value: Any) -> bytes:
    """JSON, also of what orjson refuses (lone surrogates, integers beyond 64 bits)."""
    if isinstance(value, bytes):
        return value
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def escaped(value: Any) -> bytes:
    """JSON in ASCII with escaped slashes, as PHP writes it and Meta signs it."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


def indented(value: Any) -> bytes:
    """JSON on many lines."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _word(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value).decode("utf-8", "surrogatepass")


def _fields(value: Any) -> list[tuple[str, str]]:
    """A form's fields; a list is a field several times."""
    if not isinstance(value, Mapping):
        return [("payload", _word(value))] if value is not None else []
    items = ((name, one) for name, held in value.items() for one in (held if isinstance(held, list) else [held]))
    return [(str(name), "" if one is None else _word(one)) for name, one in items]


def _form(value: Any) -> bytes:
    return urlencode(_fields(value), errors="surrogatepass").encode()


def _read_form(body: bytes) -> Any:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


_BOUNDARY: Final = "chaosbot-5f3a9c1e7d"


def _multipart(value: Any) -> bytes:
    parts = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in _fields(value)
    )
    return ("".join(parts) + f"--{_BOUNDARY}--\r\n").encode("utf-8", "surrogatepass")


def _read_multipart(body: bytes) -> Any:
    found = {}
    for part in body.split(f"--{_BOUNDARY}".encode())[1:-1]:
        head, _, text = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0]
        found[name.decode("utf-8", "replace")] = text.removesuffix(b"\r\n").decode("utf-8", "replace")
    return found


@dataclass(frozen=True, slots=True)
class BodyCodec:
    """One way of writing a payload as a body.

    Args:
        content_type: The header's value; empty for no such header.
        write: A payload as bytes.
        read: Bytes as a payload; raises ValueError (or what is no better) where they are none.
    """

    content_type: str
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


def nested(member: str, content_type: str = "application/json") -> BodyCodec:
    """JSON in which one member is JSON again, as text; mutations act on what is inside."""

    def write(value: Any) -> bytes:
        inside = isinstance(value, dict) and member in value and not isinstance(value[member], str)
        return dumps(value | {member: _word(value[member])} if inside else value)

    def read(body: bytes) -> Any:
        value = orjson.loads(body)
        return value | {member: orjson.loads(value[member])} if isinstance(value, dict) and member in value else value

    return BodyCodec(content_type, write, read)


JSON: Final = BodyCodec("application/json", dumps, orjson.loads)
FORM: Final = BodyCodec("application/x-www-form-urlencoded", _form, _read_form)
PAYLOAD: Final = BodyCodec(
    "application/x-www-form-urlencoded",
    lambda value: _form({"payload": _word(value)}),
    lambda body: orjson.loads(_read_form(body)["payload"]),
)
MULTIPART: Final = BodyCodec(f"multipart/form-data; boundary={_BOUNDARY}", _multipart, _read_multipart)
NONE: Final = BodyCodec("", lambda _: b"", lambda _: None)


@dataclass(frozen=True, slots=True)
class Transport:
    """How one kind of update travels.

    Args:
        codec: How its payload becomes a body.
        method: The HTTP method.
        query: Whether the payload's members stand in the query instead of the body.
        headers: Headers that only this kind has.
        signed: Whether it carries a signature.
    """

    codec: BodyCodec = JSON
    method: str = "POST"
    query: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    signed: bool = True

    def target(self, path: str, payload: Any) -> str:
        """The request's target."""
        if not self.query:
            return path
        return f"{path}{'&' if '?' in path else '?'}{_form(payload).decode()}"


# ── places in a payload ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Places:
    """Where the facts of a payload stand, as dotted paths; the first that is there counts.

    Args:
        delivery: The delivery's id.
        chat: What an answer belongs to.
        user: Who caused it.
        tenant: Whose account it happens in.
        text: What people wrote.
        message: What a reply quotes.
        callback: By what a press is answered.
        command: A command's name.
        own: Other ids that a delivery of its own has.
        reply: URLs to which the target is meant to send its answer.
    """

    delivery: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    message: tuple[str, ...] = ()
    callback: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()

    def first(self, payload: Any, role: str) -> Any:
        """What stands at the first place of a role that holds a number or a text; None where none does."""
        values = (there(payload, dotted) for dotted in getattr(self, role))
        return next((one for one in values if type(one) is int or (isinstance(one, str) and one)), None)

    def place(self, payload: Any, role: str) -> str:
        """The first place of a role that holds a text; empty where none does."""
        return next((dotted for dotted in getattr(self, role) if isinstance(there(payload, dotted), str)), "")
