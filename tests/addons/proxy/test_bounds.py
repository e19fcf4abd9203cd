"""What either side sends without an end costs the proxy no memory, with and without its shortcuts."""

from __future__ import annotations

import contextlib
import socket

import psutil
import pytest

from .conftest import Lab, answer, read, request

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


def pour(sock: socket.socket, piece: bytes, total: int = MUCH) -> int:
    """Sends the piece again and again, so long as the proxy takes it; how many bytes that are."""
    block = piece * max(1, 500_000 // len(piece))
    with contextlib.suppress(ConnectionError):
        for _ in range(total // len(block)):
            sock.sendall(block)
    return total // len(block) * len(block)


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


def chunks(total: int) -> bytes:
    return b"10000\r\n" + b"x" * 65_536 + b"\r\n" if total <= 65_536 else chunks(65_536) * (total >> 16)


UPLOAD = b"POST /up HTTP/1.1\r\nhost: bot.example\r\ntransfer-encoding: chunked\r\n\r\n"


def test_an_upload_of_any_length_passes_untouched(lab: Lab) -> None:
    lab.faults("header_edit:x-met;value=1;side=request", "abort:503;path=/elsewhere")
    with lab.connect() as sock:
        sock.sendall(UPLOAD)
        size = pour(sock, chunks(1))
        sock.sendall(b"0\r\n\r\n")
        assert read(sock).status == 200
    sent = lab.upstream.requests[-1]
    # The proxy cuts chunks as it likes; what they hold stays.
    assert sent.body.count(b"x") == size // len(chunks(1)) * 65_536
    assert sent.header("x-met") == "1"


@pytest.mark.parametrize("fault", ["truncate_request", "redeliver", "abort:503"])
def test_a_fault_that_needs_a_request_whole_misses_one_without_an_end(lab: Lab, fault: str) -> None:
    lab.faults(fault)
    before = resident(lab)
    with lab.connect() as sock:
        sock.sendall(UPLOAD)
        for _ in range(3):
            pour(sock, chunks(1))
            assert resident(lab) - before < 110 * MB
        sock.sendall(b"0\r\n\r\n")
        assert read(sock).status == (503 if "abort" in fault else 200)
    (injected,) = lab.injected
    assert (injected.stage, "longer than the 16 MiB" in injected.detail) == (
        ("applied", False) if "abort" in fault else ("missed", True)
    )


def test_a_fault_that_needs_an_answer_whole_misses_one_that_is_too_long(lab: Lab) -> None:
    lab.faults("truncate_response", "header_edit:x-met;value=1;direction=inbound")
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks(80 * MB) + b"0\r\n\r\n"
    lab.upstream.respond = lambda _request: whole
    reply = lab.send()
    assert reply.body.count(b"x") == whole.count(b"x")
    missed = next(event for event in lab.injected if event.stage == "missed")
    assert (missed.fault, "longer than the 64 MiB" in missed.detail) == ("truncate_response", True)


@pytest.mark.parametrize("fault", ["dribble:1mb;pause=100ms", "delay:2s;point=after", "slow_request:1mb;pause=100ms"])
def test_what_waits_for_its_time_is_not_read(lab: Lab, fault: str) -> None:
    lab.faults(fault)
    lab.upstream.respond = lambda _request: answer(b"y" * MUCH)
    before, most = resident(lab), 0
    with lab.connect() as sock:
        sock.sendall(request(b"z" * (17 * MB)))
        sock.settimeout(30)
        got = 0
        while got < MUCH:
            got += len(sock.recv(1 << 20))
            most = max(most, resident(lab) - before)
    assert most < 30 * MB
    assert lab.upstream.requests[-1].body == b"z" * (17 * MB)
    assert [event.stage for event in lab.injected] == ["applied"]


@pytest.mark.parametrize("faults", [(), ("ws_corrupt:1",)])
@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"\x82\xff\x3f" + bytes(7), b"x"), (b"\x02\xfe\x40\x00", b"x" * 16_384 + b"\x00\xfe\x40\x00" + bytes(4))],
)
def test_a_message_without_an_end_passes_as_it_comes(
    lab: Lab, head: bytes, piece: bytes, faults: tuple[str, ...]
) -> None:
    lab.faults(*faults)
    accepts = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    lab.upstream.respond = lambda _request: accepts
    before = resident(lab)
    with lab.connect() as sock:
        sock.sendall(
            b"GET /ws HTTP/1.1\r\nhost: bot.example\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 101")
        sock.sendall(head + bytes(4))
        pour(sock, piece, 24 * MB)
        assert resident(lab) - before < 20 * MB
    lab.upstream.wait_for_end()  # it takes the frames for a request, which no other test is to find
