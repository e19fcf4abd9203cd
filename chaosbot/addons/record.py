"""Recordings of traffic as HAR 1.2, the format that browsers, mitmproxy and most HTTP tools read.

Rules:

- Everything kept is bounded: bodies, entries, and the whole; what was cut or left out says so in the entry or the log.
- Secrets go out before anything is kept: known values and token shapes by the `Redactor`, credentials by their header's name,
  and a compressed body that cannot be opened is left out, because nobody could look into it.
- An entry is finished JSON when it is added, so that workers hand entries over as lines and nothing is shared.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from chaosbot import __version__
from chaosbot.addons.exchange_context import ExchangeContext
from chaosbot.core.units import whole
from chaosbot.journal import REDACTED, Redactor, private

MOST_BODY: Final = 64 * 1024
MOST_BYTES: Final = 256 * 1024 * 1024
# A secret that the cut would halve must still be found whole.
_MARGIN: Final = 4096
_MOST_SIZE: Final = 2**53
_CREDENTIALS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-telegram-bot-api-secret-token",
    }
)
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Taped:
    """One exchange as the recorder is given it.

    Args:
        started: When its request was complete, as Unix time.
        seconds: How long it took.
        method: The request method.
        url: The whole URL.
        request_headers: Its headers as they were.
        request_body: Its body as it was.
        status: What went to the client; None when nothing did.
        response_headers: The answer's headers.
        response_body: The answer's body, or its start.
        response_size: The body's size when only its start is given.
        http_version: As HAR writes it.
        exchange: The exchange's id.
        direction: Which way it ran.
        by: Who wrote the answer.
        connection: The client connection's ordinal.
        faults: The rules that met it.
        error: Why there is no answer.
        comment: What a reader of the entry should know.
    """

    started: float
    seconds: float
    method: str
    url: str
    request_headers: Headers = ()
    request_body: bytes = b""
    status: int | None = None
    response_headers: Headers = ()
    response_body: bytes = b""
    response_size: int | None = None
    http_version: str = "HTTP/1.1"
    exchange: str = ""
    direction: str = ""
    by: str = ""
    connection: int = 0
    faults: tuple[str, ...] = ()
    error: str = ""
    comment: str = ""


def taped(context: ExchangeContext, seconds: float) -> Taped:
    """An exchange that the proxy has just finished."""
    exchange, request, response = context.exchange, context.flow.request, context.flow.response
    came = response is not None and context.status is not None
    streamed = ["request"] if request.raw_content is None else []
    if came and response.raw_content is None:
        streamed.append("response")
    length = response.headers.get("content-length", "") if came else ""
    return Taped(
        started=time.time() - seconds,
        seconds=seconds,
        method=request.method,
        url=request.url,
        request_headers=tuple(request.headers.items(multi=True)),
        request_body=request.raw_content or b"",
        status=context.status,
        response_headers=tuple(response.headers.items(multi=True)) if came else (),
        response_body=(response.raw_content or b"") if came else b"",
        response_size=whole(length, _MOST_SIZE) if "response" in streamed else None,
        http_version=request.http_version,
        exchange=exchange.key,
        direction=str(exchange.direction),
        by=context.by,
        connection=exchange.connection,
        faults=tuple(armed.rule.name for armed in context.faults if armed.applied),
        error="" if came else str(context.flow.error or "no answer went to the client"),
        comment=f"streamed, not kept: the body of the {' and the '.join(streamed)}" if streamed else "",
    )


class HarRecorder:
    """Collects exchanges and writes them as one HAR file.

    Args:
        redactor: Takes secrets out.
        most_body: How many bytes of a body to keep.
        most_bytes: How much to keep in all; what comes later is counted only.
    """

    def __init__(self, redactor: Redactor, *, most_body: int = MOST_BODY, most_bytes: int = MOST_BYTES) -> None:
        self._redactor = redactor
        self._most_body = most_body
        self._left = most_bytes
        self._entries: list[tuple[float, bytes]] = []
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, taped: Taped) -> None:
        """Keeps one exchange."""
        self._keep(taped.started, orjson.dumps(self._entry(taped), option=orjson.OPT_NON_STR_KEYS))

    def _keep(self, started: float, entry: bytes) -> None:
        self._left -= len(entry)
        if self._left < 0:
            self.left_out += 1
        else:
            self._entries.append((started, entry))

    def drain(self) -> list[dict[str, Any]]:
        """Hands over what was kept so far, as JSON objects for `absorb`; a worker's end of the way to its parent."""
        taken, self._entries = self._entries, []
        self._left += sum(len(entry) for _, entry in taken)
        lines = [{"started": started, "entry": entry.decode()} for started, entry in taken]
        if self.left_out:
            lines.append({"left_out": self.left_out})
            self.left_out = 0
        return lines

    def absorb(self, lines: Iterable[dict[str, Any]]) -> None:
        """Takes what another recorder drained."""
        for line in lines:
            if "entry" in line:
                self._keep(line["started"], line["entry"].encode())
            self.left_out += line.get("left_out", 0)

    def save(self, path: Path) -> None:
        """Writes the file, entries in the order in which they began.

        Raises:
            OSError: It cannot be written.
        """
        log: dict[str, Any] = {"version": "1.2", "creator": {"name": "chaosbot", "version": __version__}}
        if self.left_out:
            log["comment"] = f"{self.left_out} later exchanges were left out; the recording is full"
        log["entries"] = []
        head = orjson.dumps({"log": log}).removesuffix(b"]}}")
        # A device or a pipe is written itself, and not replaced.
        whole = path.is_file() or not path.exists()
        partial = path.with_name(f".{path.name}.partial") if whole else path
        try:
            with open(partial, "wb", opener=private) as file:
                file.write(head)
                file.writelines(
                    (b",\n" if number else b"\n") + entry
                    for number, (_, entry) in enumerate(sorted(self._entries, key=lambda item: item[0]))
                )
                file.write(b"\n]}}\n")
        except OSError:
            if whole:
                partial.unlink(missing_ok=True)
            raise
        if whole:
            partial.replace(path)

    # ── one entry ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, taped: Taped) -> dict[str, Any]:
        milliseconds = round(taped.seconds * 1000, 3)
        url = self._redactor.text(_valid(taped.url))
        entry: dict[str, Any] = {
            "startedDateTime": datetime.fromtimestamp(taped.started, UTC).isoformat(timespec="milliseconds"),
            "time": milliseconds,
            "request": {
                "method": _valid(taped.method),
                "url": url,
                "httpVersion": taped.http_version,
                "cookies": [],
                "headers": self._headers(taped.request_headers),
                "queryString": [
                    {"name": name, "value": value}
                    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
                ],
                "headersSize": -1,
                "bodySize": len(taped.request_body),
            },
            "response": self._response(taped),
            "cache": {},
            "timings": {"send": 0, "wait": milliseconds, "receive": 0},
            "connection": str(taped.connection),
            "_chaosbot": {
                "exchange": _valid(taped.exchange),
                "direction": taped.direction,
                "by": taped.by,
                "faults": list(taped.faults),
            },
        }
        if taped.comment:
            entry["comment"] = taped.comment
        if taped.request_body:
            body = self._body(taped.request_headers, taped.request_body, len(taped.request_body))
            body.pop("size")
            entry["request"]["postData"] = body
        return entry

    def _response(self, taped: Taped) -> dict[str, Any]:
        status = taped.status or 0  # HAR has 0 for an answer that never came
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = ""
        size = len(taped.response_body) if taped.response_size is None else taped.response_size
        response: dict[str, Any] = {
            "status": status,
            "statusText": reason,
            "httpVersion": taped.http_version,
            "cookies": [],
            "headers": self._headers(taped.response_headers),
            "content": self._body(taped.response_headers, taped.response_body, size),
            "redirectURL": self._redactor.text(_valid(_header(taped.response_headers, "location"))),
            "headersSize": -1,
            "bodySize": size,
        }
        if taped.error:
            response["_error"] = self._redactor.text(_valid(taped.error))
        return response

    def _headers(self, headers: Headers) -> list[dict[str, str]]:
        return [
            {"name": name, "value": REDACTED if name.lower() in _CREDENTIALS else self._redactor.text(value)}
            for name, value in ((_valid(name), _valid(value)) for name, value in headers)
        ]

    def _body(self, headers: Headers, body: bytes, size: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "size": size,
            "mimeType": _valid(_header(headers, "content-type")) or "application/octet-stream",
        }
        opened = _opened(_header(headers, "content-encoding"), body, self._most_body + _MARGIN)
        if opened is None:
            return found | {"text": "", "comment": "left out: its Content-Encoding cannot be opened"}
        clean = self._redactor.data(opened[: self._most_body + _MARGIN])[: self._most_body]
        try:
            # A cut may halve the last character.
            found["text"] = clean.decode() if len(opened) <= self._most_body else _whole_characters(clean)
        except UnicodeDecodeError:
            found |= {"text": base64.b64encode(clean).decode(), "encoding": "base64"}
        if len(opened) > self._most_body or size > len(body):
            found["comment"] = f"cut: the first {len(clean)} of {size} bytes"
        return found


def _valid(text: str) -> str:
    """The text as UTF-8 can carry it; headers may hold surrogates for bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode()


def _header(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")


def _whole_characters(data: bytes) -> str:
    for cut in range(min(4, len(data))):
        try:
            return data[: len(data) - cut].decode()
        except UnicodeDecodeError:
            continue
    return data.decode()


def _opened(encoding: str, body: bytes, most: int) -> bytes | None:
    """The body without its compression, bounded; None when it cannot be opened."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    for bits in (47, -15):  # gzip or zlib by their heads; some servers send raw deflate
        try:
            return zlib.decompressobj(bits).decompress(body, most)
        except zlib.error:
            continue
    return None
