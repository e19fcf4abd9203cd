"""uvicorn's HTTP protocol with the bounds that it leaves to a reverse proxy.

| a peer that | is |
|---|---|
| takes more than 10 s for a request's head | answered 408 and disconnected |
| sends a head of more than 64 KB | answered 431 and disconnected |
| goes on sending a body that was refused | listened to for 5 s, so that it can read the answer, then disconnected |
| says that it sends no more (half-close) after a whole request | answered, then disconnected |
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 10.0
LINGER_S: Final = 5.0
MAX_HEAD: Final = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Switches Nagle's algorithm off, which asyncio leaves on for sockets that do not name their protocol."""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; refuses a head that has become too long."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(b"431 Request Header Fields Too Large")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keeps a half-closed connection open for the answer that is being made."""
        if self._in_message or self.cycle is None or self.cycle.response_complete:
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
        self._head_bytes = 0
        self._arm(HEAD_S, self._refuse, b"408 Request Timeout")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header."""
        self._head_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stops the clock; the body has its own, in the application."""
        self._disarm()
        self._in_head = False
        if self._head_bytes > 2 * MAX_HEAD:  # counted twice when it came in pieces
            self._refuse(b"431 Request Header Fields Too Large")
            return
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
        self._disarm()
        self._in_head = False
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
