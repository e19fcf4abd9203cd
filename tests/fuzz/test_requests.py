"""Requests as bytes: whole or not, rebuilt with a right length, and renewed as deliveries of their own."""

from __future__ import annotations

import json

import pytest

from chaosbot.core.case import Case, Ending, Expect, Reading, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.requests import pauses, renewed, slow, split, whole, with_body, with_length

M = "cbm0123456789ab"


def case(*segments: Segment | bytes, **more: object) -> Case:
    cut = tuple(Segment(segment) if isinstance(segment, bytes) else segment for segment in segments)
    return Case("a/b", "a", Threat.USER, cut, Expect(), **more)  # type: ignore[arg-type]


def post(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (size, body)


@pytest.mark.parametrize(
    ("request_bytes", "is_whole"),
    [
        (post(b"{}"), True),
        (post(b"{}", 1), True),
        (post(b"{}", 3), False),
        (b"POST / HTTP/1.1\r\nHost: x", False),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
    ],
)
def test_a_request_is_whole_when_a_server_need_not_wait_for_more(request_bytes: bytes, is_whole: bool) -> None:
    assert whole(case(request_bytes)) is is_whole


def test_a_case_that_leaves_first_or_never_reads_is_owed_no_answer() -> None:
    assert not whole(case(post(b"{}"), ending=Ending.RESET))
    assert not whole(case(post(b"{}"), reading=Reading.NEVER))


def test_what_takes_its_time_runs_beside_the_others() -> None:
    assert slow(case(Segment(post(b"{}")), Segment(b"", 1.0)))
    assert not slow(case(Segment(post(b"{}"), 0.1)))
    assert pauses(case(Segment(b"a", 0.25), Segment(b"b", 0.5))) == 0.75


def test_another_body_gets_a_right_length() -> None:
    changed = with_body(post(b"{}"), b"[1, 2]")
    assert changed is not None
    assert split(changed) == (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n", b"[1, 2]")


def test_a_body_whose_length_is_a_lie_is_left_alone() -> None:
    assert with_body(post(b"{}", 7), b"[]") is None
    assert with_body(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", b"[]") is None


def test_a_head_can_announce_any_length() -> None:
    assert with_length(post(b"{}"), 99) == b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"


def test_a_renewed_case_is_another_delivery_of_the_same_size() -> None:
    body = json.dumps({"update_id": 123456, "message": {"text": f"hi {M}"}}).encode()
    old = case(post(body), marker=M, update_id=123456)
    new = renewed(old, Dice(1).at("x"))
    assert new.marker != M
    assert new.update_id != 123456
    assert len(new.request) == len(old.request)
    sent = json.loads(split(new.request)[1])  # type: ignore[index]
    assert sent == {"update_id": new.update_id, "message": {"text": f"hi {new.marker}"}}
    assert renewed(old, Dice(1).at("x")) == new


def test_a_delivery_id_at_the_top_of_its_length_is_renewed_too() -> None:
    old = case(post(b'{"update_id": 999999999}'), update_id=999_999_999)
    ids = {renewed(old, Dice(1).at(number)).update_id for number in range(5)}
    assert len(ids | {old.update_id}) == 6
    assert all(len(str(number)) == 9 for number in ids)


def test_a_marker_that_is_cut_over_segments_stays_what_it_was() -> None:
    old = case(Segment(post(M[:5].encode(), 15)), Segment(M[5:].encode(), 0.01), marker=M)
    assert renewed(old, Dice(1)).marker == M
