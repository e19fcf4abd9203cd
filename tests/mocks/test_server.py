"""The mock's server as a process: it comes up, records before it answers, and never outlives its parent."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from chaosbot.core.errors import EngineError, PortBusy, WorkerDied
from chaosbot.core.event import Trouble
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.mocks.telegram import TelegramApi
from chaosbot.transport import Address, Connection

from .conftest import TOKEN, Running, Start

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def request(method: str, payload: object, *, verb: str = "POST", headers: str = "") -> bytes:
    body = json.dumps(payload).encode()
    head = f"{verb} /bot{TOKEN}/{method} HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n{headers}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process ends by itself."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], within_s)[0])
    finally:
        os.close(fd)


def test_every_call_is_recorded_by_the_time_its_answer_has_been_seen(start: Start) -> None:
    server = start()
    with Connection(Address.parse(server.url)) as connection:
        for number in range(300):
            assert connection.exchange(request("sendMessage", {"chat_id": number, "text": "x"})).ok
            if number % 50 == 49:
                assert [call.chat for call in server.calls()] == list(range(number + 1))


def test_the_exchange_header_joins_a_call_to_its_exchange(start: Start) -> None:
    server = start()
    with Connection(Address.parse(server.url)) as connection:
        connection.exchange(request("getMe", {}, headers="X-Chaosbot-Exchange: e-17\r\n"))
    assert server.calls()[0].exchange == "e-17"


def test_pipelined_and_split_requests_are_answered_in_order(start: Start) -> None:
    server = start()
    raw = b"".join(request("sendMessage", {"chat_id": n, "text": f"t{n}"}) for n in range(3))
    with socket.create_connection(("127.0.0.1", Address.parse(server.url).port)) as sock:
        sock.settimeout(60)
        for start_at in range(0, len(raw), 7):
            sock.sendall(raw[start_at : start_at + 7])
        data = b""
        while data.count(b'"ok":true') < 3:
            data += sock.recv(65536)
    assert data.index(b"t0") < data.index(b"t1") < data.index(b"t2")


def test_broken_http_is_refused_and_the_server_lives_on(start: Start) -> None:
    server = start()
    address = Address.parse(server.url)
    with Connection(address) as connection:
        assert connection.exchange(b"this is no HTTP\r\n\r\n").status == 400
        long_head = b"GET /bot1:a/getMe HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"
        assert connection.exchange(long_head).status == 400
        assert connection.exchange(request("getMe", {})).ok


def test_a_wish_for_another_protocol_is_answered_in_http(start: Start) -> None:
    server = start()
    wish = request("sendMessage", {"chat_id": 1, "text": "wish"}).replace(
        b"\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 1
    )
    with socket.create_connection(("127.0.0.1", Address.parse(server.url).port)) as sock:
        sock.settimeout(60)
        sock.sendall(wish * 3 + request("sendMessage", {"chat_id": 1, "text": "after"}))
        data = b""
        while b"after" not in data and (more := sock.recv(65536)):
            data += more
    assert data.count(b"HTTP/1.1 200") == 4
    assert [(call.method, call.text) for call in server.calls()] == [("sendMessage", "wish")] * 3 + [
        ("sendMessage", "after")
    ]


@pytest.mark.parametrize("wish", [b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"])
def test_a_client_that_takes_it_for_a_proxy_is_refused_and_holds_up_nobody(start: Start, wish: bytes) -> None:
    server = start()
    for data, line in (
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n%b\r\n" % wish, b"HTTP/1.1 400 "),
        (request("getMe", {}), b"HTTP/1.1 200 "),
    ):
        with socket.create_connection(("127.0.0.1", Address.parse(server.url).port)) as sock:
            sock.settimeout(60)
            sock.sendall(data)
            assert sock.recv(65536).startswith(line)


def test_an_upload_over_the_limit_is_refused_without_keeping_it(start: Start) -> None:
    server = start()
    before = psutil.Process(server.pid).memory_info().rss
    size = 120 * 1024 * 1024
    with socket.create_connection(("127.0.0.1", Address.parse(server.url).port)) as sock:
        sock.settimeout(60)
        sock.sendall(b"POST /bot1:a/sendDocument HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        piece = bytes(1 << 20)
        for _ in range(120):
            sock.sendall(piece)
        assert b" 413 " in sock.recv(65536)
    assert psutil.Process(server.pid).memory_info().rss - before < 110 * 1024 * 1024
    assert server.calls()[0].status == 413


@pytest.mark.parametrize(
    ("first", "piece", "status"),
    [
        (b"POST /", b"x", b" 431 "),
        (b"POST / HTTP/1.1\r\nHost: a\r\nX-Endless: ", b"x", b" 431 "),
        (b"POST / HTTP/1.1\r\nHost: a\r\n", b"X-More: 1\r\n", b" 4"),
        (CHUNKED + b"2;x=", b"x", b" 431 "),
        (CHUNKED + b"2\r\n{}\r\n0\r\nX-Endless: ", b"x", b" 431 "),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-More: 1\r\n", b" 4"),
    ],
)
def test_what_has_no_end_is_refused_and_not_kept(start: Start, first: bytes, piece: bytes, status: bytes) -> None:
    server = start()
    before = psutil.Process(server.pid).memory_info().rss
    with socket.create_connection(("127.0.0.1", Address.parse(server.url).port)) as sock:
        sock.settimeout(60)
        sock.sendall(first)
        said = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                sock.sendall(piece * ((1 << 20) // len(piece)))
        with contextlib.suppress(ConnectionError):
            said = sock.recv(65536)  # lost where the server's reset overtakes it
    assert not said or status in said
    assert psutil.Process(server.pid).memory_info().rss - before < 16 << 20


def test_a_client_that_asks_and_never_reads_is_not_read_either(start: Start) -> None:
    server = start()
    before = psutil.Process(server.pid).memory_info().rss
    with socket.create_connection(("127.0.0.1", Address.parse(server.url).port)) as sock:
        sock.settimeout(1)
        block = request("getMe", {}) * 1000
        with contextlib.suppress(TimeoutError):
            for _ in range(500):
                sock.sendall(block)
        assert psutil.Process(server.pid).memory_info().rss - before < 24 << 20


def test_long_polling_is_held_as_long_as_it_was_asked_to(start: Start) -> None:
    server = start()
    with Connection(Address.parse(server.url)) as connection:
        began = time.monotonic()
        assert b'"result":[]' in connection.exchange(request("getUpdates", {"timeout": 0.3})).body
        assert time.monotonic() - began >= 0.3


def test_a_taken_port_is_said_before_anything_starts(start: Start) -> None:
    taken = Address.parse(start().url).port
    with pytest.raises(PortBusy, match=f"127.0.0.1:{taken}.*choose another port"):
        MockServer((MockListener(TelegramApi(), port=taken),), lambda _: None, 0.0).start()


def test_a_worker_that_cannot_start_is_an_error_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    server = Running()
    with pytest.raises(EngineError, match="mock server ended with code 1 before it was ready"):
        server.start()
    assert server.events == []


def test_stopping_ends_the_worker_and_keeps_every_event(start: Start) -> None:
    server = start()
    pid = server.pid
    with Connection(Address.parse(server.url)) as connection:
        for number in range(200):
            connection.exchange(request("sendMessage", {"chat_id": number, "text": "x"}))
    server.stop()
    server.stop()
    assert gone(pid)
    assert len(server.events) == 200
    with pytest.raises(WorkerDied):
        server.sync()


def test_a_worker_that_dies_is_trouble_and_not_silence() -> None:
    seen = threading.Event()
    events: list[object] = []

    class Watched(Running):
        def __init__(self) -> None:
            super().__init__()
            self._emit = self.notice

        def notice(self, event: object) -> None:
            events.append(event)
            seen.set()

    server = Watched()
    server.start()
    try:
        os.kill(server.pid, signal.SIGKILL)
        assert seen.wait(60)
        assert isinstance(events[0], Trouble)
        assert "without being asked" in events[0].what
        with pytest.raises(WorkerDied):
            server.sync()
    finally:
        server.stop()


def test_no_worker_outlives_a_parent_that_was_killed() -> None:
    code = textwrap.dedent(
        """
        import time
        from chaosbot.mocks.server import MockListener, MockServer
        from chaosbot.mocks.telegram import TelegramApi
        server = MockServer((MockListener(TelegramApi()),), print, time.monotonic())
        server.start()
        print(server.pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(pid)
