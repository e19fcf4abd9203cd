"""What a sender sees of servers that behave and of servers that do not, as one classified outcome each."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosbot.core.case import Case, Ending, Expect, Reading, Segment
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Threat
from chaosbot.transport import Address, Tls, require_reachable, send

from .conftest import Serve, reset, until

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def case(*segments: bytes | Segment, ending: Ending = Ending.WAIT, reading: Reading = Reading.ALL) -> Case:
    built = tuple(item if isinstance(item, Segment) else Segment(item) for item in segments)
    return Case("test/case", "test", Threat.USER, built, Expect(), ending=ending, reading=reading)


def answering(answer: bytes):
    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.sendall(answer)

    return handler


ANSWERS = {
    "content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "chunked": (
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n",
        201,
        b"hello",
    ),
    "until close": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "after 100-continue": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        403,
        b"",
    ),
    "bare line feeds": (b"HTTP/1.1 500 Oops\nContent-Length: 2\n\nno", 500, b"no"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_complete_answers_are_answered(serve: Serve, name: str) -> None:
    raw, status, body = ANSWERS[name]
    outcome = send(case(GET), serve(answering(raw)), timeout_s=60)
    assert (outcome.fate, outcome.status, outcome.body) == (Fate.ANSWERED, status, body)
    assert outcome.received == len(raw)
    assert 0 <= outcome.first_byte_s <= outcome.total_s


BROKEN = {
    "nothing at all": (b"", Fate.CLOSED, None),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", Fate.CLOSED, None),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Fate.CLOSED, 200),
    "a chunk too short": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", Fate.CLOSED, 200),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", Fate.PROTOCOL, None),
    "a little that is no HTTP": (b"SSH", Fate.PROTOCOL, None),
    "a malformed chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", Fate.PROTOCOL, 200),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", Fate.PROTOCOL, 200),
    "a header without colon": (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", Fate.PROTOCOL, None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_incomplete_and_broken_answers_are_told_apart(serve: Serve, name: str) -> None:
    raw, fate, status = BROKEN[name]
    outcome = send(case(GET), serve(answering(raw)), timeout_s=60)
    assert (outcome.fate, outcome.status) == (fate, status)
    assert outcome.detail


def test_a_head_request_has_no_body_to_wait_for(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        until(sock, b"never")

    for head in (case(b"HEAD / HTTP/1.1\r\n\r\n"), case(b"HE", b"AD / HTTP/1.1\r\n\r\n")):
        outcome = send(head, serve(handler), timeout_s=60)
        assert (outcome.fate, outcome.status) == (Fate.ANSWERED, 200)


def test_a_reset_is_told_from_a_close(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        reset(sock)

    assert send(case(GET), serve(handler), timeout_s=60).fate is Fate.RESET


def test_a_reset_in_the_middle_of_an_answer_keeps_its_status(serve: Serve) -> None:
    seen = threading.Event()

    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        seen.wait(0.2)  # nobody sets it: the client gets a moment to read before the reset
        reset(sock)

    outcome = send(case(GET), serve(handler), timeout_s=60)
    assert (outcome.fate, outcome.status, outcome.body) == (Fate.RESET, 200, b"hello")


def test_a_reset_is_seen_through_tls_too(serve: Serve, server_tls: ssl.SSLContext, certificate: Path) -> None:
    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        raw = socket.socket(fileno=sock.detach())
        reset(raw)

    address = serve(handler, context=server_tls, trust=Tls(ca_file=str(certificate)))
    assert send(case(GET), address, timeout_s=60).fate is Fate.RESET


def test_silence_is_a_timeout_that_counts_the_whole_wait(serve: Serve) -> None:
    outcome = send(case(GET), serve(lambda sock: until(sock, b"never")), timeout_s=0.2)
    assert outcome.fate is Fate.TIMEOUT
    assert outcome.total_s >= 0.2
    assert outcome.first_byte_s is None


def test_a_trickling_answer_meets_the_same_deadline(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            sock.sendall(b".")
            time.sleep(0.02)

    began = time.monotonic()
    outcome = send(case(GET), serve(handler), timeout_s=0.3)
    assert (outcome.fate, outcome.status) == (Fate.TIMEOUT, 200)
    assert time.monotonic() - began < 15, "the whole answer would take twenty seconds"


def test_nobody_listening_is_refused(free_port: Callable[[], int]) -> None:
    port = free_port()
    outcome = send(case(GET), Address("127.0.0.1", port), timeout_s=30)
    assert outcome.fate is Fate.REFUSED
    assert "ECONNREFUSED" in outcome.detail
    with pytest.raises(TargetUnusable, match=f"127.0.0.1:{port}.*refused.*start it"):
        require_reachable(Address("127.0.0.1", port))


def test_a_full_backlog_is_a_connect_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = Address("127.0.0.1", listener.getsockname()[1])
        fillers = []
        try:
            for _ in range(4):  # Linux takes backlog + 1 and drops the rest of the SYNs
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", address.port))
                fillers.append(filler)
            outcome = send(case(GET), address, connect_timeout_s=0.2, timeout_s=1)
        finally:
            for filler in fillers:
                filler.close()
    assert outcome.fate is Fate.CONNECT_TIMEOUT
    assert outcome.total_s >= 0.2


def test_segments_leave_one_by_one_with_their_pauses(serve: Serve) -> None:
    arrivals: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        while b"\r\n\r\n" not in b"".join(arrivals):
            arrivals.append(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    parts = case(b"GET / HT", Segment(b"TP/1.1\r\n", 0.3), Segment(b"\r\n", 0.3))
    outcome = send(parts, serve(handler), timeout_s=60)
    assert outcome.ok
    assert arrivals == [b"GET / HT", b"TP/1.1\r\n", b"\r\n"]
    assert outcome.total_s >= 0.6


def test_an_early_answer_ends_a_case_that_is_still_sending(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        sock.recv(10)
        sock.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    slow = case(b"POST / HTTP/1.1\r\n", *(Segment(b"X: y\r\n", 5.0) for _ in range(20)))
    outcome = send(slow, serve(handler), timeout_s=60)
    assert (outcome.fate, outcome.status) == (Fate.ANSWERED, 408)
    assert outcome.total_s < 50, "what was still to be sent takes a hundred seconds"


def test_a_refused_upload_is_the_answer_and_not_the_broken_pipe(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        sock.recv(1024)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        # Closing with unread bytes resets the connection while the client is still writing.

    big = case(b"POST / HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n" + bytes(30_000_000))
    outcome = send(big, serve(handler), timeout_s=60)
    assert (outcome.fate, outcome.status) == (Fate.ANSWERED, 413)


def test_a_half_close_says_the_end_and_still_reads(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        data = until(sock, b"never")  # until the end of the stream
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    outcome = send(case(GET, ending=Ending.HALF_CLOSE), serve(handler), timeout_s=60)
    assert (outcome.fate, outcome.body) == (Fate.ANSWERED, GET)


@pytest.mark.parametrize(("ending", "fate"), [(Ending.CLOSE, Fate.CLOSED), (Ending.RESET, Fate.RESET)])
def test_the_peer_sees_how_a_case_ends_the_connection(serve: Serve, ending: Ending, fate: Fate) -> None:
    seen: list[str] = []
    done = threading.Event()

    def handler(sock: socket.socket) -> None:
        try:
            until(sock, b"never")
            seen.append("closed")
        except ConnectionResetError:
            seen.append("reset")
        done.set()

    outcome = send(case(GET, ending=ending), serve(handler), timeout_s=60)
    assert done.wait(60)
    assert outcome.fate is fate
    assert seen == [str(fate)]


def test_a_case_that_never_reads_fills_the_servers_buffers(serve: Serve) -> None:
    stuck = threading.Event()

    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.settimeout(0.1)
        try:
            while True:
                sock.sendall(bytes(1 << 20))
        except TimeoutError:
            stuck.set()

    outcome = send(case(GET, reading=Reading.NEVER), serve(handler), timeout_s=2)
    assert stuck.is_set()
    assert outcome.received == 0
    assert outcome.fate is Fate.TIMEOUT  # the server's FIN waits behind what was never read


def test_a_case_that_never_reads_notices_a_server_that_resets_it(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        reset(sock)

    outcome = send(case(GET, reading=Reading.NEVER), serve(handler), timeout_s=60)
    assert outcome.fate is Fate.RESET


def test_a_case_that_never_reads_gives_up_after_its_time(serve: Serve) -> None:
    outcome = send(case(GET, reading=Reading.NEVER), serve(lambda sock: until(sock, b"never")), timeout_s=0.2)
    assert outcome.fate is Fate.TIMEOUT


def test_only_the_start_of_a_long_body_is_kept(serve: Serve) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + bytes(10_000_000)
    outcome = send(case(GET), serve(answering(raw)), timeout_s=20, keep=100)
    assert outcome.ok
    assert len(outcome.body) == 100
    assert outcome.received == len(raw)


def test_bytes_after_the_answer_are_noticed(serve: Serve) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n"
    assert "19 more bytes" in send(case(GET), serve(answering(raw)), timeout_s=60).detail


def test_tls_is_spoken_and_verified(serve: Serve, server_tls: ssl.SSLContext, certificate: Path) -> None:
    handler = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    address = serve(handler, context=server_tls, trust=Tls(ca_file=str(certificate)))
    assert send(case(GET), address, timeout_s=60).ok
    unknown = Address(address.host, address.port, tls=True)
    refused = send(case(GET), unknown, timeout_s=60)
    assert refused.fate is Fate.TLS
    assert "certificate" in refused.detail.lower()
    assert send(case(GET), Address(address.host, address.port, tls=True, trust=Tls(verify=False)), timeout_s=60).ok


def test_an_unusable_ca_file_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    address = Address("127.0.0.1", 1, tls=True, trust=Tls(ca_file=str(tmp_path / "ca.pem")))
    outcome = send(case(GET), address, timeout_s=1)
    assert outcome.fate is Fate.CANCELLED
    assert "ca.pem: holds no certificates" in outcome.detail


def test_a_half_close_over_tls_still_reads(serve: Serve, server_tls: ssl.SSLContext, certificate: Path) -> None:
    def handler(sock: socket.socket) -> None:
        data = until(sock, b"never")  # until close_notify
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    address = serve(handler, context=server_tls, trust=Tls(ca_file=str(certificate)))
    outcome = send(case(GET, ending=Ending.HALF_CLOSE), address, timeout_s=60)
    assert (outcome.fate, outcome.body) == (Fate.ANSWERED, GET)


def test_a_large_body_crosses_tls_whole(serve: Serve, server_tls: ssl.SSLContext, certificate: Path) -> None:
    size = 3_000_000

    def handler(sock: socket.socket) -> None:
        data = until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
        while len(data) < size:
            data += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + data)

    address = serve(handler, context=server_tls, trust=Tls(ca_file=str(certificate)))
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    outcome = send(case(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + body), address, keep=size)
    assert outcome.ok
    assert outcome.body == body


def test_tls_to_a_plain_port_is_a_tls_failure(serve: Serve) -> None:
    def handler(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    address = serve(handler)
    plain = Address(address.host, address.port, tls=True, trust=Tls(verify=False))
    assert send(case(GET), plain, connect_timeout_s=60, timeout_s=60).fate is Fate.TLS


def test_a_handshake_that_nobody_answers_is_a_connect_timeout(serve: Serve) -> None:
    address = serve(lambda sock: until(sock, b"never"))
    silent = Address(address.host, address.port, tls=True, trust=Tls(verify=False))
    assert send(case(GET), silent, connect_timeout_s=0.2, timeout_s=60).fate is Fate.CONNECT_TIMEOUT


def test_a_limit_of_this_machine_is_not_blamed_on_the_target(serve: Serve) -> None:
    address = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        outcome = send(case(GET), address, timeout_s=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert outcome.fate is Fate.CANCELLED
    assert "this machine" in outcome.detail
