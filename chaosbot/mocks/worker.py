"""The worker process of the Bot API mock's server: HTTP/1 in, `BotApiMock` inside, events up.

`MockServer` starts it through `chaosbot.workers`. It has its own small HTTP server, because the mock must
never be the slow part of a load test, and must take whatever a bot's client sends.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import httptools

from chaosbot.core.mock import MockAnswer
from chaosbot.mocks.telegram_api.call import MOST_BODY
from chaosbot.mocks.telegram_api.mock import BotApiMock, Script, failure
from chaosbot.transport import enforce
from chaosbot.workers import AsyncParent

_MOST_HEADERS: Final = 64 * 1024


class _Client(asyncio.Protocol):
    """One connection of the bot."""

    def __init__(self, mock: BotApiMock, parent: AsyncParent) -> None:
        self._mock = mock
        self._parent = parent
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._held: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[MockAnswer, bool, bool]] = []
        self._start()

    def _start(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0

    # transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        if self._held is not None:
            self._held.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._finish(failure(400, "Bad Request"), keep=False, head=False)

    # parser callbacks

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > _MOST_HEADERS:
            raise httptools.HttpParserError("the head is too long")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if ("expect", "100-continue") in [(name, value.lower()) for name, value in self._headers]:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MOST_BODY:
            self._body.append(body)
        else:
            self._body.clear()  # the rest is read and thrown away; the call is refused by its size

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        url, headers = self._url.decode("latin-1"), tuple(self._headers)
        if self._size > MOST_BODY:
            answer = failure(413, "Request Entity Too Large")
            self._mock.note(method, url, headers, b"", status=413)
        else:
            answer = self._mock.answer(method, url, headers, b"".join(self._body))
        self._parent.flush()  # the event is on its way before the answer is
        keep = self._parser.should_keep_alive()
        self._start()
        if self._held is not None:
            self._waiting.append((answer, keep, method == "HEAD"))
        elif answer.hold_s:
            loop = asyncio.get_running_loop()
            self._held = loop.call_later(answer.hold_s, self._release, answer, keep, method == "HEAD")
        else:
            self._finish(answer, keep=keep, head=method == "HEAD")

    # answers

    def _release(self, answer: MockAnswer, keep: bool, head: bool) -> None:
        self._held = None
        self._finish(answer, keep=keep, head=head)
        waiting, self._waiting = self._waiting, []
        for later, later_keep, later_head in waiting:
            self._finish(later, keep=later_keep, head=later_head)

    def _finish(self, answer: MockAnswer, *, keep: bool, head: bool) -> None:
        try:
            reason = HTTPStatus(answer.status).phrase
        except ValueError:
            reason = ""
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in answer.headers)]
        lines += [f"content-length: {len(answer.body)}", f"connection: {'keep-alive' if keep else 'close'}", "", ""]
        self._write("\r\n".join(lines).encode("latin-1") + (b"" if head else answer.body))
        if not keep and self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def serve(parent: AsyncParent, started: float, scripts: tuple[Script, ...]) -> None:
    """The worker's function: serves until the parent wants it to end."""
    enforce(())
    mock = BotApiMock(lambda: monotonic() - started, parent.send, scripts=scripts)
    (listener,) = parent.sockets
    server = await asyncio.get_running_loop().create_server(lambda: _Client(mock, parent), sock=listener)
    parent.answer = lambda request: request  # after everything that was sent before
    parent.ready()
    await parent.stopping.wait()
    server.close()
