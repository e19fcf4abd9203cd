"""What either side sends without an end costs the proxy no memory, with and without its shortcuts."""

from __future__ import annotations

import contextlib
import socket

import psutil
import pytest

from .conftest import Lab, read

MB = 1_000_000
MUCH = 40 * MB
CHUNKED = b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
ENDLESS = {
    "header": (b"x-endless: ", b"x"),
    "headers": (b"", b"x-more: 1\r\n"),
    "chunk extension": (CHUNKED + b"5;x=", b"x"),
    "chunk size": (CHUNKED, b"0"),
    "trailer": (CHUNKED + b"0\r\nx-endless: ", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"x-more: 1\r\n"),
}


def resident(lab: Lab) -> int:
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in lab.proxy.pids)


def pour(sock: socket.socket, piece: bytes, total: int = MUCH) -> None:
    """Sends the piece again and again, so long as the proxy takes it."""
    block = piece * (500_000 // len(piece))
    with contextlib.suppress(ConnectionError):
        for _ in range(total // len(block)):
            sock.sendall(block)


@pytest.mark.parametrize("what", ENDLESS)
def test_a_client_without_an_end_is_refused(lab: Lab, what: str) -> None:
    first, piece = ENDLESS[what]
    before = resident(lab)
    with lab.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: bot.example\r\n" + first)
        pour(sock, piece, MB)
        assert read(sock).status == 431
    assert resident(lab) - before < MB * 8


@pytest.mark.parametrize("what", ENDLESS)
def test_an_upstream_without_an_end_is_left(lab: Lab, what: str) -> None:
    first, piece = ENDLESS[what]
    lab.upstream.respond = lambda _request: b"HTTP/1.1 200 OK\r\n" + first + piece * (MUCH // len(piece))
    before = resident(lab)
    reply = lab.send()
    assert reply.status == (200 if CHUNKED in first else 502)
    assert reply.end != "quiet"
    assert resident(lab) - before < MB * 12
