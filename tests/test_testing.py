"""Faults by name, as tests write them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chaosbot.testing
from chaosbot.core.errors import ConfigError, EngineError, UnknownName
from chaosbot.core.fault import FAULTS
from chaosbot.core.plan import Scope
from chaosbot.testing import ChaosProxy, abort, fault, latency, rule_of


def test_every_fault_of_the_registry_is_a_name_of_the_module() -> None:
    for name in FAULTS:
        assert callable(getattr(chaosbot.testing, name))
        assert name in dir(chaosbot.testing)


def test_values_are_written_as_people_write_them() -> None:
    assert latency("200ms±50ms") == latency("200ms", jitter="50ms") == fault("latency", delay="200ms", jitter="50ms")
    assert abort(503).status == abort("503").status == 503


def test_a_name_that_is_no_fault_is_no_attribute() -> None:
    with pytest.raises(AttributeError):
        _ = chaosbot.testing.latncy
    with pytest.raises(UnknownName, match="did you mean 'latency'"):
        fault("latncy")


@pytest.mark.parametrize(
    ("values", "options", "why"),
    [
        (("200",), {}, "has no unit"),
        (("200ms", "50ms", "3"), {}, "more than it takes"),
        (("200ms",), {"jiter": "5ms"}, "did you mean 'jitter'"),
    ],
)
def test_wrong_values_are_refused(values: tuple[str, ...], options: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        latency(*values, **options)


def test_conditions_are_those_of_a_plan_file() -> None:
    rule = rule_of(latency("200ms"), "slow", rate=0.5, path="/webhook/*", headers={"x-a": "1"})
    assert (rule.name, rule.rate, rule.match.path, rule.scope) == ("slow", 0.5, "/webhook/*", Scope.EXCHANGE)
    assert rule.fault == latency("200ms")
    assert rule_of("abort:503;p=0.2", "x").rate == 0.2
    assert rule_of("abort:503", "x", rate="30%").rate == 0.3
    with pytest.raises(ConfigError, match="conditions of its own"):
        rule_of("abort:503;p=0.2", "x", path="/")


def test_a_proxy_that_does_not_run_says_so() -> None:
    proxy = ChaosProxy("http://127.0.0.1:1")
    with pytest.raises(EngineError, match="not running; enter it by `with`"):
        _ = proxy.url
    proxy.stop()


def test_importing_it_starts_no_engine() -> None:
    code = (
        "import sys, chaosbot.testing; "
        "heavy = {'mitmproxy', 'hypothesis', 'trio', 'httpx', 'ruamel'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
