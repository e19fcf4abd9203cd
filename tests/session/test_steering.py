"""Steering a run: by commands, over the live page's server, and in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.event import Steered
from chaosbot.core.plan import FaultPlan
from chaosbot.load.spec import Wish
from chaosbot.session.live import Live
from chaosbot.session.run import Run
from tests.support.browser import Browser, needs_browser


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run("load", "target", 7, tmp_path / "run")
    yield made
    made.finish("completed")


def steered(run: Run) -> list[tuple[str, Any]]:
    return [(event.what, event.value) for event in run.journal.history().all(Steered)]


def test_what_nobody_offers_cannot_be_steered(run: Run) -> None:
    for words in ({"do": "users", "value": 3}, {"do": "pause"}, {"do": "rate", "value": 3}):
        with pytest.raises(ConfigError, match="there is no load now"):
            run.steering.command(words)
    with pytest.raises(UnknownName, match="unknown rule 'slow'"):
        run.steering.command({"do": "rule", "rule": "slow", "on": False})
    with pytest.raises(UnknownName, match="unknown command 'explode'"):
        run.steering.command({"do": "explode"})
    assert steered(run) == []


@pytest.mark.parametrize("value", [0, -1, 51, float("nan"), True, "many", None])
def test_a_level_that_is_none_is_refused(run: Run, value: object) -> None:
    run.steering.offer_load("users", 50)
    with pytest.raises(ConfigError, match="users"):
        run.steering.command({"do": "users", "value": value})
    assert run.steering.wish() == Wish()


def test_each_change_is_wished_and_told(run: Run) -> None:
    run.steering.offer_load("users", 50)
    run.steering.command({"do": "users", "value": 20})
    run.steering.command({"do": "pause"})
    assert run.steering.wish() == Wish(paused=True, level=20)
    run.steering.command({"do": "resume"})
    run.steering.command({"do": "stop"})
    assert run.steering.wish() == Wish(level=20)
    assert run.should_stop()
    assert steered(run) == [("users", 20), ("pause", None), ("resume", None), ("stop", None)]
    with pytest.raises(ConfigError, match="this load goes by users"):
        run.steering.command({"do": "rate", "value": 20})


def test_rules_are_switched_by_name(run: Run) -> None:
    held: list[FaultPlan] = []
    plan = plan_of([parse_fault("latency:1ms"), parse_fault("lost_ack;p=0.2")])
    first, second = (rule.name for rule in plan.rules)
    run.steering.offer_rules(plan, held.append)
    run.steering.command({"do": "rule", "rule": first, "on": False})
    run.steering.command({"do": "rule", "rule": first, "on": True})
    assert [[rule.name for rule in one.rules] for one in held] == [[second], [first, second]]
    assert steered(run) == [("rule", f"{first} off"), ("rule", f"{first} on")]


def test_a_report_says_that_the_run_was_steered(run: Run) -> None:
    run.steering.offer_load("rate", 50)
    run.steering.command({"do": "rate", "value": 20})
    report = run.finish("completed")
    assert any("steered by hand" in reason and "rate 20" in reason for reason in report.reasons)
    told = json.loads((run.directory / "report.json").read_text())
    assert [(one["what"], one["value"]) for one in told["steered"]] == [("rate", 20)]


class TestCommandsOverHttp:
    @pytest.fixture
    def live(self, run: Run) -> Iterator[Live]:
        made = Live(web=0)
        made.follow(run, "target", 30.0)
        run.steering.offer_load("users", 50)
        yield made
        made.close(linger_s=0)

    def post(self, live: Live, body: bytes = b'{"do": "users", "value": 9}', **headers: str) -> tuple[int, str]:
        host = live.page.split("/")[2]
        connection = HTTPConnection(host, timeout=30)
        connection.request("GET", "/")
        token = re.search(r'name="token" content="([\w-]+)"', connection.getresponse().read().decode())
        assert token is not None
        usual = {"Origin": f"http://{host}", "X-Chaosbot-Token": token[1]}
        connection.request("POST", "/control", body, usual | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def test_the_page_itself_may_command(self, live: Live, run: Run) -> None:
        assert self.post(live) == (200, "done\n")
        assert run.steering.wish() == Wish(level=9)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"X_Chaosbot_Token": "guessed"},
            {"X_Chaosbot_Token": ""},
        ],
    )
    def test_no_other_site_or_page_may(self, live: Live, run: Run, headers: dict[str, str]) -> None:
        assert self.post(live, **headers)[0] == 403
        assert run.steering.wish() == Wish()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{",
            b'{"do": "users"}',
            b'{"do": "users", "value": 1e9}',
            b'{"do": "users", "value": 1e999}',
            b'{"do": "users", "value": NaN}',
            b'{"do": "users", "value": %b}' % (b"9" * 4000),
            b'{"do": ' + b"[" * 4000,
            b'{"do": {"do": []}}',
            b"\xff",
        ],
        ids=lambda body: repr(body)[:24],
    )
    def test_wrong_commands_are_told(self, live: Live, run: Run, body: bytes) -> None:
        assert self.post(live, body)[0] == 400
        assert run.steering.wish() == Wish()

    def test_after_the_end_only_the_server_can_be_ended_and_the_report_is_there(self, live: Live, run: Run) -> None:
        run.finish("completed")
        live.end()
        assert self.post(live) == (400, "the run is over\n")
        connection = HTTPConnection(live.page.split("/")[2], timeout=30)
        connection.request("GET", "/report.html")
        assert connection.getresponse().read() == (run.directory / "report.html").read_bytes()
        assert self.post(live, b'{"do": "quit"}')[0] == 200
        began = time.monotonic()
        live.stay(60)
        assert time.monotonic() - began < 30


@pytest.mark.slow
@needs_browser
def test_a_run_is_steered_in_a_real_browser(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaosbot", "run", "--web", "0", "--users", "20", "--duration", "90s"]
    with subprocess.Popen(
        [*command, "--linger", "60s", "--out", str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        page = next(found for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))[0]
        with Browser() as browser:
            browser.open(page)
            browser.until("document.querySelectorAll('#tasks tr').length > 2", 60)
            browser.until("chaosbotState.points.some(p => p.users === 20)")
            browser.js(
                "document.getElementById('level-value').value = 30; document.getElementById('level-set').click()"
            )
            browser.until("chaosbotState.points.some(p => p.users === 30)")
            browser.js("document.getElementById('pause').click()")
            browser.until("chaosbotState.points.slice(-1)[0].users === 0")
            browser.until("document.getElementById('pause').textContent === 'Resume'")
            browser.js("document.getElementById('pause').click()")
            browser.until("chaosbotState.points.slice(-1)[0].users === 30")
            browser.js("document.querySelector('#rules input').click()")
            browser.until("chaosbotState.steered.some(one => one.what === 'rule')")
            browser.js("document.getElementById('stop').click()")
            browser.until("document.querySelectorAll('#notice a').length", 60)
            assert browser.problems == []
            browser.js("document.querySelector('#notice button').click()")
        process.stdout.read()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [one["what"] for one in report["steered"]] == ["users", "pause", "resume", "rule", "stop"]
    assert report["verdict"] != "pass"
