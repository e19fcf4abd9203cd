"""Old words are understood, each with a warning that names the new one."""

import warnings

import pytest

from chaosbot.config.experiment import experiment_from
from chaosbot.config.plan import parse_fault, plan_from
from chaosbot.config.renamed import RenamedWarning
from chaosbot.core.errors import ConfigError
from chaosbot.testing import ChaosProxy


@pytest.mark.parametrize(("old", "new"), [("latency:1s;lane=inbound", "latency:1s;direction=inbound")])
def test_a_rules_lane_is_its_direction(old: str, new: str) -> None:
    with pytest.warns(RenamedWarning, match="'lane' is now 'direction'"):
        assert parse_fault(old) == parse_fault(new)


@pytest.mark.parametrize("word", ["up", "down", "both"])
def test_a_byte_faults_direction_is_its_stream(word: str) -> None:
    with pytest.warns(RenamedWarning, match=f"'direction={word}' is now 'stream={word}'"):
        assert parse_fault(f"latency:1s;direction={word}") == parse_fault(f"latency:1s;stream={word}")


def test_plan_files_know_the_old_words() -> None:
    old = {"rules": [{"fault": "latency:1s", "lane": "inbound", "options": {"direction": "up"}}]}
    new = {"rules": [{"fault": "latency:1s", "direction": "inbound", "options": {"stream": "up"}}]}
    with pytest.warns(RenamedWarning) as told:
        assert plan_from(old, "plan.toml") == plan_from(new, "plan.toml")
    assert [str(warning.message).split(";")[0] for warning in told] == [
        "plan.toml: rules[0]: 'lane' is now 'direction'",
        "plan.toml: rules[0].options: 'direction' is now 'stream'",
    ]


def test_experiment_files_know_the_old_words() -> None:
    old = {"dialect": "telegram", "dialect_options": {"admin_id": 5}, "outbound": "stand-in"}
    new = {"platform": "telegram", "platform_options": {"admin_id": 5}, "outbound": "mock"}
    with pytest.warns(RenamedWarning) as told:
        assert experiment_from(old, "x.toml") == experiment_from(new, "x.toml")
    assert len(told) == 3


def test_old_and_new_word_together_are_an_error() -> None:
    with pytest.raises(ConfigError, match="'lane' is the old name of 'direction'; keep 'direction' only"):
        plan_from({"rules": [{"fault": "latency:1s", "lane": "inbound", "direction": "inbound"}]}, "plan.toml")


def test_the_proxy_of_tests_knows_the_old_parameter_and_no_other() -> None:
    with pytest.warns(RenamedWarning) as told:
        ChaosProxy("stand-in:", dialect="telegram")
    assert [str(warning.message).split(";")[0] for warning in told] == [
        "ChaosProxy: 'dialect' is now 'platform'",
        "ChaosProxy: 'stand-in:' is now 'mock:'",
    ]
    with pytest.raises(TypeError, match="no parameter language"):
        ChaosProxy("http://127.0.0.1:1", language="telegram")


def test_the_new_words_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_fault("latency:1s;direction=inbound;stream=up")
        experiment_from({"platform": "telegram", "outbound": "mock"}, "x.toml")
