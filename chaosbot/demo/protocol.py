"""uvicorn's HTTP protocol with the bounds that it leaves to a reverse proxy.

| a peer that | is |
|---|---|
| takes more than 10 s for a request's head | answered 408, then as below |
| sends a head of more than 32 KB | answered 431, then as below |
| goes on sending what was refused | listened to for 5 s, so that it can read the answer, then disconnected |
| says that it sends no more (half-close) after a whole request | answered, then disconnected |
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 10.0
LINGER_S: Final = 5.0
MAX_HEAD: Final = 32_768


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _deaf = False
    _in_head = False
    _in_message = False
    _received = 0
    _parsed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Switches Nagle's algorithm off, which asyncio leaves on for sockets that do not name their protocol."""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; refuses a head that has become too long."""
        if self._deaf:
            return
        super().data_received(data)
        if self._in_head:
            self._received += len(data)
            if self._received > MAX_HEAD:
                self._refuse(b"431 Request Header Fields Too Large")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keeps a half-closed connection open for the answer that is being made."""
        if self._deaf or self._in_message or self.cycle is None or self.cycle.response_complete:
            return None
        self.cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Starts the clock for the head."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._received = self._parsed = 0
        self._arm(HEAD_S, self._refuse, b"408 Request Timeout")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header."""
        self._parsed += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stops the clock; the body has its own, in the application."""
        self._disarm()
        self._in_head = False
        if self._parsed > MAX_HEAD:  # it came in one piece
            self._refuse(b"431 Request Header Fields Too Large")
            raise ValueError("head too long")  # stops the parser
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Notes that nothing of the request is left on the way."""
        self._in_message = False
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Starts the clock for the rest of a request that was answered early."""
        super().on_response_complete()
        if self._in_message and not self._in_head:
            self._arm(LINGER_S, self.transport.close)

    def _arm(self, seconds: float, action: Any, *arguments: Any) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, action, *arguments)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        self._last_words(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        content = msg.encode()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {len(content)}\r\n"
        self._last_words(head.encode() + b"connection: close\r\n\r\n" + content)

    def _last_words(self, answer: bytes) -> None:
        """Answers, then listens without hearing: closing at once would reset the connection and destroy the answer."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self._in_head = False
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(LINGER_S, self.transport.close)
