"""What a healthy webhook answers, case by case."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from typing import Any

import pytest

World = Any
SECRET = b"correct-horse-battery"
KINDS = ["edited_message", "channel_post", "inline_query", "poll", "my_chat_member", "chat_boost", "of_the_future"]
HEADER = b"X-Telegram-Bot-Api-Secret-Token: "


@pytest.mark.parametrize(
    "secret",
    [None, b"", b"wrong", SECRET[:-1], SECRET.upper(), SECRET + b"x", b"x" * 257, "gehéim".encode(), b"\xff"],
    ids=repr,
)
@pytest.mark.parametrize("body", [b"{}", b'{"broken'], ids=["sound", "broken"])
def test_a_wrong_secret_is_refused_whatever_the_body(replying: World, secret: bytes | None, body: bytes) -> None:
    assert replying.post(body, secret) == (401, b'{"error":"wrong secret"}')


@pytest.mark.parametrize("values", [(SECRET, b"wrong"), (b"wrong", SECRET), (SECRET, SECRET)])
def test_a_doubled_secret_is_refused(replying: World, values: tuple[bytes, bytes]) -> None:
    more = b"".join(HEADER + value + b"\r\n" for value in values)
    assert replying.post(b"{}", None, more=more)[0] == 401


def test_spoofed_origin_and_a_secret_in_the_query_prove_nothing(replying: World) -> None:
    more = b"x-forwarded-for: 149.154.160.1\r\n"
    assert replying.post(b"{}", None, more=more, query=f"?secret={replying.SECRET}")[0] == 401


def test_the_answer_to_a_wrong_secret_comes_before_the_body_does(replying: World) -> None:
    assert replying.raw(replying.head(900_000, b"wrong"))[0] == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_allowed(replying: World, method: str) -> None:
    assert replying.raw(replying.head(0, method=method))[0] == 405
    assert replying.raw(replying.head(0, None, method=method))[0] == 401


MALFORMED = [
    b"", b"{", b'{"update_id": 1', b'{"update_id": 1} x', b'{"update_id": 1, /* */ "a": 2}', b'\xef\xbb\xbf{"update_id": 1}',
    '{"update_id": 1}'.encode("utf-16"), b'{"update_id": 1, "x": "\xc3"}', b'{"update_id": 1, "x": "\xc0\xaf"}',
    b'{"update_id": 1, "x": "\\ud800"}', b'{"update_id": 1, "x": "\x00"}', b"null", b"[]", b'"x"', b"7", b"{}",
    b'{"update_id": NaN}', b'{"update_id": Infinity}', b'{"update_id": 1, "x": 1e999}', b'{"update_id": 1.0}',
    b'{"update_id": "1"}', b'{"update_id": true}', b'{"update_id": -1}', b'{"update_id": 9007199254740993}',
    b'{"update_id": 18446744073709551616}', b'{"update_id": ' + b"9" * 5000 + b"}",
    b'{"update_id": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:40]))
def test_what_is_no_update_is_answered_400_without_detail(replying: World, body: bytes) -> None:
    status, answer = replying.post(body)
    assert status == 400
    assert len(answer) < 100


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_without_use_are_acknowledged(replying: World, kind: str) -> None:
    assert replying.post({"update_id": replying.number(), kind: {"id": 1}}) == (200, b"{}")


def test_no_payload_and_two_payloads_are_acknowledged_and_ignored(replying: World) -> None:
    assert replying.post({"update_id": replying.number()}) == (200, b"{}")
    two = {**replying.message("hello"), "callback_query": replying.callback("x")["callback_query"]}
    assert replying.post(two) == (200, b"{}")


@pytest.mark.parametrize("damage", ["drop", None, [], {}, "x", 1, True, 1.0, [{"id": 1}], {"id": "1"}, {"id": True}])
@pytest.mark.parametrize("field", ["chat", "from", "text", "entities", "message_id", "date"])
def test_a_damaged_message_is_acknowledged(replying: World, field: str, damage: Any) -> None:
    update = replying.message("/start")
    if damage == "drop":
        update["message"].pop(field)
    else:
        update["message"][field] = damage
    assert replying.post(update)[0] == 200


def test_a_body_over_the_cap_is_refused_announced_or_not(replying: World) -> None:
    assert replying.raw(replying.head(1_000_001))[0] == 413
    chunked = replying.head(0, more=b"transfer-encoding: chunked\r\n").replace(b"content-length: 0\r\n", b"")
    assert replying.raw(chunked + b"1e8480\r\n" + bytes(2_000_000))[0] == 413


def test_gzip_is_read_and_bombs_are_not(replying: World) -> None:
    more = b"content-encoding: gzip\r\n"
    body = gzip.compress(json.dumps(replying.message("zipped")).encode())
    assert b"You said: zipped" in replying.post(body, more=more)[1]
    assert replying.post(gzip.compress(bytes(50_000_000)), more=more)[0] == 413
    assert replying.post(gzip.compress(gzip.compress(b"{}")), more=more)[0] == 400
    assert replying.post(b"{}", more=more)[0] == 400
    assert replying.post(body[:-4], more=more)[0] == 400
    assert replying.post(b"{}", more=b"content-encoding: br\r\n")[0] == 415


@pytest.mark.parametrize(
    ("kind", "status"),
    [(b"application/json; charset=utf-8", 200), (b"text/plain", 415), (b"application/json; charset=utf-16", 415)],
)
def test_the_content_type_must_be_json_in_utf8(replying: World, kind: bytes, status: int) -> None:
    assert replying.post(replying.message("x"), more=b"content-type: " + kind + b"\r\n")[0] == status


def test_expect_100_continue_is_served(replying: World) -> None:
    body = json.dumps(replying.message("patient")).encode()
    with replying.connect() as sock:
        sock.sendall(replying.head(len(body), more=b"expect: 100-continue\r\n"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert replying.read(sock)[0] == 200


FRAMING = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"POST /webhook/telegram HTTP/1.1\r\nhost: x\r\nx-a: \x00\r\n\r\n",
    b"POST /webhook/telegram HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    b"POST /webhook/telegram HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
]  # fmt: skip


@pytest.mark.parametrize("data", FRAMING, ids=lambda data: repr(data[-30:]))
def test_broken_framing_is_answered_400_and_closed(replying: World, data: bytes) -> None:
    assert replying.raw(data)[0] == 400


@pytest.mark.parametrize("pieces", [1, 4])
def test_a_head_of_64_kb_is_answered_431(replying: World, pieces: int) -> None:
    head = b"POST /webhook/telegram HTTP/1.1\r\nhost: x\r\n"
    rest = b"x-long: " + b"a" * 65_536
    step = len(rest) // pieces
    assert replying.raw(head, *(rest[n * step : (n + 1) * step] for n in range(pieces)), pause=0.01)[0] == 431


def test_pipelined_requests_are_answered_in_order(replying: World) -> None:
    bodies = [json.dumps(replying.message(f"number {n}")).encode() for n in range(3)]
    with replying.connect() as sock:
        sock.sendall(b"".join(replying.head(len(body)) + body for body in bodies))
        data = b""
        while b"number 2" not in data:
            data += sock.recv(65536)
    assert data.index(b"number 0") < data.index(b"number 1") < data.index(b"number 2")


def test_a_half_closed_connection_is_answered(replying: World) -> None:
    body = json.dumps(replying.message("last words")).encode()
    assert b"last words" in replying.raw(replying.head(len(body)) + body, half_close=True)[1]


def test_a_sender_that_leaves_harms_nobody(replying: World) -> None:
    for _ in range(20):
        with replying.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            sock.sendall(replying.head(100) + b"{")
    assert b"still here" in replying.post(replying.message("still here"))[1]


def test_a_burst_is_answered_and_leaves_no_descriptors(replying: World) -> None:
    before = replying.metric("process_open_fds")
    answers: list[int] = []

    def send() -> None:
        answers.extend(replying.post(replying.message("burst"))[0] for _ in range(20))

    threads = [threading.Thread(target=send) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 500
    assert replying.metric("process_open_fds") <= before + 5


def test_naughty_strings_survive(replying: World) -> None:
    for text in (
        "e\u0301 é",
        "\u202egnp.exe",
        "👩‍👩‍👧 \U0001f600",
        "\u0000",
        "a\u200bb",
        "'; DROP TABLE users; --",
        "{size}",
    ):
        assert json.loads(replying.post(replying.message(text))[1])["text"] == f"You said: {text}"


def test_the_demo_starts_with_every_bug_at_once(start: Any) -> None:
    world = start("--no-limits", bugs="fragile")
    assert world.ask("all broken, still alive", chat=world.GUEST) != []
    world.close()


def test_a_refusal_reaches_a_sender_that_goes_on_sending(replying: World) -> None:
    assert replying.raw(b"NONSENSE\r\n\r\n", *([bytes(50_000)] * 20), pause=0.002)[0] == 400
    assert replying.raw(replying.head(50_000_000, b"wrong"), *([bytes(50_000)] * 20), pause=0.002)[0] == 401
