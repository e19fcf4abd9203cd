"""The sockets of one proxied connection, and the three ways in which they end: FIN, RST, or being left alone.

Rules:

- A FIN must not turn into a RST: the kernel resets a connection that is closed while it holds unread bytes. So a close in
  good order sends the FIN first, then reads and discards until the peer has finished too, for a bounded time.
- A RST after N bytes must not overtake them: `SO_LINGER(1, 0)` discards what the kernel has not delivered yet. So a reset
  waits until the bytes have left, for a bounded time (a peer that does not read cannot hold it up).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Iterable
from typing import Final

_SETTLE_S: Final = 0.25
_SETTLE_STEP_S: Final = 0.001
_LINGER_S: Final = 2.0
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
# socket.h of macOS: bytes not yet sent; Linux tells by an ioctl.
_SO_NWRITE: Final = 0x1024


class _Discard(asyncio.Protocol):
    """Reads and forgets what still comes after a FIN was sent, then tells the protocol that stood here before."""

    def __init__(self, transport: asyncio.Transport, former: asyncio.BaseProtocol) -> None:
        self._former = former
        self._timer = asyncio.get_running_loop().call_later(_LINGER_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Forgets it."""

    def eof_received(self) -> bool:
        """The peer has finished too; the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on, so that whoever waits for the end hears of it."""
        self._timer.cancel()
        self._former.connection_lost(exc)

    def pause_writing(self) -> None:
        """Nothing more is written."""

    def resume_writing(self) -> None:
        """Whoever waits for room may go on."""
        if isinstance(self._former, asyncio.Protocol):
            self._former.resume_writing()


def _undelivered(transport: asyncio.Transport) -> int:
    """Bytes that the peer's kernel has not taken yet."""
    waiting: int = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None:
        return waiting
    with contextlib.suppress(OSError, ValueError):  # ValueError: closed meanwhile, so it has no descriptor any more
        if sys.platform == "linux":
            buffer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            return waiting + int(struct.unpack("i", buffer)[0])
        return waiting + int(sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE))
    return waiting


def finish(transport: asyncio.Transport) -> None:
    """Closes one side in good order: what was written, then FIN."""
    if transport.is_closing():
        return
    former = transport.get_protocol()
    if isinstance(former, _Discard):
        return
    if not transport.can_write_eof():
        transport.close()
        return
    transport.set_protocol(_Discard(transport, former))
    with contextlib.suppress(RuntimeError):  # reading was not paused, or has ended
        transport.resume_reading()
    with contextlib.suppress(OSError, RuntimeError):
        transport.write_eof()
    if isinstance(former, asyncio.Protocol):
        former.eof_received()


def reset(transport: asyncio.Transport) -> None:
    """Ends one side with a real RST, now."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


class Ends:
    """All sockets that one client connection needs: its own and those to the upstream.

    `over` says that an effect has ended them all; nothing may be written any more.
    """

    def __init__(self) -> None:
        self.over = False
        self._transports: list[asyncio.Transport] = []
        self._settling = False

    def add(self, transport: asyncio.Transport) -> None:
        """A socket of this connection; those that have ended are forgotten. Too late for one that is over: it is reset."""
        if self.over:
            reset(transport)
            return
        self._transports = [*self._living(), transport]

    def _living(self) -> Iterable[asyncio.Transport]:
        # An aborted transport is "closing" too, but one that closes in good order may wait for bytes and must still be
        # reachable for a reset.
        return [each for each in self._transports if not each.is_closing() or each.get_write_buffer_size()]

    def close(self) -> None:
        """FIN to all."""
        self.over = True
        for transport in self._living():
            finish(transport)

    def reset(self) -> None:
        """RST to all, after the bytes that were written before."""
        self.over = True
        if not self._settling:
            self._settling = True
            self._settle(asyncio.get_running_loop().time() + _SETTLE_S)

    def _settle(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        living = list(self._living())
        if loop.time() < deadline and any(_undelivered(each) for each in living):
            loop.call_later(_SETTLE_STEP_S, self._settle, deadline)
            return
        for transport in living:
            reset(transport)
        self._transports.clear()
