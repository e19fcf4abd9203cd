"""Small servers of ours hear a request within a time, however slowly it is said."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chaosbot.control.http import application, http_server
from chaosbot.transport.hearing import TimelyHandler
from tests.support.campaigns import served

BOUND_S = 0.5
PATIENCE_S = 20.0
HEAD = b"POST /plan HTTP/1.1\r\nHost: 127.0.0.1\r\n"
PARTS = {"head": (HEAD, b"X"), "body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "), "nothing": (b"", b"")}


class Handler(TimelyHandler):
    protocol_version = "HTTP/1.1"
    timeout = BOUND_S

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


@pytest.fixture
def listening() -> Iterator[int]:
    with served(Handler) as url:
        yield urlsplit(url).port or 0


def dripped(port: int, said: bytes, drip: bytes) -> float:
    """Says a byte now and then until the server hangs up; seconds that it took."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.settimeout(BOUND_S / 5)
        try:
            sock.sendall(said)
            while time.monotonic() - began < PATIENCE_S:
                try:
                    if not sock.recv(1):
                        break
                except TimeoutError:
                    sock.sendall(drip)
        except OSError:
            pass
    return time.monotonic() - began


@pytest.mark.parametrize("part", PARTS)
def test_who_drips_a_request_is_not_heard_for_ever(part: str, listening: int) -> None:
    assert dripped(listening, *PARTS[part]) < PATIENCE_S


@pytest.mark.parametrize("part", PARTS)
def test_who_drips_a_request_does_not_keep_the_control_api(part: str) -> None:
    class Parent:
        def flush(self) -> None:
            """Nothing to send."""

    async def kept() -> float:
        server = http_server(application(None, Parent()), read_s=BOUND_S, idle_s=BOUND_S)  # type: ignore[arg-type]
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        server.add_socket(sock)
        try:
            return await asyncio.to_thread(dripped, sock.getsockname()[1], *PARTS[part])
        finally:
            server.stop()
            await server.close_all_connections()

    assert asyncio.run(kept()) < PATIENCE_S


def test_requests_on_one_connection_each_have_their_time(listening: int) -> None:
    whole = HEAD + b"Content-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", listening), PATIENCE_S) as sock:
        sock.settimeout(PATIENCE_S)
        for part in (whole[:20], whole[20:] + whole):
            sock.sendall(part)
        heard = b""
        while heard.count(b"ok") < 2:
            piece = sock.recv(1000)
            assert piece, heard
            heard += piece
