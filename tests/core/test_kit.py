"""Requests taken apart and put together again, and the ways in which a member can be wrong."""

import pytest

from chaosbot.core.case import Reach, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.kit import ACK, REFUSED, Kit, RawRequest, accepted, leaves, misshapen
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.verdict import Threat
from chaosbot.platforms.telegram import Telegram

DATA = b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def request_() -> RawRequest:
    return RawRequest.of(DATA)


def test_a_request_survives_being_taken_apart(request_) -> None:
    assert request_.data == DATA
    assert request_.header("x-a") == b"1"


def test_a_new_body_brings_its_length(request_) -> None:
    assert request_.with_body(b"12345").data.endswith(b"Content-Length: 5\r\n\r\n12345")


def test_headers_are_added_replaced_in_place_and_taken_away(request_) -> None:
    assert request_.with_header("X-a", "2").headers[1] == (b"X-A", b"2")
    assert request_.plus(("X-A", b"\xff")).headers[-1] == (b"X-A", b"\xff")
    assert request_.without("X-A", "HOST").headers == ((b"Content-Length", b"2"),)


def test_method_and_query_change_alone(request_) -> None:
    assert request_.with_method("PUT").line == b"PUT /a?b=c HTTP/1.1"
    assert request_.with_query("d=e").line == b"POST /a?b=c&d=e HTTP/1.1"


def test_every_member_can_be_wrong_in_four_ways() -> None:
    value = {"a": {"b": [1, "x"]}}
    assert [path for path, _ in leaves(value)] == [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1)]
    ways = {how: wrong for how, _, wrong in misshapen(value, ("a", "b", 0))}
    assert ways == {
        "dropped": {"a": {"b": ["x"]}},
        "null": {"a": {"b": [None, "x"]}},
        "retyped": {"a": {"b": ["1", "x"]}},
        "wrapped": {"a": {"b": [[1], "x"]}},
    }
    assert value == {"a": {"b": [1, "x"]}}


def test_a_case_carries_what_its_update_says() -> None:
    kit = Kit(Telegram(), Endpoint(secret="abcd"), Dice(1))
    base = kit.base("group/what")
    case = kit.case("group/what", base, b"{broken", "a broken body", accepted())
    assert (case.group, case.threat) == ("group", Threat.NETWORK)
    assert (case.chat, case.marker, case.update_id) == (base.facts.chat, base.facts.marker, base.facts.update_id)
    assert b"X-Telegram-Bot-Api-Secret-Token: abcd\r\n" in case.request
    assert case.request.endswith(b"\r\n\r\n{broken")


def test_chats_are_not_used_twice() -> None:
    kit = Kit(Telegram(), Endpoint(), Dice(1))
    chats = [kit.base(f"group/{number}").facts.chat for number in range(700)]
    assert len(set(chats)) == len(chats)


def test_a_changed_body_of_a_signed_request_may_be_refused_whatever_else_is_wrong_with_it() -> None:
    kit = Kit(PLATFORMS.build("standard_webhooks"), Endpoint(secret="whsec_YWJjZA=="), Dice(1))
    base = kit.base("group/what")
    changed = kit.case("group/changed", base, base.request.with_body(b"{}"), "x", accepted(Reach.ANY))
    moved = kit.case(
        "group/moved", base, (Segment(base.request.data[:20]), Segment(base.request.data[20:])), "x", accepted()
    )
    signed = kit.case("group/signed", base, b"{}", "x", accepted())
    assert changed.expect.statuses == ACK | REFUSED
    assert moved.expect.statuses == signed.expect.statuses == ACK
