"""Requests that a client sends without waiting for answers: each is answered, in order, and the upstream gets them intact."""

from __future__ import annotations

import re

import pytest

from .conftest import Lab, Reply, Request, answer, request

FAULTS = {
    "bare": (),
    "elsewhere": ("abort:503;path=/never",),
    "delayed": ("delay:1ms",),
    "trickling": ("dribble:50b;pause=1ms",),
    "bytes": ("latency:1ms", "slicer:100b"),
}
CHUNKED = b"POST /one HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def echo(received: Request) -> bytes:
    """An answer that says which request it belongs to."""
    return answer(received.line.split(" ")[1].encode())


def replies(lab: Lab, data: bytes, count: int) -> list[bytes]:
    """Sends everything at once; the bodies of the answers in the order in which they came."""
    with lab.connect() as sock:
        sock.settimeout(30)
        sock.sendall(data)
        got = b""
        found: list[bytes] = []
        while len(found) < count:
            part = sock.recv(1 << 16)
            assert part, got
            got += part
            while (head := re.search(rb"content-length: (\d+)(?:\r\n[^\r\n]+)*\r\n\r\n", got)) and len(
                got
            ) >= head.end() + int(head[1]):
                end = head.end() + int(head[1])
                found.append(Reply(got[:end], "open", 0).body)
                got = got[end:]
        return found


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_pipelined_requests_are_all_answered_in_order(lab: Lab, faults: tuple[str, ...]) -> None:
    lab.faults(*faults)
    lab.upstream.respond = echo
    data = b"".join(request(b"", path=f"/{number}", method="GET") for number in range(3))
    assert replies(lab, data, 3) == [b"/0", b"/1", b"/2"]
    assert [each.line for each in lab.upstream.wait_for(3)] == [f"GET /{number} HTTP/1.1" for number in range(3)]
    assert not lab.troubles


def test_a_long_pipeline_needs_no_deep_stack(lab: Lab) -> None:
    lab.faults("abort:503;path=/never")
    lab.upstream.respond = echo
    data = b"".join(request(b"", path=f"/{number}", method="GET") for number in range(400))
    assert replies(lab, data, 400) == [b"/%d" % number for number in range(400)]
    assert not lab.troubles


def test_a_pipeline_that_the_proxy_answers_itself_needs_no_deep_stack(lab: Lab) -> None:
    lab.faults("abort:503")
    data = b"".join(request(b"", path=f"/{number}", method="GET") for number in range(400))
    assert len(replies(lab, data, 400)) == 400
    assert not lab.upstream.requests
    assert not lab.troubles


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_a_request_behind_a_chunked_one_is_not_mixed_up_with_it(lab: Lab, faults: tuple[str, ...]) -> None:
    lab.faults(*faults)
    bodies: list[bytes] = []

    def respond(received: Request) -> bytes:
        bodies.append(received.line.encode())
        return echo(received)

    lab.upstream.respond = respond
    assert replies(lab, CHUNKED + request(b"", path="/two", method="GET"), 2) == [b"/one", b"/two"]
    assert bodies == [b"POST /one HTTP/1.1", b"GET /two HTTP/1.1"]
    assert not lab.troubles


EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("count", [1, 3])
def test_interim_answers_pass_and_the_answer_comes_after_them(lab: Lab, faults: tuple[str, ...], count: int) -> None:
    lab.faults(*faults)
    lab.upstream.respond = lambda received: EARLY + b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + echo(received)
    data = b"".join(request(b"", path=f"/{number}", method="GET") for number in range(count))
    with lab.connect() as sock:
        sock.settimeout(30)
        sock.sendall(data)
        got = b""
        while got.count(b" 200 OK") < count or not got.endswith(b"/%d" % (count - 1)):
            part = sock.recv(1 << 16)
            assert part, got
            got += part
    parts = got.split(b"HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == [b"103", b"103", b"200"] * count
    assert [part[-2:] for part in parts[2::3]] == [b"/%d" % number for number in range(count)]
    assert parts[0] == EARLY.removeprefix(b"HTTP/1.1 ")
    assert not lab.troubles


def test_interim_answers_without_an_end_are_none(lab: Lab) -> None:
    lab.faults("abort:503;path=/never")
    lab.upstream.respond = lambda _received: EARLY * 10_000 + answer(b"late")
    with lab.connect() as sock:
        sock.settimeout(30)
        sock.sendall(request(b"", path="/", method="GET"))
        got = b""
        while b"HTTP/1.1 502" not in got:
            part = sock.recv(1 << 16)
            assert part, got[-300:]
            got += part
    assert b"interim answers of more than 256 KiB" in got
    assert not lab.troubles
