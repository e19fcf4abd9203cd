"""Words of older versions and of other load tools on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosbot.cli._aliases import copies, understood
from chaosbot.core.errors import ConfigError


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_options_become_the_new_ones_and_what_follows_two_dashes_stays() -> None:
    assert understood(["fuzz", "--dialect", "telegram", "--dialect-option=admin_id=5", "--", "--dialect"]) == [
        "fuzz",
        "--platform",
        "telegram",
        "--platform-option=admin_id=5",
        "--",
        "--dialect",
    ]
    assert understood(["load", "--host", "http://127.0.0.1:1", "--run-time=5m"]) == [
        "load",
        "--duration=5m",
        "http://127.0.0.1:1",
    ]
    assert understood(["proxy", "--host", "x"]) == ["proxy", "--host", "x"]


def test_report_files_are_looked_at_before_the_start(tmp_path: Path) -> None:
    understood(["load", "--html", str(tmp_path / "page"), f"--report={tmp_path / 'r.json'}"])
    assert copies.get() == (tmp_path / "page.html", tmp_path / "r.json")
    for words in (
        ["--report", "r.pdf"],
        ["--report", str(tmp_path / "absent" / "r.html")],
        ["--html"],
        ["--report", "x" * 400],
    ):
        with pytest.raises(ConfigError):
            understood(["load", *words])


def test_a_report_is_copied_to_the_file_that_was_named(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    run = chaosbot(
        "load",
        "--duration",
        "1s",
        "--users",
        "1",
        "--report",
        "mine.json",
        "--html",
        "mine.html",
        "--dialect",
        "telegram",
        "-q",
    )
    assert run.code in (0, 3), run.err  # what a second of load comes to is not the question here
    assert "warning: '--dialect' is now '--platform'" in run.err
    assert json.loads((tmp_path / "mine.json").read_text())["schema"] == "chaosbot.report/1"
    assert "<html" in (tmp_path / "mine.html").read_text()


def test_an_experiment_takes_as_long_as_it_is_told(chaosbot: Callable[..., Any]) -> None:
    run = chaosbot("run", "--run-time", "50s", "--dry-run", "--outbound", "stand-in")
    assert run.code == 0, run.err
    assert "50s in all" in run.out
    assert "--outbound: 'stand-in' is now 'mock'" in run.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--profile", "ramp_up", "--duration", "3m"), "load ramp_up"),
        (("--profile", "smoke", "--spawn-rate", "3/s"), "spawn_rate 3/s"),
        (("--users", "20"), "sustained 20 users"),
        (("--rate", "100/s"), "steady 100/s"),
        (("--mode", "chaos"), "huge-answers"),
        (("--mode", "full", "--slo", "p95{/grant}<1s", "--abort-on", "p99 > 3s for 5s"), "1000/s"),
        (
            ("--class", "guest=80,admin=1", "--mix", "chat=3,complex=1", "--wait", "2s..4s", "--max-in-flight", "9"),
            "resilience",
        ),
    ],
)
def test_run_takes_the_options_of_load(chaosbot: Callable[..., Any], arguments: tuple[str, ...], shown: str) -> None:
    run = chaosbot("run", "--dry-run", *arguments)
    assert run.code == 0, run.err
    assert shown in " ".join(run.out.split())
