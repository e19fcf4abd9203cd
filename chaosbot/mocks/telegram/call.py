"""Reads a Bot API call from an HTTP request: query, JSON, form and multipart bodies alike.

Rules: sans-I/O; nothing here raises but `BadCall`, which carries the answer that the real server gives; uploaded files are
measured, not kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson

MOST_BODY: Final = 50 * 1024 * 1024
"""Uploads are limited to 50 MB (Bot API, "Sending files")."""

_PATH: Final = re.compile(r"/(?P<file>file/)?bot(?P<token>[^/]+)/(?:test/)?(?P<rest>.*)", re.DOTALL)
_DISPOSITION: Final = re.compile(rb'(?:^|;)[ \t]*(filename\*?|name)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', re.IGNORECASE)
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


class BadCall(Exception):
    """A call that the server refuses, with the answer that it gives."""

    def __init__(self, status: int, description: str) -> None:
        self.status = status
        self.description = description
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, measured."""

    name: str
    size: int
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call of the bot.

    Args:
        token_id: The numeric part of the token, which is public; None when there is none.
        method: The method's name as the bot wrote it; for a download the file's path.
        params: Its parameters; texts where the body's form knows nothing else.
        files: Uploads by field name.
        download: Whether a file is fetched instead.
        fault: Why the body could not be read; the method's name is known all the same.
        token: The whole token, in order to find it where users would read it; no event carries it.
    """

    token_id: int | None
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)
    download: bool = False
    fault: BadCall | None = None
    token: str = field(default="", repr=False)

    def text(self, name: str) -> str:
        """A parameter as text; empty when absent or no text."""
        value = self.params.get(name)
        return value if isinstance(value, str) else ""

    def integer(self, name: str) -> int | None:
        """A parameter as whole number, also when it was written as text."""
        value = self.params.get(name)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
        # orjson writes 64 bits; nothing that the Bot API numbers has more than 52.
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else None

    def number(self, name: str) -> float:
        """A parameter as number; 0 when it is none."""
        try:
            return float(self.params.get(name, 0))
        except (TypeError, ValueError, OverflowError):
            return 0.0

    def flag(self, name: str) -> bool:
        """A parameter as truth value."""
        value = self.params.get(name)
        return value.lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)

    def nested(self, name: str) -> Any:
        """A parameter that is an object or a list; forms carry those as JSON texts. None when it is none."""
        value = self.params.get(name)
        if isinstance(value, str):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                return None
        return value if isinstance(value, (dict, list)) else None

    @property
    def chat(self) -> int | str | None:
        """Whom it goes to: a number, or ``@name``."""
        number = self.integer("chat_id")
        return number if number is not None else (self.text("chat_id") or None)

    @property
    def reply_to(self) -> int | None:
        """The message that it answers."""
        parameters = self.nested("reply_parameters")
        if isinstance(parameters, dict) and isinstance(parameters.get("message_id"), int):
            number: int = parameters["message_id"]
            return number
        return self.integer("reply_to_message_id")


def read_call(method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> ApiCall | None:
    """Reads a request; None when its path is none of the Bot API's.

    Args:
        method: The HTTP method.
        path: Path with query.
        headers: Names in any case.
        body: The whole body.
    """
    where, _, query = path.partition("?")
    found = _PATH.fullmatch(unquote(where))
    if found is None or not found["rest"]:
        return None
    prefix = found["token"].partition(":")[0]
    token_id = int(prefix) if prefix.isascii() and prefix.isdecimal() and len(prefix) < 16 else None
    if found["file"]:
        return ApiCall(token_id, found["rest"], download=True)
    # The real server takes a trailing slash and any case.
    name = found["rest"].rstrip("/")
    if "/" in name:
        return None
    params: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    files: dict[str, Upload] = {}
    try:
        if method.upper() == "POST" and body:
            _read_body(_content_type(headers), body, params, files)
    except BadCall as bad:
        return ApiCall(token_id, name, params, files, fault=bad)
    return ApiCall(token_id, name, params, files, token=found["token"])


def _content_type(headers: tuple[tuple[str, str], ...]) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _read_body(content_type: str, body: bytes, params: dict[str, Any], files: dict[str, Upload]) -> None:
    if len(body) > MOST_BODY:
        raise BadCall(413, "Request Entity Too Large")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise BadCall(400, "Bad Request: can't parse JSON object") from None
        if not isinstance(document, dict):
            raise BadCall(400, "Bad Request: can't parse JSON object")
        params.update(document)
    elif kind == "multipart/form-data":
        _read_multipart(content_type, body, params, files)
    elif kind in ("application/x-www-form-urlencoded", ""):
        try:
            text = body.decode()
            params.update(parse_qsl(text, keep_blank_values=True, max_num_fields=1000))
        except UnicodeDecodeError:
            raise BadCall(400, "Bad Request: strings must be encoded in UTF-8") from None
        except ValueError:
            raise BadCall(400, "Bad Request: too many parameters") from None


def _read_multipart(content_type: str, body: bytes, params: dict[str, Any], files: dict[str, Upload]) -> None:
    boundary = re.search(r'boundary="?([^";,]{1,200})', content_type, re.IGNORECASE)
    if boundary is None:
        raise BadCall(400, "Bad Request: multipart body without boundary")
    mark = b"--" + boundary[1].strip().encode()
    for part in body.split(mark)[1:]:
        if part.startswith(b"--"):
            return
        head, gap, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not gap:
            continue
        content = content.removesuffix(b"\r\n")
        disposition = kind = b""
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-disposition":
                disposition = value
            elif name.strip().lower() == b"content-type":
                kind = value.strip()
        words = {found[1].lower(): (found[2] or found[3]) for found in _DISPOSITION.finditer(disposition)}
        field_name = words.get(b"name", b"").decode("utf-8", "replace")
        file_name = words.get(b"filename", words.get(b"filename*"))
        if file_name is not None:
            files[field_name] = Upload(
                file_name.decode("utf-8", "replace")[:128], len(content), kind.decode("latin-1")[:64]
            )
        elif field_name:
            params[field_name] = content.decode("utf-8", "replace")
    raise BadCall(400, "Bad Request: multipart body does not end")
