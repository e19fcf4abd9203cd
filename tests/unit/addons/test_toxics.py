"""Toxics as rules: units, defaults and figures that mean nothing."""

from __future__ import annotations

import pytest

from chaosbot.control.proxies import is_loopback, split_address
from chaosbot.control.toxics import ATTRIBUTES, ApiError, Toxic
from chaosbot.core.plan import Scope
from chaosbot.faults.bandwidth import Bandwidth
from chaosbot.faults.latency import Latency
from chaosbot.faults.limit_data import LimitData
from chaosbot.faults.reset_peer import ResetPeer
from chaosbot.faults.slicer import Slicer
from chaosbot.faults.slow_close import SlowClose
from chaosbot.faults.timeout import Timeout


def fault_of(kind, stream="downstream", **attributes):
    rule = Toxic.read({"type": kind, "stream": stream, "attributes": attributes}).rule("bot")
    return None if rule is None else rule.fault


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (fault_of("latency", latency=250, jitter=50), Latency(0.25, 0.05, stream="down")),
        (fault_of("latency", "upstream", latency=1), Latency(0.001, 0.0, stream="up")),
        (fault_of("bandwidth", rate=5), Bandwidth(5000)),
        (fault_of("slow_close", delay=1500), SlowClose(1.5)),
        (fault_of("timeout", timeout=100), Timeout(0.1)),
        (fault_of("timeout", timeout=0), Timeout(None)),
        (fault_of("reset_peer", timeout=20), ResetPeer("after", delay=0.02)),
        (fault_of("reset_peer", "upstream"), ResetPeer("before")),
        (fault_of("slicer", average_size=64, size_variation=32, delay=10), Slicer(64, 32, 1e-5)),
        (fault_of("limit_data", bytes=1000), LimitData(1000)),
        (fault_of("noop"), None),
    ],
)
def test_each_type_becomes_the_byte_fault_in_its_units(fault, expected):
    assert fault == expected


@pytest.mark.parametrize("kind", sorted(ATTRIBUTES))
@pytest.mark.parametrize("value", [0, -1, -(1 << 63), (1 << 63) - 1])
def test_any_figures_that_fit_make_a_fault_that_can_act(kind, value):
    toxic = Toxic.read({"type": kind, "attributes": dict.fromkeys(ATTRIBUTES[kind], value)})
    toxic.rule("bot")
    assert dict(toxic.as_json()["attributes"]) == dict.fromkeys(ATTRIBUTES[kind], value), "echoed as sent"


def test_a_line_of_rate_zero_holds_everything():
    fault = fault_of("bandwidth", rate=0)
    assert isinstance(fault, Latency)
    assert fault.delay > 1e8


@pytest.mark.parametrize(("toxicity", "rate"), [(0, 0.0), (0.25, 0.25), (1, 1.0), (7, 1.0), (-1, 0.0)])
def test_toxicity_is_the_rate_of_a_rule_per_connection(toxicity, rate):
    rule = Toxic.read({"type": "timeout", "name": "hole", "toxicity": toxicity}).rule("bot")
    assert (rule.name, rule.rate, rule.scope) == ("bot/hole", rate, Scope.CONNECTION)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "noop", "toxicity": float("nan")},
        {"type": "noop", "toxicity": float("inf")},
        {"type": "noop", "toxicity": 10**400},
        {"type": "noop", "toxicity": True},
        {"type": "noop", "name": "\ud800"},
        {"type": 5},
        [],
        "latency",
    ],
)
def test_values_that_no_json_can_carry_back_are_refused(body):
    with pytest.raises(ApiError):
        Toxic.read(body)


def test_merging_leaves_the_toxic_as_it_was_when_a_value_is_wrong():
    toxic = Toxic.read({"type": "latency", "attributes": {"latency": 5}})
    with pytest.raises(ApiError):
        toxic.merged({"attributes": {"latency": 6, "jitter": "7"}})
    with pytest.raises(ApiError):
        toxic.merged({"toxicity": "much"})
    assert toxic.merged({}) == toxic
    assert toxic.merged({"attributes": {"jitter": 7}, "toxicity": None}).attributes == (("latency", 5), ("jitter", 7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:80", ("localhost", 80)),
        ("[::1]:80", ("::1", 80)),
        (":80", ("", 80)),
        ("", ("", 0)),
        ("nowhere", ("nowhere", 0)),
        ("host:http", ("host", 0)),
        ("host:70000", ("host", 0)),
    ],
)
def test_addresses_are_split_without_an_error(text, expected):
    assert split_address(text) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("x.org", False),
    ],
)
def test_only_this_machine_is_loopback(host, expected):
    assert is_loopback(host) is expected
