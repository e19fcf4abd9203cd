"""Kept connections, and lines that show a case again without chaosbot."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from chaosbot.core.case import Case, Ending, Expect, Segment
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Threat
from chaosbot.transport import Address, Connection, Tls, curl_line, raw_line

from .conftest import Serve, until

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_one_connection_carries_many_exchanges(serve: Serve) -> None:
    accepted: list[int] = []

    def handler(sock: socket.socket) -> None:
        accepted.append(1)
        while until(sock, b"\r\n\r\n"):
            sock.sendall(OK)

    with Connection(serve(handler)) as connection:
        outcomes = [connection.exchange(GET) for _ in range(20)]
    assert all(outcome.ok for outcome in outcomes)
    assert len(accepted) == 1
    assert outcomes[0].connect_s > 0
    assert outcomes[1].connect_s == 0


def test_a_stale_connection_costs_one_resend_and_no_failure(serve: Serve) -> None:
    closed = threading.Event()
    requests: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        requests.append(until(sock, b"\r\n\r\n"))
        sock.sendall(OK)
        sock.close()
        closed.set()

    with Connection(serve(handler)) as connection:
        assert connection.exchange(GET).ok
        assert closed.wait(60)
        assert connection.exchange(GET).ok
    assert requests == [GET, GET]


def test_a_fresh_connection_that_closes_is_reported_and_not_hidden(serve: Serve) -> None:
    accepted: list[int] = []

    def handler(sock: socket.socket) -> None:
        accepted.append(1)
        until(sock, b"\r\n\r\n")

    with Connection(serve(handler)) as connection:
        assert connection.exchange(GET).fate is Fate.CLOSED
    assert len(accepted) == 1


def test_an_answer_that_broke_off_is_never_sent_again(serve: Serve) -> None:
    accepted: list[int] = []

    def handler(sock: socket.socket) -> None:
        accepted.append(1)
        until(sock, b"\r\n\r\n")
        sock.sendall(OK)
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")

    with Connection(serve(handler)) as connection:
        assert connection.exchange(GET).ok
        assert connection.exchange(GET).fate is Fate.CLOSED
    assert len(accepted) == 1


def test_connection_close_is_obeyed(serve: Serve) -> None:
    accepted: list[int] = []

    def handler(sock: socket.socket) -> None:
        accepted.append(1)
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        until(sock, b"never")

    with Connection(serve(handler)) as connection:
        assert connection.exchange(GET).ok
        assert connection.exchange(GET).ok
    assert len(accepted) == 2


def test_a_kept_connection_speaks_tls_too(serve: Serve, server_tls: ssl.SSLContext, certificate: Path) -> None:
    accepted: list[int] = []

    def handler(sock: socket.socket) -> None:
        accepted.append(1)
        while until(sock, b"\r\n\r\n"):
            sock.sendall(OK)

    address = serve(handler, context=server_tls, trust=Tls(ca_file=str(certificate)))
    with Connection(address) as connection:
        assert all(connection.exchange(GET).ok for _ in range(10))
    assert len(accepted) == 1


def case(data: bytes, **more: object) -> Case:
    return Case("test/case", "test", Threat.USER, (Segment(data),), Expect(), **more)


def fields(raw: bytes) -> tuple[bytes, set[bytes], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = head.split(b"\r\n")
    return first, set(rest), body


ODD_BODY = b'{"text": "it\'s 5 % \\ \xc3\xa9\n$HOME `id` @file"}'
REQUESTS = {
    "json": b"POST /hook?x=%%27&y HTTP/1.1\r\nHost: elsewhere\r\nContent-Type: application/json\r\n"
    b"X-Secret: a'b\"c $HOME\r\nX-Empty:\r\nContent-Length: %d\r\n\r\n" % len(ODD_BODY) + ODD_BODY,
    "at sign first": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n@file",
    "twice": b"GET /a/../b HTTP/1.1\r\nHost: x\r\nX-Secret: right\r\nX-Secret: wrong\r\n\r\n",
    "put without a body": b"PUT / HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("name", REQUESTS)
def test_the_curl_line_sends_the_same_request(serve: Serve, name: str) -> None:
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        data = until(sock, b"\r\n\r\n")
        wanted = len(REQUESTS[name].partition(b"\r\n\r\n")[2])
        while len(data.partition(b"\r\n\r\n")[2]) < wanted:
            data += sock.recv(65536)
        seen.append(data)
        sock.sendall(OK)

    line = curl_line(case(REQUESTS[name]), serve(handler))
    assert line is not None
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=100, check=True)
    assert ran.stdout.endswith("ok")
    first, headers, body = fields(seen[0])
    wanted_first, wanted_headers, wanted_body = fields(REQUESTS[name])
    assert (first, body) == (wanted_first, wanted_body)
    assert {item.replace(b": ", b":") for item in headers} == {item.replace(b": ", b":") for item in wanted_headers}


INEXPRESSIBLE = {
    "no HTTP": b"\x16\x03\x01 hello",
    "wrong length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nhello",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "body without length": b"POST / HTTP/1.1\r\nHost: x\r\n\r\nhello",
    "chunked": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "NUL": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n\0",
    "folded": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "padded value": b"GET / HTTP/1.1\r\nHost: x\r\nA:  b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_curl_cannot_say_has_no_curl_line(name: str) -> None:
    assert curl_line(case(INEXPRESSIBLE[name]), Address("127.0.0.1", 1)) is None


def test_a_half_closing_case_has_no_curl_line() -> None:
    assert curl_line(case(GET, ending=Ending.HALF_CLOSE), Address("127.0.0.1", 1)) is None


@pytest.mark.skipif(shutil.which("nc") is None, reason="needs netcat")
def test_the_raw_line_sends_exactly_these_bytes(serve: Serve) -> None:
    odd = bytes(range(1, 256)) + b"%s '\\047' \r\n"
    seen: list[bytes] = []
    done = threading.Event()

    def handler(sock: socket.socket) -> None:
        data = b""
        while len(data) < len(odd) + 3:
            data += sock.recv(65536)
        seen.append(data)
        done.set()

    timed = replace(case(odd), segments=(Segment(odd), Segment(b"end", 0.05)))
    line = raw_line(timed, serve(handler))
    with subprocess.Popen(["bash", "-c", line], start_new_session=True) as process:
        assert done.wait(60)
        process.kill()
    assert seen == [odd + b"end"]
