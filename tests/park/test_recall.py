"""bench/recall.py counts as it says, ends what hangs, and runs in a short form on one bot."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from .roster import BOTS, FORGED, Bot

SCRIPT = Path(__file__).parents[2] / "bench" / "recall.py"


@pytest.fixture(scope="module")
def recall() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recall", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["recall"] = module
    spec.loader.exec_module(module)
    return module


def finding(identity: str, check: str) -> dict[str, str]:
    return {"id": identity, "check": check, "severity": "high", "threat": "forger", "title": "a title"}


def test_a_bug_is_found_by_its_own_mechanism_and_not_by_what_the_healthy_bot_has_too(
    recall: ModuleType, tmp_path: Path
) -> None:
    results = recall.Results(tmp_path / "r.json")
    forged, other = finding("a-1", "forged_refused"), finding("b-1", "no_hang")
    results.add(recall.Campaign("hava", "healthy", "fuzz", 1, "pass", findings=[]))
    results.add(recall.Campaign("hava", "secret-optional", "fuzz", 1, "fail", findings=[forged]))
    results.add(recall.Campaign("hava", "secret-any-case", "fuzz", 1, "fail", findings=[other]))
    found = recall.table(results)
    assert "| authentication |    1 of 2     50.0 % |" in found
    assert "- hava/secret-any-case" in found
    assert "no_hang" in found
    results.add(recall.Campaign("hava", "healthy", "fuzz", 1, "fail", findings=[forged]))
    again = recall.table(recall.Results(tmp_path / "r.json"))
    assert "| authentication |    0 of 2      0.0 % |" in again
    assert "hava, fuzz seed 1: forged_refused (high): a title" in again


def test_a_weakness_that_the_record_admits_is_no_false_finding(recall: ModuleType) -> None:
    regole: Bot = next(one for one in BOTS if one.name == "regole")
    campaign = recall.Campaign(
        "regole", "healthy", "fuzz", 1, "fail", findings=[finding("x", "pre_auth_cost"), finding("y", "no_leak")]
    )
    assert [one["check"] for one in recall.false_findings(regole, [campaign])] == ["no_leak"]


def test_healthy_bots_come_first_and_bots_take_turns(recall: ModuleType) -> None:
    names = [("a", "x"), ("a", "y"), ("a", "healthy"), ("b", "z"), ("b", "healthy")]
    turns = recall.in_turns(recall.Campaign(bot, bug, "fuzz", 1) for bot, bug in names)
    assert [(one.bot, one.bug) for one in turns] == [
        ("a", "healthy"),
        ("b", "healthy"),
        ("a", "x"),
        ("b", "z"),
        ("a", "y"),
    ]


@pytest.mark.parametrize("session", [False, True])
def test_a_campaign_that_hangs_is_ended_with_its_children(recall: ModuleType, tmp_path: Path, session: bool) -> None:
    started = f"subprocess.Popen(['sleep', '600'], start_new_session={session})"
    code = f"import subprocess, time; p = {started}; print(p.pid, flush=True); time.sleep(600)"
    log = tmp_path / "log"
    assert recall.ended([sys.executable, "-c", code], 2.0, log) is None
    child = int(log.read_text("utf-8"))
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{child}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child lives on")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_short_form_finds_an_open_door_and_nothing_at_a_closed_one(tmp_path: Path) -> None:
    out = tmp_path / "recall.json"
    arguments = ["--bots", "laden", "--bugs", "healthy,empty-secret-passes", "--duration", "15s", "--out", str(out)]
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=220, check=False
    )
    assert ran.returncode == 0, ran.stderr
    campaigns = {one["bug"]: one for one in json.loads(out.read_text("utf-8"))}
    assert campaigns["healthy"]["findings"] == []
    assert {one["check"] for one in campaigns["empty-secret-passes"]["findings"]} & FORGED
    assert "| authentication |    1 of 1    100.0 % |" in ran.stdout
