"""The fast connection and the plain one: answers that are known by their bytes mean what the parser would have made of them, however the network cuts them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.load.connection import LoadConnection
from chaosbot.load.event_loop import READ, EventLoop
from chaosbot.load.fast_connection import LONGEST, MOST, FastConnection, KnownAnswers
from chaosbot.load.pending import PendingRequest, RequestLabel
from chaosbot.load.target import LoadTarget

NOWHERE = LoadTarget(2, ("127.0.0.1", 1), "memory", "memory", None, 5.0, 30.0)


def answer(status: int, body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [b"HTTP/%b %d Text" % (version, status), *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


BODIES = st.sampled_from([b"", b"{}", b'{"ok":true}', b"x" * 3000])
STATUSES = st.sampled_from([200, 201, 302, 404, 429, 500])
HEADERS = st.sampled_from([(), (b"Connection: close",), (b"Connection: keep-alive",), (b"Date: today", b"Server: x")])
PLAIN = st.builds(lambda status, body, headers: answer(status, body, *headers), STATUSES, BODIES, HEADERS)
OLD = st.builds(lambda body: answer(200, body, version=b"1.0"), BODIES)
EMPTY = st.sampled_from([b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"])
CHUNKED = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ]
)
BROKEN = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",  # promises more
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}surplus",
        b"not HTTP at all",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ]
)
ONE = PLAIN | OLD | EMPTY | CHUNKED | BROKEN
INTERIM = st.builds(lambda rest: b"HTTP/1.1 100 Continue\r\n\r\n" + rest, PLAIN)
TWO = st.builds(lambda first, second: first + second, PLAIN | EMPTY, PLAIN)
SAID = ONE | INTERIM | TWO
CUTS = st.lists(st.integers(0, 400), max_size=3)


class Socket:
    """Gives what a test puts into it, piece by piece; then it is closed."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def fileno(self) -> int:
        return 7

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, _size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        """Nothing to close."""


class _AtOnce:
    """A connection that is always made at once."""

    socket: Socket
    _sock: Any
    _established: Any

    def _connect(self) -> None:
        self.socket = Socket()
        self._sock = self.socket
        self._established(self.socket)


class Plain(_AtOnce, LoadConnection):
    """The plain path: each answer is read by the parser."""


class Fast(_AtOnce, FastConnection):
    """The fast path."""


class Owner:
    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def finished(self, shot: PendingRequest) -> None:
        outcome = msgspec.structs.replace(shot.outcome(), connect_s=0.0, first_byte_s=None, total_s=0.0)
        self.done.append((outcome, shot.error_kind))


def said(
    script: list[tuple[bytes, list[int]]], answers: KnownAnswers | None, asked: bytes = b"POST / HTTP/1.1\r\n\r\n"
) -> list[tuple[Any, ...]]:
    """What becomes of one request after the other, and whether its connection was kept."""
    loop = EventLoop(lambda: 1000.0, sockets=False)
    line: Any = Plain(loop, NOWHERE) if answers is None else Fast(loop, NOWHERE, answers)
    owner = Owner()
    seen: list[tuple[Any, ...]] = []
    for number, (data, cuts) in enumerate(script):
        line.fire(PendingRequest(owner, number, asked, RequestLabel("t"), None, 1000.0))
        places = sorted({cut for cut in cuts if 0 < cut < len(data)})
        pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        line.socket.pieces = pieces
        while len(owner.done) == number:
            line.ready(READ)
        seen.append((*owner.done[-1], line.connected))
        line.socket.pieces = []
    return seen


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(SAID, CUTS), min_size=1, max_size=12))
def test_a_known_answer_is_what_the_parser_says(script: list[tuple[bytes, list[int]]]) -> None:
    answers = KnownAnswers()
    expected = said(script, None)
    assert said(script, answers) == expected, "while it learns"
    assert said(script, answers) == expected, "when it knows them all"


def test_usual_answers_are_learned_and_dubious_ones_are_not() -> None:
    answers = KnownAnswers()
    usual, double = answer(200, b"{}"), answer(200, b"{}") + answer(200, b"{}")
    said([(usual, []), (double, []), (answer(200, b"{}", b"X: cut"), [20]), (answer(404, b""), [])], answers)
    assert answers.known(usual) == (200, True)
    assert answers.known(answer(404, b"")) == (404, True)
    assert answers.known(double) is None
    assert answers.known(answer(200, b"{}", b"X: cut")) is None


def test_what_is_known_is_bounded() -> None:
    answers = KnownAnswers()
    for number in range(3 * MOST):
        answers.learn(b"%d" % number, 200, keep=True)
    answers.learn(b"x" * (LONGEST + 1), 200, keep=True)
    assert answers.known(b"%d" % (3 * MOST - 1)) == (200, True)
    assert sum(answers.known(b"%d" % number) is not None for number in range(3 * MOST)) <= MOST
    assert answers.known(b"x" * (LONGEST + 1)) is None


def test_a_broken_answer_does_not_inherit_the_status_of_the_one_before() -> None:
    good, cut = answer(200, b"{}"), b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n"
    script = [(good, []), (b"no HTTP", []), (good, []), (b"HTTP/1.1 100 Continue\r\n\r\n" + cut, [])]
    assert [outcome.status for outcome, _, _ in said(script, KnownAnswers())] == [200, None, 200, 503]


def test_an_answer_to_head_ends_with_its_head_and_keeps_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    script = [(head, []), (b"HTTP/1.1 100 Continue\r\n\r\n" + head, [30]), (head, [20]), (answer(404, b""), [])]
    answers = KnownAnswers()
    seen = said(script, answers, b"HEAD / HTTP/1.1\r\n\r\n")
    assert [(str(outcome.fate), outcome.status, kept) for outcome, _, kept in seen] == [
        ("answered", 200, True),
        ("answered", 200, True),
        ("answered", 200, True),
        ("answered", 404, True),
    ]
    assert answers.known(head) is None, "to a GET these bytes are half an answer"
