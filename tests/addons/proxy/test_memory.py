"""Memory of a worker stays flat, whatever is made up or passes through."""

from __future__ import annotations

import socket

import psutil

from .conftest import Lab, answer, read, request

MB = 1_000_000


def swallow(sock: socket.socket) -> int:
    """Reads to the end without keeping anything."""
    sock.settimeout(60)
    total, buffer = 0, bytearray(1 << 20)
    while got := sock.recv_into(buffer):
        total += got
    return total


def resident(lab: Lab) -> int:
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in lab.proxy.pids)


def made(lab: Lab, size: int) -> int:
    lab.faults(f"huge_body:{size}", "stale_keepalive")
    before = resident(lab)
    with lab.connect() as sock:
        sock.sendall(request())
        assert swallow(sock) > size
    return resident(lab) - before


def test_a_body_of_50_mb_is_never_held(lab: Lab) -> None:
    lab.send()
    assert made(lab, 50 * MB) < 8 * MB


def test_a_body_of_1_gb_is_never_held(lab: Lab) -> None:
    lab.send()
    assert made(lab, 1000 * MB) < 8 * MB


def test_a_client_that_does_not_read_holds_nothing_up(lab: Lab) -> None:
    lab.faults("huge_body:1GB")
    lab.proxy.flush()
    before = resident(lab)
    with lab.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(request())
        assert sock.recv(10)
        with lab.connect() as other:
            other.sendall(request())
            assert other.recv(10)
        assert resident(lab) - before < 8 * MB


def test_a_large_answer_passes_as_it_comes(lab: Lab) -> None:
    size = 60 * MB
    body = b"x" * size
    lab.upstream.respond = lambda _request: answer(body, "200 OK", "connection: close")
    lab.send(request(path="/warm"), whole=True)
    before = resident(lab)
    with lab.connect() as sock:
        sock.sendall(request())
        assert swallow(sock) > size
    assert resident(lab) - before < 12 * MB
    assert [seen.status for seen in lab.seen] == [200, 200]


def test_a_large_request_passes_as_it_comes(lab: Lab) -> None:
    size = 40 * MB
    lab.send(request(b"z" * (17 * MB)))
    before = resident(lab)
    with lab.connect() as sock:
        sock.sendall(request(b"z" * size))
        assert read(sock).status == 200
    assert len(lab.upstream.requests[-1].body) == size
    assert resident(lab) - before < 12 * MB


def test_thousands_of_exchanges_leave_nothing_behind(lab: Lab) -> None:
    lab.faults("header_edit:x-a;value=1;p=0.2")
    with lab.connect() as sock:
        for part in range(2):
            before = resident(lab)
            for number in range(1500):
                sock.sendall(request(b'{"n":%d,"p":%d}' % (number, part)))
                assert read(sock).status == 200
            lab.proxy.flush()
    assert resident(lab) - before < 4 * MB
