"""A fault happens only where a real platform, API or network could cause it."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Throttle
from chaosbot.core.event import Injected
from chaosbot.core.exchange import Depth, Direction, Exchange, UpdateFacts
from chaosbot.core.fault import FAULTS, Fault
from chaosbot.core.plan import FaultPlan, Moment, Rule, Tally, decide
from chaosbot.core.registry import describe
from chaosbot.injection.engine import ALL_SCOPES, RuleEngine

from .test_every_fault import BODY, HEADERS, NEEDED, build, model_call

API = "/bot42:AAtoken"
PERSON, BASIC_GROUP, SUPERGROUP = 1_000_007, -4_000_000_123, -1_001_234_567_890


def delivery(method: str = "POST") -> Exchange:
    facts = UpdateFacts(1, "message", 5, 5, "guest") if method == "POST" else None
    body = BODY if method == "POST" else b""
    return Exchange("in", Direction.INBOUND, 1, method, "/webhook/telegram", "", HEADERS, body, facts)


def call(method: str, chat: int | str | None = None, *, form: str = "json") -> Exchange:
    values = {} if chat is None else {"chat_id": chat}
    path, query, headers, body = f"{API}/{method}", "", (("content-type", "application/json"),), b"{}"
    match form:
        case "json":
            body = json.dumps(values).encode()
        case "query":
            query, headers, body = urlencode(values), (), b""
        case "form":
            headers, body = (("content-type", "application/x-www-form-urlencoded"),), urlencode(values).encode()
        case "multipart":
            headers = (("content-type", "multipart/form-data; boundary=b"),)
            parts = [
                f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in values.items()
            ]
            photo = '--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\nxyz\r\n'
            body = (photo + "".join(parts) + "--b--\r\n").encode()
    return Exchange("out", Direction.OUTBOUND, 1, "POST", path, query, headers, body)


GALLERY = {
    "delivery": delivery(),
    "health check": delivery("GET"),
    "message to a person": call("sendMessage", PERSON),
    "message to a basic group": call("sendMessage", BASIC_GROUP),
    "message to a supergroup": call("sendMessage", SUPERGROUP),
    "message to a channel's name": call("sendMessage", "@news"),
    "edit for a person": call("editMessageText", PERSON),
    "edit in a supergroup": call("editMessageText", SUPERGROUP),
    "look at a basic group": call("getChat", BASIC_GROUP),
    "look at a person": call("getChat", PERSON),
    "getUpdates": call("getUpdates"),
    "setWebhook": call("setWebhook"),
    "download": Exchange("file", Direction.OUTBOUND, 1, "GET", "/file/bot42:AAtoken/photos/a.jpg"),
    "another API": Exchange("llm", Direction.OUTBOUND, 1, "POST", "/v1/chat/completions", body=b'{"chat_id": -5}'),
    "a model's stream": model_call(),
    "any stream of events": Exchange(
        "sse", Direction.INBOUND, 1, "GET", "/events", headers=(("accept", "text/event-stream"),)
    ),
}
CALLS = {name for name, exchange in GALLERY.items() if exchange.path.startswith(API)}
DELIVERED = {"delivery"}
MODELS = {"another API", "a model's stream"}
STREAMS = {"a model's stream", "any stream of events"}
# Faults that are bound to a platform or an API, and where each can happen; all others can happen everywhere.
WHERE: dict[str, set[str]] = {
    "api_error": {"download"} | MODELS,
    "botapi_429": CALLS,
    "botapi_5xx_html": CALLS | {"download"} | MODELS,
    "botapi_400": {"edit for a person", "edit in a supergroup"},
    "botapi_blocked": {"message to a person", "edit for a person"},
    "botapi_migrate": {"message to a basic group", "look at a basic group"},
    "botapi_conflict": {"getUpdates", "setWebhook"},
    "bad_signature": {"delivery", "health check", "any stream of events"},
    **dict.fromkeys(("llm_error", "llm_429", "llm_gateway", "llm_slow", "llm_max_tokens", "llm_refusal"), MODELS),
    **dict.fromkeys(("llm_hostile_text", "llm_echo", "llm_no_usage"), MODELS),
    **dict.fromkeys(("llm_cut_stream", "llm_error_event", "llm_drop_event", "llm_double_event"), STREAMS),
    **dict.fromkeys(("llm_split", "llm_keepalive"), STREAMS),
    "llm_stall": MODELS | STREAMS,
    "llm_bad_tool": {"a model's stream"},
    "llm_escalate": {"a model's stream"},
    **dict.fromkeys(("duplicate", "reorder", "redeliver", "replay_stale"), DELIVERED),
    **dict.fromkeys(("drop_field", "retype_field", "null_field", "json_patch", "encoding_damage"), DELIVERED),
}


@pytest.mark.parametrize("name", FAULTS.names())
def test_every_fault_says_where_it_is_possible_and_keeps_to_it(name: str) -> None:
    fault = build(name)
    assert {where for where, exchange in GALLERY.items() if fault.possible(exchange)} == WHERE.get(name, set(GALLERY))
    bound = name in WHERE
    assert bound == bool(type(fault).possible_when), "a fault that is bound to something says so on its page"
    assert (f"Possible {fault.possible_when}." in describe(type(fault))) == bound
    assert bound or fault.depth is not Depth.UPDATE


@pytest.mark.parametrize("name", FAULTS.names())
def test_its_rule_fires_where_it_is_possible_and_looks_at_nothing_else(name: str) -> None:
    rule = Rule("rule", build(name))
    for where, exchange in GALLERY.items():
        decisions = decide(FaultPlan((rule,)), Dice(1), exchange, Moment(), Tally())
        assert bool(decisions) == rule.fault.possible(exchange), where
    fired = [
        decide(FaultPlan((rule,)), Dice(1), exchange, Moment(), Tally())[0].fires
        for exchange in GALLERY.values()
        if rule.fault.possible(exchange)
    ]
    assert any(fired)


def test_what_is_not_possible_is_neither_counted_nor_forced() -> None:
    events: list[object] = []
    rule = Rule("moved", build("botapi_migrate"), first=1)
    engine = RuleEngine(FaultPlan((rule,)), Dice(1), events.append, lambda: 0.0)
    assert not engine.decide(GALLERY["message to a person"], ALL_SCOPES)
    assert not engine.decide(GALLERY["message to a person"], ALL_SCOPES, forced="moved")
    assert engine.decide(GALLERY["message to a basic group"], ALL_SCOPES)
    assert [(tally.considered, tally.decided) for tally in engine.tallies()] == [(1, 1)]
    assert not [event for event in events if isinstance(event, Injected)]


@pytest.mark.parametrize("form", ["json", "query", "form", "multipart"])
def test_the_chat_of_a_call_is_read_whatever_form_the_client_sends(form: str) -> None:
    moved = build("botapi_migrate")
    assert moved.possible(call("sendPhoto", BASIC_GROUP, form=form))
    assert not moved.possible(call("sendPhoto", PERSON, form=form))
    assert build("botapi_blocked").possible(call("sendPhoto", PERSON, form=form))


@pytest.mark.parametrize("chat", ["-" * 5000, "9" * 5000, "-" + "9" * 17, True, 1.5, [], "①"])
def test_no_chat_is_too_odd(chat: object) -> None:
    body = json.dumps({"chat_id": chat}).encode()
    odd = Exchange("k", Direction.OUTBOUND, path=f"{API}/sendMessage", body=body)
    for name in WHERE:
        build(name).possible(odd)


def answer(fault: Fault, exchange: Exchange) -> Answer:
    (effect,) = fault.effects(Dice(1), exchange)
    assert isinstance(effect, Answer)
    return effect


def test_a_429_says_how_long_to_wait_as_the_api_does_and_a_gateways_does_not() -> None:
    said = answer(FAULTS.build("botapi_429", {"retry_after": "7s"}), GALLERY["message to a person"])
    assert json.loads(said.body) == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 7",
        "parameters": {"retry_after": 7},
    }
    assert dict(said.headers) == {"content-type": "application/json", "retry-after": "7"}
    bare = answer(FAULTS.build("botapi_429", {"gateway": True}), GALLERY["message to a person"])
    assert bare.status == 429
    assert dict(bare.headers) == {"content-type": "text/html"}
    assert b"retry" not in bare.body.lower()


def test_a_group_always_moves_to_the_same_supergroup_and_two_never_to_one() -> None:
    fault = build("botapi_migrate")
    groups = [-5, -6, BASIC_GROUP]
    new = [
        [
            json.loads(answer(fault, call("sendMessage", chat)).body)["parameters"]["migrate_to_chat_id"]
            for chat in groups
        ]
        for _ in range(2)
    ]
    assert new[0] == new[1]
    assert len(set(new[0])) == len(groups)
    assert not any(fault.possible(call("sendMessage", chat)) for chat in new[0]), "the new chat is a supergroup"


def test_a_conflict_is_told_in_the_words_of_its_method() -> None:
    fault = build("botapi_conflict")
    assert b"other getUpdates request" in answer(fault, GALLERY["getUpdates"]).body
    assert b"other setWebhook" in answer(fault, GALLERY["setWebhook"]).body


def test_a_quota_refuses_in_the_words_of_the_api_that_is_called() -> None:
    fault = FAULTS.build("rate_limited", NEEDED.get("rate_limited", {}) | {"by": "chat"})
    (api,) = fault.effects(Dice(1), GALLERY["message to a person"])
    (other,) = fault.effects(Dice(1), GALLERY["delivery"])
    assert isinstance(api, Throttle)
    assert isinstance(other, Throttle)
    assert (api.group, b'"retry_after"' in api.body) == (str(PERSON), True)
    assert (other.group, other.body.startswith(b"Too many requests")) == ("5", True)
