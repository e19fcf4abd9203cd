"""The delta debugger keeps what matters and throws the rest away, within its attempts."""

from __future__ import annotations

import json

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.minimize import enough, minimize
from chaosbot.fuzz.requests import split


def post(body: bytes) -> Case:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    return Case("a/b", "a", Threat.USER, (Segment(head + body),), Expect())


def body_of(case: Case) -> bytes:
    parts = split(case.request)
    assert parts is not None
    return parts[1]


def test_json_shrinks_to_the_member_that_matters() -> None:
    update = {
        "update_id": 7,
        "message": {
            "chat": {"id": 5, "type": "private"},
            "date": 1,
            "text": "x" * 300,
            "entities": [{"a": 1}, {"b": 2}],
        },
    }

    def still(attempt: Case) -> bool:
        message = json.loads(body_of(attempt)).get("message")
        return isinstance(message, dict) and isinstance(message.get("chat"), dict) and "id" in message["chat"]

    small = minimize(post(json.dumps(update).encode()), still)
    assert json.loads(body_of(small)) == {"update_id": 7, "message": {"chat": {"id": 5}}}


def test_bytes_shrink_to_the_run_that_matters() -> None:
    small = minimize(
        post(b"{" * 100 + b"\xff\xfe" + b"}" * 100), lambda attempt: b"\xff\xfe" in body_of(attempt), attempts=400
    )
    assert body_of(small) == b"\xff\xfe"


def test_the_summary_of_a_huge_case_says_how_much_of_it_is_enough() -> None:
    huge = post(b"[" * 100_000 + b"]" * 100_000)
    assert enough(huge, post(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}")) == "; 901 levels are enough"
    assert enough(huge, post(b"[[]" * 40)) == "; 120 bytes are enough"
    assert enough(huge, huge) == ""
    # Where nothing was huge, nothing is said.
    assert enough(post(b"[" * 200), post(b"[")) == ""


def test_the_length_stays_right_while_it_shrinks() -> None:
    small = minimize(post(b"abcdefgh" * 8), lambda attempt: b"h" in body_of(attempt))
    assert b"Content-Length: %d\r\n" % len(body_of(small)) in small.request


def test_no_more_attempts_are_made_than_allowed() -> None:
    asked = []

    def never(attempt: Case) -> bool:
        asked.append(attempt)
        return False

    case = post(json.dumps({str(number): number for number in range(50)}).encode())
    assert minimize(case, never, attempts=9) is case
    assert len(asked) == 9


def test_what_pauses_or_lies_about_its_length_is_left_alone() -> None:
    paused = Case("a/b", "a", Threat.USER, (Segment(b"POST /"), Segment(b" HTTP/1.1\r\n\r\n", 0.1)), Expect())
    assert minimize(paused, lambda _: True) is paused
