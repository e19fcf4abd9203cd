"""What every fault of the registry keeps to, whoever wrote it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import pickle
from typing import Any, get_args

import pytest

from chaosbot.addons.effects import needs_answer
from chaosbot.config.plan import TARGETING, parse_fault, plan_from, plan_to_mapping
from chaosbot.core.dice import Dice
from chaosbot.core.effect import BytesEffect, DisturbMessages, Effect, ExchangeEffect, SendH2Frame, UpdateEffect
from chaosbot.core.exchange import Depth, Direction, Exchange, UpdateFacts
from chaosbot.core.fault import FAULTS, Fault
from chaosbot.core.plan import FaultPlan
from chaosbot.core.registry import describe, options_of

NAMES = FAULTS.names()

# Options without a default, so that every fault can be built.
NEEDED: dict[str, dict[str, Any]] = {
    "bandwidth": {"rate": "10kB"},
    "delay": {"time": "10ms"},
    "header_edit": {"header": "x-any", "value": "1"},
    "json_patch": {"patch": [{"op": "add", "path": "/extra", "value": 1}]},
    "latency": {"delay": "10ms"},
    "limit_data": {"limit": "100b"},
    "slicer": {"size": "10b"},
    "slow_close": {"delay": "10ms"},
}

BODY = json.dumps(
    {"update_id": 1, "message": {"chat": {"id": 5}, "text": "hello 🦀", "entities": [{"type": "bold"}]}}
).encode()
HEADERS = (("content-type", "application/json"), ("x-telegram-bot-api-secret-token", "aSecret"))


def build(name: str) -> Fault:
    return FAULTS.build(name, NEEDED.get(name, {}))


def exchange(direction: Direction = Direction.INBOUND, key: str = "k") -> Exchange:
    facts = UpdateFacts(1, "message", 5, 5, "guest") if direction is Direction.INBOUND else None
    return Exchange(key, direction, 1, "POST", "/webhook/telegram", "", HEADERS, BODY, facts)


def model_call() -> Exchange:
    """A streaming call of a language model with instructions and a tool of an admin's."""
    schema = {"type": "object", "properties": {"user_id": {"type": "integer"}, "role": {"type": "string"}}}
    asked = {
        "model": "gpt-5-mini",
        "stream": True,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "tools": [{"type": "function", "function": {"name": "grant", "parameters": schema}}],
    }
    body = json.dumps(asked).encode()
    return Exchange("k", Direction.OUTBOUND, 1, "POST", "/v1/chat/completions", "", HEADERS, body)


def some_effects(fault: Fault, seed: int = 1) -> tuple[Effect, ...]:
    place = Dice(seed).at("here")
    return (
        fault.effects(place, exchange())
        or fault.effects(place, exchange(Direction.OUTBOUND))
        or fault.effects(place, model_call())
    )


def test_the_registry_holds_every_fault_that_is_promised() -> None:
    promised = """latency bandwidth slicer slow_close timeout reset_peer limit_data corrupt refuse
        delay abort truncate_response truncate_request huge_body empty_reply malformed_chunk garbage wrong_content_length
        duplicate_content_length missing_content_length gzip_lie header_edit header_corrupt dribble lost_ack ack_and_drop hang_up
        rate_limited slow_request stale_keepalive duplicate reorder redeliver replay_stale drop_field retype_field null_field
        json_patch encoding_damage bad_signature api_error botapi_429 botapi_400 botapi_blocked botapi_migrate botapi_conflict
        botapi_5xx_html llm_error llm_429 llm_gateway llm_cut_stream llm_stall llm_slow llm_error_event llm_drop_event llm_double_event
        llm_split llm_keepalive llm_max_tokens llm_refusal llm_bad_tool llm_escalate llm_hostile_text llm_echo llm_no_usage ws_delay ws_drop ws_duplicate ws_corrupt ws_close ws_half_frame h2_goaway h2_rst_stream"""
    assert set(promised.split()) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_frozen_value_that_travels_to_a_worker(name: str) -> None:
    fault = build(name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fault.anything = 1  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(fault)) == fault
    assert fault == build(name)


@pytest.mark.parametrize("name", NAMES)
def test_its_page_says_when_it_holds_a_streamed_answer(name: str) -> None:
    choices = [
        {},
        *({"point": "after"} for _ in [0] if name == "abort"),
        *({"status": 500} for _ in [0] if name == "lost_ack"),
    ]
    faults = [FAULTS.build(name, NEEDED.get(name, {}) | chosen) for chosen in choices]
    holds = any(needs_answer(effect) for fault in faults for effect in some_effects(fault))
    page = " ".join(describe(FAULTS.get(name)).split())
    assert ("streams is held until it has ended" in page) is holds


@pytest.mark.parametrize("name", NAMES)
def test_its_page_says_what_happens_and_what_a_peer_experiences(name: str) -> None:
    page = describe(FAULTS.get(name))
    first, _, rest = page.partition("\n\n")
    assert first.rstrip().endswith((".", "…")), first
    assert len(rest) > 120, "the page needs a second paragraph: what the bot or the sender experiences"


@pytest.mark.parametrize("name", NAMES)
def test_each_option_has_a_unit_and_a_line_of_help(name: str) -> None:
    entry = FAULTS.get(name)
    for field in dataclasses.fields(entry):  # type: ignore[arg-type]  # faults are dataclasses
        assert "kind" in field.metadata, f"{field.name} is declared without option(...)"
        assert len(field.metadata["help"]) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_no_option_hides_a_word_of_the_fault_syntax(name: str) -> None:
    assert not {field.name for field in options_of(FAULTS.get(name))} & TARGETING


@pytest.mark.parametrize("name", NAMES)
def test_its_effects_are_pure_and_repeatable(name: str) -> None:
    fault = build(name)
    assert some_effects(fault)
    assert some_effects(fault) == some_effects(fault) == some_effects(pickle.loads(pickle.dumps(fault)))


@pytest.mark.parametrize("name", NAMES)
def test_its_effects_are_of_its_depth(name: str) -> None:
    fault = build(name)
    allowed: dict[Depth, tuple[Any, ...]] = {
        Depth.BYTES: get_args(BytesEffect),
        Depth.EXCHANGE: (*get_args(ExchangeEffect), DisturbMessages, SendH2Frame),
        Depth.UPDATE: (*get_args(UpdateEffect), *get_args(ExchangeEffect)),
    }
    for effect in some_effects(fault):
        assert isinstance(effect, allowed[fault.depth])


@pytest.mark.parametrize("name", NAMES)
def test_no_body_is_too_odd_for_it(name: str) -> None:
    fault = build(name)
    for body in (b"", b"null", b"[]", b"{}", b"\xff\xfe", b"{" * 3000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b'"x"'):
        for direction in Direction:
            effects = fault.effects(Dice(1), Exchange("k", direction, body=body))
            assert isinstance(effects, tuple)


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_the_way_through_a_plan(name: str) -> None:
    given = {"rules": [{"fault": name, "options": NEEDED.get(name, {})}]}
    plan = plan_from(given, "here")
    assert plan.rules[0].fault == build(name)
    assert plan_from(plan_to_mapping(plan), "here") == plan


@pytest.mark.parametrize("name", NAMES)
def test_it_touches_neither_clock_nor_socket(name: str) -> None:
    source = inspect.getsource(inspect.getmodule(FAULTS.get(name)))  # type: ignore[arg-type]
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
    }
    assert not imported & {"time", "datetime", "random", "socket", "asyncio", "os", "secrets"}


def test_nothing_is_drawn_from_anything_but_the_dice() -> None:
    fault = build("garbage")
    texts = {some_effects(fault, seed) for seed in range(20)}
    assert len(texts) == 20


def test_a_plan_of_all_faults_is_a_plan() -> None:
    rules = tuple(
        parse_fault(
            name
            + "".join(
                f";{key}={json.dumps(value) if isinstance(value, list) else value}"
                for key, value in NEEDED.get(name, {}).items()
            )
        )
        for name in NAMES
    )
    assert plan_from(plan_to_mapping(FaultPlan(rules)), "here").rules == rules
