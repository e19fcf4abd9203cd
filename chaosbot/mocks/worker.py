"""The worker process of the Bot API mock's server: HTTP/1 in, `BotApiMock` inside, events up.

`mock_server` starts it and states the rules of their channel. It has its own small HTTP server, because the mock must
never be the slow part of a load test, and must take whatever a bot's client sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import httptools
import orjson

from chaosbot.core.event import Event, to_json
from chaosbot.core.mock import MockAnswer
from chaosbot.mocks.telegram_api.call import MOST_BODY
from chaosbot.mocks.telegram_api.mock import BotApiMock, Script, failure
from chaosbot.transport import enforce

_MOST_HEADERS: Final = 64 * 1024


class _Channel(asyncio.Protocol):
    """The worker's end of the socketpair."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.full = False
        self.clients: set[_Client] = set()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - narrows the type
        self._transport = transport
        transport.set_write_buffer_limits(high=4 * 1024 * 1024)

    def write(self, message: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(orjson.dumps(message) + b"\n")

    def emit(self, event: Event) -> None:
        self.write(to_json(event))

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self.write({"synced": orjson.loads(line)["sync"]})

    def eof_received(self) -> bool:
        self.ended.set()
        return True  # keeps the way up open for the last events

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def pause_writing(self) -> None:
        self.full = True
        for client in self.clients:
            client.pause()

    def resume_writing(self) -> None:
        self.full = False
        for client in self.clients:
            client.resume()

    async def close(self) -> None:
        """Writes what is left, as far as somebody reads it."""
        if self._transport is not None:
            self._transport.close()
            for _ in range(100):
                if not self._transport.get_write_buffer_size():
                    return
                await asyncio.sleep(0.02)


class _Client(asyncio.Protocol):
    """One connection of the bot."""

    def __init__(self, mock: BotApiMock, channel: _Channel) -> None:
        self._mock = mock
        self._channel = channel
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

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    # transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport
        self._channel.clients.add(self)
        if self._channel.full:
            self.pause()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._channel.clients.discard(self)
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


async def _serve(listener: socket.socket, upward: socket.socket, arguments: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_connection(_Channel, sock=upward)
    started = arguments["started"]
    scripts = [Script(**script) for script in arguments["scripts"]]
    mock = BotApiMock(lambda: monotonic() - started, channel.emit, scripts=scripts)
    server = await loop.create_server(lambda: _Client(mock, channel), sock=listener)
    channel.write({"ready": True})
    await channel.ended.wait()
    server.close()
    await channel.close()


def main() -> None:
    """Runs the worker; started by `MockServer` only."""
    parser = argparse.ArgumentParser(prog="chaosbot.mocks.worker", description="worker of the Bot API mock")
    parser.add_argument("listener", type=int)
    parser.add_argument("channel", type=int)
    parser.add_argument("arguments", type=json.loads)
    found = parser.parse_args()
    enforce()
    upward = socket.socket(fileno=found.channel)
    asyncio.run(_serve(socket.socket(fileno=found.listener), upward, found.arguments))


if __name__ == "__main__":
    main()
