"""Options that need not be typed: files of the project and the environment, in the documented order."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosbot.config.settings import find_settings
from chaosbot.core.errors import ConfigError

VERBS = ("load", "run", "fuzz")


def test_the_nearest_file_upwards_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_settings(inner, VERBS).verbs == {}
    (tmp_path / "pyproject.toml").write_text("[tool.chaosbot.load]\nusers = 1\n")
    assert find_settings(inner, VERBS).verbs == {"load": {"users": 1}}
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert find_settings(inner, VERBS).verbs == {"load": {"users": 1}}
    (tmp_path / "a" / "chaosbot.toml").write_text("[load]\nspawn-rate = '5/s'\n[fuzz]\nduration = '9s'\n")
    found = find_settings(inner, VERBS)
    assert found.verbs == {"load": {"spawn_rate": "5/s"}, "fuzz": {"duration": "9s"}}
    assert found.where == str(tmp_path / "a" / "chaosbot.toml")


def test_an_experiment_of_that_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "chaosbot.toml").write_text("name = 'x'\nfuzz = '3s'\n[[rules]]\nfault = 'abort'\n")
    assert find_settings(tmp_path, VERBS).verbs == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[laod]\nusers = 1", "unknown verb 'laod'; did you mean 'load'"),
        ("load = 3", "load: is no table"),
        ("[load\n", "is no TOML"),
    ],
)
def test_what_is_no_setting_is_an_error(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "chaosbot.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        find_settings(tmp_path, VERBS)


def test_command_line_then_environment_then_file_then_default(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    def total(*words: str, **environment: str) -> str:
        done = chaosbot("run", "--dry-run", *words, **environment)
        assert done.code == 0, done.err
        return next(line for line in done.out.splitlines() if "in all" in line)

    usual = total()
    (tmp_path / "chaosbot.toml").write_text("[run]\nduration = '111s'\nfault = ['latency:1ms', 'abort;p=0.1']\n")
    assert "1m 51s in all" in total()
    assert "1m 51s in all" not in usual
    assert "2m 2s in all" in total(CHAOSBOT_RUN_DURATION="122s")
    assert "2m 13s in all" in total("--duration", "133s", CHAOSBOT_RUN_DURATION="122s")
    shown = chaosbot("config", CHAOSBOT_LOAD_USERS="50")
    assert shown.code == 0, shown.err
    assert "load users = 50  (CHAOSBOT_LOAD_USERS)" in shown.out
    assert f"run duration = '111s'  ({tmp_path / 'chaosbot.toml'})" in shown.out
    assert "run fault = ['latency:1ms', 'abort;p=0.1']" in shown.out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[load]\nplatform_option = 3\n", "--platform-option 3: has no value"),
        ("[load]\nslo = nan\n", "load.slo: nan is no value of an option"),
        ("[load]\nslo = [['p99<2s']]\n", r"load.slo\[0\]: a list is no value of an option"),
        ("[load]\nusers = inf\n", "load.users: inf is no value"),
        ("[load]\ntraceparent = 1.5\n", "--traceparent"),
        ("[load]\nduration = 2020-01-01\n", "load.duration: .* is no value"),
    ],
)
def test_a_value_that_is_no_options_is_one_line(
    chaosbot: Callable[..., Any], tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "chaosbot.toml").write_text(text)
    done = chaosbot("load", "http://127.0.0.1:9/")
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1
    assert re.search(says, done.err), done.err


def test_true_is_a_flags_value_and_no_files_name(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "chaosbot.toml").write_text("[run]\ndry_run = true\n")
    done = chaosbot("run")
    assert done.code == 0, done.err
    assert "in all" in done.out
    (tmp_path / "chaosbot.toml").write_text("[load]\nca = true\n")
    done = chaosbot("load", "http://127.0.0.1:9/")
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1


def test_an_option_that_may_be_repeated_may_be_said_once(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "chaosbot.toml").write_text("[run]\nfault = 'latency:1ms'\n")
    done = chaosbot("run", "--dry-run")
    assert done.code == 0, done.err
    assert "latency" in done.out


def test_a_key_that_is_no_option_is_an_error(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "chaosbot.toml").write_text("[profiles]\ncolour = 'red'\n")
    done = chaosbot("profiles")
    assert done.code == 2
    assert f"{tmp_path / 'chaosbot.toml'}: profiles.colour: unknown option 'colour'" in done.err


def test_a_value_that_an_option_refuses_is_one_line(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "chaosbot.toml").write_text("[load]\nusers = 'many'\n")
    done = chaosbot("load")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "--users" in done.err
