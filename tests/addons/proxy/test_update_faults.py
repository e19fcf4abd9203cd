"""What the bot behind the proxy gets of each update fault."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from chaosbot.addons.proxy import Proxy
from chaosbot.addons.resend import TIMEOUT_S
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.exchange import Direction

from .conftest import UPDATE, Lab, answer, read, request

SECRET = "X-Telegram-Bot-Api-Secret-Token: sEcret-Value"


def sent(lab: Lab) -> Any:
    lab.send(request())
    return json.loads(lab.upstream.requests[0].body)


def test_duplicate_delivers_the_same_bytes_again(lab: Lab) -> None:
    lab.faults("duplicate:2")
    lab.send(request(None, SECRET, key="d"))
    requests = lab.upstream.wait_for(3)
    assert len({got.body for got in requests}) == 1
    assert {got.header("x-telegram-bot-api-secret-token") for got in requests} == {"sEcret-Value"}
    lab.wait_for(lambda: len(lab.seen) == 3)
    assert [(seen.exchange, seen.repeat_of, seen.status) for seen in lab.seen] == [
        ("d", None, 200),
        ("d+1", "d", 200),
        ("d+2", "d", 200),
    ]
    assert {seen.update_id for seen in lab.seen} == {UPDATE["update_id"]}


def test_duplicate_concurrent_does_not_wait_for_the_first_answer(lab: Lab) -> None:
    lab.faults("duplicate:1;concurrent=yes")
    both = threading.Barrier(2, timeout=30)
    lab.upstream.respond = lambda _request: (both.wait(), answer(b"{}"))[1]
    # The upstream answers only when both are there at once.
    assert lab.send().status == 200


def test_reorder_lets_a_later_update_overtake(lab: Lab) -> None:
    lab.faults("reorder:1;at_most=1h;first=1")
    first, second = (json.dumps({**UPDATE, "update_id": number}).encode() for number in (1, 2))
    with lab.connect() as slow, lab.connect() as quick:
        slow.sendall(request(first))
        time.sleep(0.05)
        assert not lab.upstream.requests
        quick.sendall(request(second))
        assert read(quick).status == 200
        assert read(slow).status == 200
    assert [json.loads(got.body)["update_id"] for got in lab.upstream.requests] == [2, 1]
    assert [event.stage for event in lab.injected] == ["applied"]


def test_reorder_gives_up_waiting_and_says_that_it_did_nothing(lab: Lab) -> None:
    lab.faults("reorder:1;at_most=100ms")
    assert lab.send().status == 200
    assert [event.stage for event in lab.injected] == ["missed"]


def test_redeliver_comes_back_until_acknowledged(lab: Lab) -> None:
    lab.faults("redeliver:5;wait=20ms;base=20ms")
    statuses = iter(["500 No", "500 No", "200 OK", "200 OK"])
    lab.upstream.respond = lambda _request: answer(b"{}", next(statuses))
    lab.send(request(key="r"))
    lab.wait_for(lambda: len(lab.seen) == 3)
    assert [seen.status for seen in lab.seen] == [500, 500, 200]
    assert len(lab.upstream.requests) == 3
    assert TIMEOUT_S == 60


def test_redeliver_pauses_as_the_platform_does(lab: Lab) -> None:
    lab.faults("redeliver:3;base=50ms;until_ack=no")
    lab.send()
    lab.wait_for(lambda: len(lab.seen) == 4)
    times = [seen.t for seen in lab.seen]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] < 0.05 <= gaps[1] < 0.1 <= gaps[2]


def test_replay_stale_sends_an_earlier_update(lab: Lab) -> None:
    lab.faults("replay_stale:1;nth=2")
    for number in (1, 2):
        lab.send(request(json.dumps({**UPDATE, "update_id": number}).encode(), key=f"u{number}"))
    requests = lab.upstream.wait_for(3)
    assert sorted(json.loads(got.body)["update_id"] for got in requests) == [1, 1, 2]
    lab.wait_for(lambda: len(lab.seen) == 3)
    assert [seen.exchange for seen in lab.seen if seen.repeat_of == "u1"] == ["u1@u2"]


def test_drop_field(lab: Lab) -> None:
    lab.faults("drop_field:message.chat")
    got = sent(lab)
    assert "chat" not in got["message"]
    assert got["message"]["text"] == UPDATE["message"]["text"]  # type: ignore[index]


def test_null_field(lab: Lab) -> None:
    lab.faults("null_field:message")
    assert sent(lab) == {**UPDATE, "message": None}


def test_retype_field(lab: Lab) -> None:
    lab.faults("retype_field:message.chat.id;to=string")
    assert sent(lab)["message"]["chat"]["id"] == "1000007"


def test_a_field_is_drawn_when_none_is_named_the_same_one_for_one_seed(lab: Lab) -> None:
    lab.faults("drop_field")
    for key in ("same", "same", "other", "third", "fourth"):
        lab.send(request(key=key))
    bodies = [got.body for got in lab.upstream.requests]
    assert bodies[0] == bodies[1]
    assert len(set(bodies)) > 1


def test_json_patch(lab: Lab) -> None:
    lab.faults(
        'json_patch:[{"op":"replace","path":"/message/text","value":"/admin"},{"op":"add","path":"/extra","value":[1]},'
        '{"op":"move","from":"/message/date","path":"/when"},{"op":"remove","path":"/message/from"}]'
    )
    got = sent(lab)
    assert (got["message"]["text"], got["extra"], got["when"]) == ("/admin", [1], 1)
    assert not {"date", "from"} & got["message"].keys()


def test_a_patch_that_does_not_fit_leaves_the_update_alone(lab: Lab) -> None:
    lab.faults('json_patch:[{"op":"remove","path":"/nothing/here"}]')
    assert sent(lab) == UPDATE
    assert not lab.injected


@pytest.mark.parametrize("how", ["invalid_utf8", "cut_character", "utf16"])
def test_encoding_damage_that_no_decoder_takes(lab: Lab, how: str) -> None:
    lab.faults(f"encoding_damage:{how}")
    lab.send()
    body = lab.upstream.requests[0].body
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_encoding_damage_with_a_lone_surrogate_is_json_all_the_same(lab: Lab) -> None:
    lab.faults("encoding_damage:lone_surrogate")
    text = json.dumps(sent(lab), ensure_ascii=False)
    with pytest.raises(UnicodeEncodeError):
        text.encode()


def test_encoding_damage_keeps_the_framing(lab: Lab) -> None:
    lab.faults("encoding_damage:bom")
    lab.send()
    got = lab.upstream.requests[0]
    assert got.body.startswith(b"\xef\xbb\xbf{")
    assert got.header("content-length") == str(len(got.body))


@pytest.mark.parametrize(
    ("how", "expected"),
    [("missing", []), ("prefix", ["sEcret-Valu"]), ("case", ["SeCRET-vALUE"])],
)
def test_bad_signature(lab: Lab, how: str, expected: list[str]) -> None:
    lab.faults(f"bad_signature:{how}")
    lab.send(request(None, SECRET))
    name = "x-telegram-bot-api-secret-token"
    assert [value for key, value in lab.upstream.requests[0].headers if key.lower() == name] == expected


def test_bad_signature_wrong_and_double(lab: Lab) -> None:
    name = "x-telegram-bot-api-secret-token"
    lab.faults("bad_signature")
    lab.send(request(None, SECRET))
    (wrong,) = [value for key, value in lab.upstream.requests[0].headers if key.lower() == name]
    assert wrong != "sEcret-Value"
    assert len(wrong) == len("sEcret-Value")
    lab.faults("bad_signature:double")
    lab.send(request(None, SECRET))
    values = [value for key, value in lab.upstream.requests[0].headers if key.lower() == name]
    assert (values[0], len(values)) == ("sEcret-Value", 2)


CALL = b'{"chat_id": 5, "text": "hello"}'
API = "/bot123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/"
SEND = f"{API}sendMessage"


@pytest.mark.parametrize(
    ("fault", "method", "chat", "status", "check"),
    [
        ("botapi_429:7s", "sendMessage", 5, 429, lambda answer: answer["parameters"] == {"retry_after": 7}),
        ("botapi_400", "editMessageText", 5, 400, lambda answer: "not modified" in answer["description"]),
        ("botapi_blocked", "sendMessage", 5, 403, lambda answer: "blocked" in answer["description"]),
        ("botapi_conflict", "getUpdates", None, 409, lambda answer: answer["description"].startswith("Conflict")),
        (
            "botapi_migrate:77",
            "sendMessage",
            -77,
            400,
            lambda answer: answer["parameters"] == {"migrate_to_chat_id": -1000000000077},
        ),
    ],
)
def test_bot_api_refusals(lab: Lab, fault: str, method: str, chat: int | None, status: int, check: Any) -> None:
    lab.faults(fault)
    call = json.dumps({"chat_id": chat, "text": "hello"} if chat else {}).encode()
    reply = lab.send(request(call, path=API + method), direction=Direction.OUTBOUND)
    document = json.loads(reply.body)
    assert (reply.status, document["ok"], document["error_code"]) == (status, False, status)
    assert check(document)
    (called,) = [event for event in lab.told if type(event).__name__ == "ApiCalled"]
    assert (called.method, called.status, str(called.chat)) == (method, status, str(chat))  # type: ignore[attr-defined]


def test_bot_api_5xx_is_a_page(lab: Lab) -> None:
    lab.faults("botapi_5xx_html:504")
    reply = lab.send(request(CALL, path=SEND), direction=Direction.OUTBOUND)
    assert (reply.status, reply.header("content-type")) == (504, "text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(reply.body)


@pytest.mark.parametrize(
    ("platform", "path", "said"),
    [
        ("slack", "/api/chat.postMessage", {"ok": False, "error": "ratelimited"}),
        (
            "stripe",
            "/v1/refunds",
            {"error": {"type": "rate_limit_error", "code": "rate_limit", "message": "Too Many Requests"}},
        ),
        (
            "twilio",
            "/2010-04-01/Accounts/AC1/Messages.json",
            {"code": 20429, "message": "Too Many Requests", "status": 429},
        ),
    ],
)
def test_an_api_refuses_in_its_own_words(lab: Lab, platform: str, path: str, said: object) -> None:
    plan = plan_of([parse_fault("api_error:429;retry_after=1500ms")])
    proxy = Proxy(replace(lab.proxy.spec, platform=platform, plan=plan), lab.events.append)
    proxy.start()
    other = replace(lab, proxy=proxy, mark=len(lab.events))
    try:
        reply = other.send(request(b"{}", path=path), direction=Direction.OUTBOUND)
        told = other.told
    finally:
        proxy.stop()
    assert (reply.status, reply.header("retry-after"), json.loads(reply.body)) == (429, "2", said)
    (called,) = [event for event in told if type(event).__name__ == "ApiCalled"]
    assert (called.status, called.retry_after_s) == (429, 2.0)  # type: ignore[attr-defined]


def test_the_stand_in_answers_the_outbound_lane_without_faults(lab: Lab) -> None:
    reply = lab.send(request(CALL, path=SEND), direction=Direction.OUTBOUND)
    document = json.loads(reply.body)
    assert (reply.status, document["ok"], document["result"]["text"]) == (200, True, "hello")
    assert lab.seen[0].by == "mock"


def test_bot_api_faults_leave_the_inbound_lane_alone(lab: Lab) -> None:
    lab.faults("botapi_429")
    assert lab.send().status == 200
    assert not lab.injected


def test_update_faults_leave_the_outbound_lane_alone(lab: Lab) -> None:
    lab.faults("drop_field:text")
    lab.send(request(CALL, path=SEND), direction=Direction.OUTBOUND)
    assert not lab.injected
