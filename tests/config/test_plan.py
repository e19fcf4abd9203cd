"""Fault plans as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosbot.config.plan import parse_fault, plan_from, plan_of, plan_to_mapping, read_plan
from chaosbot.core.errors import ConfigError, UnknownName, UsageError
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import Matcher, Scope, Window

EVERYTHING = (
    "delay:250ms±50ms;p=0.3;path=/webhook/*;direction=inbound;method=POST;kind=message;command=grant;tier=guest;user=7;"
    "header.X-Foo=bar*;body.message.chat.id=5;start=10s;for=20s;every=60s;phase=fault;first=3;per=chat;cap=2;scope=update;"
    "name=slow;point=after"
)


def test_one_line_says_everything() -> None:
    rule = parse_fault(EVERYTHING)
    assert (rule.fault.time, rule.fault.jitter, rule.fault.point) == (0.25, 0.05, "after")  # type: ignore[attr-defined]
    assert rule.match == Matcher(
        Direction.INBOUND,
        "POST",
        "/webhook/*",
        (("X-Foo", "bar*"),),
        (("message.chat.id", "5"),),
        "message",
        "grant",
        "guest",
        "7",
    )
    assert rule.window == Window(10, 20, 60, "fault")
    assert (rule.name, rule.rate, rule.scope) == ("slow", 0.3, Scope.UPDATE)
    assert (rule.first, rule.per, rule.cap) == (3, "chat", 2)


def test_it_survives_the_way_there_and_back() -> None:
    plan = plan_of([parse_fault(EVERYTHING), parse_fault("abort:503;every=3")])
    assert plan_from(plan_to_mapping(plan), "here") == plan


def test_every_is_a_count_or_a_period_by_its_unit() -> None:
    assert parse_fault("abort;every=3").every == 3
    assert parse_fault("abort;every=3").window.every_s is None
    assert parse_fault("abort;every=60s;for=5s").window.every_s == 60
    both = parse_fault("abort;every=3;period=60s;for=5s")
    assert (both.every, both.window.every_s) == (3, 60)


def test_names_that_nobody_chose_are_told_apart() -> None:
    plan = plan_of([parse_fault("abort"), parse_fault("abort:500"), parse_fault("abort:502")])
    assert [rule.name for rule in plan.rules] == ["abort", "abort-2", "abort-3"]


def test_byte_faults_are_decided_once_a_connection_unless_they_ask_for_more() -> None:
    assert parse_fault("latency:10ms").scope is Scope.CONNECTION
    assert parse_fault("latency:10ms;p=0.3;direction=inbound").scope is Scope.CONNECTION
    assert parse_fault("latency:10ms;path=/x").scope is Scope.EXCHANGE
    assert parse_fault("latency:10ms;first=2").scope is Scope.EXCHANGE
    assert parse_fault("latency:10ms;scope=exchange").scope is Scope.EXCHANGE
    assert parse_fault("abort").scope is Scope.EXCHANGE


TOML = """
[[rules]]
name = "slow-webhook"
fault = "delay:250ms"
p = "30%"
path = "/webhook/*"
body = { "message.chat.id" = 5, "message.via_bot" = true }

[[rules]]
fault = "abort"
options = { status = 503, retry_after = "5s" }
start = "10s"
for = "20s"
"""

YAML = """
rules:
  - name: slow-webhook
    fault: delay:250ms
    p: 30%
    path: /webhook/*
    body: {message.chat.id: 5, message.via_bot: true}
  - fault: abort
    options: {status: 503, retry_after: 5s}
    start: 10s
    for: 20s
"""


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(TOML)
    (tmp_path / "plan.yaml").write_text(YAML)
    plan = read_plan(tmp_path / "plan.toml")
    assert plan == read_plan(tmp_path / "plan.yaml")
    assert plan.rules[0].match.body == (("message.chat.id", "5"), ("message.via_bot", "true"))
    assert plan.rules[1].fault.retry_after == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("latncy:3s", "--fault 'latncy:3s': fault", "did you mean 'latency'?"),
        ("delay:3s;probability=1", "--fault 'delay:3s;probability=1'", "unknown key 'probability'"),
        ("delay:3", "time", "needs one of"),
        ("delay", "--fault 'delay'", "delay lacks its option 'time' (how long the exchange waits)"),
        ("delay:1s;p=2", ": p", "outside 0..1"),
        ("delay:1s;every=10s;period=20s;for=1s", ": every", "keep one of the two"),
        ("delay:1s;first=2;nth=3", "--fault", "exclude each other"),
        ("delay:1s;first=0", "--fault", "at least 1"),
        ("delay:1s;first=two", ": first", "not a count"),
        ("delay:1s;for=0s", "--fault", "never opens"),
        ("delay:1s;every=10s", "--fault", "needs its length too; add for"),
        ("delay:1s;every=10s;for=20s", "--fault", "not longer than the period"),
        ("delay:1s;direction=sideways", ": direction", "Available: inbound, outbound"),
        ("delay:1s;scope=connection", "--fault", "scope connection is for byte faults"),
        ("latency:1s;scope=connection;path=/x", "--fault", "matched by direction only"),
        ("delay:1s;per=city", "--fault", "per must be chat, user or update"),
        ("delay:1s;p=1;p=1", "--fault", "given twice"),
        ("delay:1s;nonsense", "--fault", "has no value"),
        ("delay:1s;time=2s", ": time", "given twice"),
        (
            "botapi_429;direction=inbound",
            "--fault",
            "acts on the outbound direction only; set direction = outbound or leave it out",
        ),
        ("duplicate;direction=outbound", "--fault", "acts on the inbound direction only"),
        ("abort;direction=outbound;command=help", "--fault", "read from updates, which run on the inbound direction"),
        ("botapi_400;tier=guest", "--fault", "read from updates"),
        ("abort:99", "abort", "no final HTTP status"),
        ("empty_reply:1:2;point=never", "--fault", "takes"),
        ("json_patch:[]", "json_patch", "must be a list of operations"),
        ("hang_up:rst;after_bytes=10", "hang_up", "set point = after"),
        ("ws_close:1006", "ws_close", "must not be sent"),
    ],
)
def test_a_wrong_option_is_refused_with_place_and_rule(text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fault(text)
    assert where in caught.value.where
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule]]\nfault = 'abort'", "unknown key 'rule'; did you mean 'rules'?"),
        ("rules = 3", "rules: is no list"),
        ("rules = [3]", "rules[0]: is no table"),
        ("[[rules]]\nname = 'x'", "rules[0]: names no fault; write"),
        (
            "[[rules]]\nfault = 'abort'\n[[rules]]\nfault = 'abort'\npaht = '/x'",
            "rules[1]: unknown key 'paht'; did you mean 'path'?",
        ),
        ("[[rules]]\nfault = 3", "rules[0].fault: 3 is no fault"),
        (
            "[[rules]]\nfault = 'latency'\ndelay = '1s'",
            "rules[0]: 'delay' is an option of latency; write options = {delay = …}",
        ),
        ("[[rules]]\nfault = 'abort'\nname = 'a'\n[[rules]]\nfault = 'abort'\nname = 'a'", "two rules are called 'a'"),
        ("[[rules]]\nfault = 'abort'\nheaders = 'x'", "rules[0].headers: is no table"),
        ("[[rules]]\nfault = 'abort'\noptions = 'x'", "rules[0].options: is no table"),
        ("[[rules]]\nfault = 'abort'\np = true", "rules[0].p"),
        ("[[rules]]\nfault = 'abort'\np = 0.1\nrate = 0.2", "rules[0].rate: is the long name of p"),
        ("[[rules]\n", "is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "plan.ini").write_text("")
    with pytest.raises(ConfigError, match="no known kind of file"):
        read_plan(tmp_path / "plan.ini")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="is no YAML"):
        read_plan(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="holds no table"):
        read_plan(tmp_path / "list.yaml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="no UTF-8"):
        read_plan(tmp_path / "latin.toml")


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'redeliver'"):
        parse_fault("redelivr")
