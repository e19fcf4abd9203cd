"""One server with some fifty ways to misbehave; the path chooses the way: ``/never-answers``, ``/endless-trailers`` …

Every way is bounded in bytes and time, whatever its client does: what is endless to a client with patience ends after `_LONG_S`.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

_LONG_S = 60.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Way = Callable[["Peer"], None]


class Peer:
    """One connection of a client, with its first request's head read."""

    def __init__(self, sock: socket.socket, stop: threading.Event) -> None:
        self.sock = sock
        self.stop = stop
        self.until = time.monotonic() + _LONG_S

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait(self, seconds: float = _LONG_S) -> None:
        """Holds the connection until the client leaves, the time is up or the server stops."""
        until = min(time.monotonic() + seconds, self.until)
        self.sock.settimeout(0.05)
        while time.monotonic() < until and not self.stop.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.sock.recv(65536):
                    return

    def repeat(self, piece: bytes, pause_s: float = 0.0) -> None:
        """Sends the same bytes again and again."""
        while time.monotonic() < self.until and not self.stop.is_set():
            self.send(piece)
            if pause_s:
                self.stop.wait(pause_s)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def _says(*parts: bytes) -> Way:
    return lambda peer: peer.send(b"".join(parts))


def _then_waits(*parts: bytes) -> Way:
    def way(peer: Peer) -> None:
        peer.send(b"".join(parts))
        peer.wait()

    return way


def _repeats(first: bytes, piece: bytes, pause_s: float = 0.0) -> Way:
    def way(peer: Peer) -> None:
        peer.send(first)
        peer.repeat(piece, pause_s)

    return way


def _head(*headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, *headers)) + b"\r\n\r\n"


def _full(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return _head(b"Content-Length: %d" % len(body), *headers, status=status) + body


_CHUNKED = b"Transfer-Encoding: chunked"
_ASKED = re.compile(rb"\w+ /([\w.-]+)(?:/well-for-(\d{1,6}))?")
_BOMB = gzip.compress(b"\0" * (64 << 20), 9)

WAYS: dict[str, Way] = {
    "closes": lambda _peer: None,
    "resets": Peer.reset,
    "never-answers": Peer.wait,
    "status-then-silence": _then_waits(b"HTTP/1.1 200 OK\r\n"),
    "head-then-silence": _then_waits(_head(b"Content-Length: 10")),
    "body-then-silence": _then_waits(_head(b"Content-Length: 10"), b"12345"),
    "chunks-then-silence": _then_waits(_head(_CHUNKED), b"5\r\nhello\r\n"),
    "cut-head": _says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut-body": _says(_head(b"Content-Length: 10"), b"12345"),
    "cut-chunk": _says(_head(_CHUNKED), b"ff\r\nhello"),
    "more-than-promised": _says(_head(b"Content-Length: 2"), b"okokokok"),
    "answers-twice": _says(_OK, _OK),
    "endless-headers": _repeats(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n" * 100),
    "endless-header": _repeats(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 65536),
    "slow-endless-headers": _repeats(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n", 0.05),
    "endless-status-line": _repeats(b"HTTP/1.1 200 ", b"O" * 65536),
    "endless-chunks": _repeats(_head(_CHUNKED), b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "endless-trailers": _repeats(_head(_CHUNKED) + b"2\r\nok\r\n0\r\n", b"X-Trailer: 1\r\n" * 100),
    "slow-endless-trailers": _repeats(_head(_CHUNKED) + b"2\r\nok\r\n0\r\n", b"X-Trailer: 1\r\n", 0.05),
    "endless-chunk-extension": _repeats(_head(_CHUNKED) + b"2;x=", b"y" * 65536),
    "endless-chunk-size": _repeats(_head(_CHUNKED), b"0" * 65536),
    "endless-continue": _repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "endless-until-close": _repeats(_head(), b"x" * 65536),
    "dribbles": _repeats(b"", b"H", 0.05),
    "dribbles-body": _repeats(_head(b"Content-Length: 100000"), b"x", 0.05),
    "length-negative": _says(_head(b"Content-Length: -5"), b"hello"),
    "length-huge": _says(_head(b"Content-Length: 99999999999999999999999"), b"hello"),
    "length-word": _says(_head(b"Content-Length: five"), b"hello"),
    "length-twice": _says(_head(b"Content-Length: 2", b"Content-Length: 5"), b"hello"),
    "length-and-chunks": _says(_head(b"Content-Length: 5", _CHUNKED), b"2\r\nok\r\n0\r\n\r\n"),
    "chunk-size-word": _says(_head(_CHUNKED), b"zz\r\nhello\r\n0\r\n\r\n"),
    "chunk-size-huge": _says(_head(_CHUNKED), b"ffffffffffffffffff\r\nhello\r\n"),
    "chunk-size-negative": _says(_head(_CHUNKED), b"-5\r\nhello\r\n0\r\n\r\n"),
    "status-huge": _says(b"HTTP/1.1 99999999999999999999 OK\r\nContent-Length: 2\r\n\r\nok"),
    "status-zero": _says(b"HTTP/1.1 000 Zero\r\nContent-Length: 2\r\n\r\nok"),
    "status-word": _says(b"HTTP/1.1 OK OK\r\nContent-Length: 2\r\n\r\nok"),
    "status-nothing": _says(b"HTTP/1.1\r\n\r\n"),
    "status-101": _then_waits(_head(b"Upgrade: chaos", b"Connection: Upgrade", status=b"101 Switching Protocols")),
    "status-99": _says(_full(b"ok", status=b"99 Low")),
    "status-1000": _says(_full(b"ok", status=b"1000 High")),
    "no-content-with-body": _says(_full(b"hello", status=b"204 No Content")),
    "not-modified-with-body": _says(_full(b"hello", status=b"304 Not Modified")),
    "not-http": _says(b"220 smtp.example ESMTP\r\n"),
    "http-0.9": _says(b"<html>hello</html>"),
    "http-2": _says(b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18),
    "tls": _then_waits(b"\x16\x03\x03\0\x31" + b"\x02" * 49),
    "nothing-but-nul": _says(b"\0" * 4096),
    "control-characters": _says(
        _full(b"\x1b[31mred\x1b]0;title\x07\x9b2J", b"X-Escape: \x1b[2J\x07", status=b"200 \x1b[31mOK\x07")
    ),
    "nul-in-header": _says(_full(b"ok", b"X-Nul: a\0b")),
    "not-utf-8": _says(_full(b"\xff\xfe\xfd", b"X-Bytes: \xff\xfe", status=b"200 \xff")),
    "folded-header": _says(_full(b"ok", b"X-Folded: a\r\n b")),
    "header-without-colon": _says(_full(b"ok", b"this is none")),
    "many-headers": _says(_full(b"ok", *(b"X-%d: 1" % number for number in range(5000)))),
    "large-header": _says(_full(b"ok", b"X-Large: " + b"x" * 1_000_000)),
    "large-body": _says(_full(b"x" * (32 << 20))),
    "gzip-bomb": _says(_full(_BOMB, b"Content-Encoding: gzip")),
    "gzip-lie": _says(_full(b"not gzip", b"Content-Encoding: gzip")),
    "redirects-to-itself": _says(_full(b"", b"Location: /redirects-to-itself", status=b"307 Temporary Redirect")),
    "redirects-elsewhere": _says(_full(b"", b"Location: http://evil.invalid/steal", status=b"308 Permanent Redirect")),
    "retry-after-huge": _says(_full(b"", b"Retry-After: 1" + b"0" * 40, status=b"429 Too Many Requests")),
    "retry-after-word": _says(_full(b"", b"Retry-After: soon", status=b"503 Service Unavailable")),
    "server-error": _says(_full(b"Traceback (most recent call last):", status=b"500 Internal Server Error")),
    "date-of-1900": _says(_full(b"ok", b"Date: Mon, 01 Jan 1900 00:00:00 GMT")),
}


class HostileServer:
    """Listens on a free port of 127.0.0.1; use it as a context manager."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._sock.getsockname()[1]
        self._served: dict[str, int] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def url(self, way: str, *, well_for: int = 0) -> str:
        """Where a way is met; after so many requests that are answered well."""
        return f"http://127.0.0.1:{self.port}/{way}" + (f"/well-for-{well_for}" if well_for else "")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sock.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            head = b""
            sock.settimeout(10)
            while b"\r\n\r\n" not in head and len(head) < 1 << 20:
                piece = sock.recv(65536)
                if not piece:
                    return
                head += piece
            asked = _ASKED.match(head)
            if asked is None:
                sock.sendall(_full(b"", status=b"400 Bad Request"))
                return
            name, grace = asked[1].decode(), int(asked[2] or 0)
            with self._lock:
                self._served[name] = self._served.get(name, 0) + 1
                well = self._served[name] <= grace
            way = WAYS.get(name)
            if way is None or well:
                sock.sendall(_OK)
                return
            sock.settimeout(_LONG_S)
            way(Peer(sock, self._stop))
            if sock.fileno() >= 0:
                sock.shutdown(socket.SHUT_WR)
                Peer(sock, self._stop).wait(1.0)


def ways() -> Iterator[str]:
    """The names of all ways."""
    return iter(WAYS)
