"""A rule that asks for a value in the body finds it in JSON, in forms and in multipart forms, as clients of APIs send them."""

import pytest

from chaosbot.core.exchange import Direction, Exchange
from chaosbot.core.plan import Matcher

CHAT = Matcher(body=(("chat_id", "42"),))
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nhello\r\n'
    b'--b\r\nContent-Disposition: form-data; name="chat_id"\r\nContent-Type: text/plain\r\n\r\n42\r\n--b--\r\n'
)


def sent(kind: str, body: bytes) -> Exchange:
    return Exchange("a", Direction.OUTBOUND, headers=(("content-type", kind),), body=body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"chat_id": 42}'),
        ("application/json", b'{"chat_id": "42"}'),
        ("application/x-www-form-urlencoded", b"text=hi&chat_id=42"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"chat_id=42"),
        ("multipart/form-data; boundary=b", MULTIPART),
    ],
)
def test_a_value_is_found_however_the_body_is_written(kind: str, body: bytes) -> None:
    assert CHAT.matches(sent(kind, body))
    assert not CHAT.matches(sent(kind, body.replace(b"42", b"43")))


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"chat_id=42"])
def test_a_body_that_cannot_be_read_matches_nothing(body: bytes) -> None:
    assert not CHAT.matches(sent("application/json", body))


@pytest.mark.parametrize(
    ("kind", "body"),
    [("", b""), ("application/json", b'{"text": "hi"}'), ("application/x-www-form-urlencoded", b"text=hi")],
)
def test_a_value_may_stand_in_the_query(kind: str, body: bytes) -> None:
    headers = (("content-type", kind),) if kind else ()
    for query, matches in (("text=hi&chat_id=42", True), ("chat_id=43", False), ("", False)):
        exchange = Exchange("a", Direction.OUTBOUND, method="GET", query=query, headers=headers, body=body)
        assert CHAT.matches(exchange) is matches
