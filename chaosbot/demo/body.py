"""Reads and decodes the body of a delivery, within bounds of size, time and depth.

| body | answer |
|---|---|
| longer than 1 MB, announced or not, also once inflated | 413 |
| not complete after 10 s | 408 |
| another content type than JSON in UTF-8, another encoding than gzip | 415 |
| not strictly JSON: cut short, NaN, 1e999, lone surrogates, a BOM, UTF-16, nested deeper than 1024 | 400 |
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson

from chaosbot.demo.bugs import Bug

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_BODY: Final = 1_000_000
READ_S: Final = 10.0
UNCAPPED: Final = 256_000_000
BOMB: Final = 200_000_000


class BadBody(Exception):
    """A body that is refused.

    Attributes:
        status: The HTTP status to answer with.
    """

    def __init__(self, status: int, why: str) -> None:
        """Keeps the status; `why` is safe to show."""
        super().__init__(why)
        self.status = status


class Gone(Exception):
    """The sender left before its body was complete."""


def check_headers(headers: dict[bytes, bytes]) -> None:
    """Refuses by the headers alone what would be refused by the body.

    Raises:
        BadBody: 413 or 415.
    """
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18 or int(length) > MAX_BODY:
        raise BadBody(413, "body too long")
    media, _, parameters = headers.get(b"content-type", b"application/json").partition(b";")
    if media.strip().lower() != b"application/json":
        raise BadBody(415, "content type must be application/json")
    charset = parameters.strip().lower()
    if charset.startswith(b"charset=") and charset[8:].strip(b'"') not in (b"utf-8", b"utf8"):
        raise BadBody(415, "charset must be utf-8")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b"gzip"):
        raise BadBody(415, "content encoding must be gzip or identity")


async def read_body(receive: Receive, bugs: frozenset[Bug], cap: int = MAX_BODY, binary: bool = False) -> bytes:
    """Reads a body as it comes.

    Raises:
        BadBody: 413 when it is too long, 408 when it takes too long.
        Gone: When the sender went away.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                chunk: bytes = message.get("body", b"")
                if Bug.SPLIT_UTF8_CORRUPTED in bugs and not binary and (chunks or message.get("more_body", False)):
                    chunk = chunk.decode("utf-8", "replace").encode()  # BUG: a chunk is no text of its own
                size += len(chunk)
                if size > cap:
                    raise BadBody(413, "body too long")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise BadBody(408, "body took too long") from None


def inflate(body: bytes, bugs: frozenset[Bug]) -> bytes:
    """Decodes a gzip body, but never to more than the cap.

    Raises:
        BadBody: 400 when it is no gzip or cut short, 413 when it inflates to too much.
    """
    cap = BOMB if Bug.GZIP_BOMB in bugs else MAX_BODY
    decoder = zlib.decompressobj(wbits=31)
    try:
        plain = decoder.decompress(body, cap + 1)
    except zlib.error:
        raise BadBody(400, "body is no gzip") from None
    if len(plain) > cap:
        raise BadBody(413, "body too long once inflated")
    if not decoder.eof or decoder.unused_data:
        raise BadBody(400, "body is no complete gzip")
    return plain


def parse(body: bytes, bugs: frozenset[Bug]) -> object:
    """Decodes strict JSON.

    Raises:
        BadBody: 400 when it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        why = str(error)
        if Bug.CRASH_ON_TRUNCATED_JSON in bugs and "end of data" in why:
            raise  # BUG: nobody expects it
        if Bug.CRASH_ON_DEEP_NESTING in bugs and "depth" in why:
            return json.loads(body) if _depth(json.loads(body)) else None  # BUG: recursion as deep as the body
        raise BadBody(400, "body is not JSON") from None


def _depth(value: object) -> int:
    """BUG: measures the nesting by nesting."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, children), default=0)
