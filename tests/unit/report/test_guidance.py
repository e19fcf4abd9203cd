"""Findings that help: each check has a page with why it matters and how to fix it, and every format leads there."""

import json
import re
from dataclasses import replace

import pytest

from chaosbot.core.check import CHECKS
from chaosbot.report import fold, guidance
from chaosbot.report.compare import compare, render_comparison
from chaosbot.reporters.html import render_comparison_page, render_html
from chaosbot.reporters.sarif import render_sarif

OF_PLATFORMS = {
    *("answer_understood", "deadline_kept", "batch_survives", "kind_as_signed", "privilege_not_claimed"),
    *("replay_recognised", "secrets_rotated", "tenants_apart", "urls_not_fetched"),
}
FRAMEWORKS = ("aiogram", "python-telegram-bot", "grammY", "FastAPI", "Express")


@pytest.mark.parametrize("check", CHECKS.names())
def test_every_check_has_a_page_that_says_why_and_how(check):
    page = guidance.guidance(check)
    assert "## Why it matters\n" in page, f"write chaosbot/checks/pages/{check}.md; another check's page shows how"
    why, _, how = page.partition("## Why it matters\n")[2].partition("## How to fix it\n")
    assert len(why.split()) > 15
    named = re.findall(r"^- \*\*(.+?)\*\*: \S", how, re.MULTILINE)
    # What a model's SDK or a platform's library does is mended there, whatever the bot's framework.
    if check in OF_PLATFORMS:
        assert named
        assert len(re.findall(r"^- \S", how, re.MULTILINE)) >= 3
    elif check.startswith("llm_"):
        assert len(named) >= 3
    else:
        assert named == list(FRAMEWORKS)


def test_each_finding_leads_to_its_checks_page(story, make_finding):
    told = story().load(60).judged("no_hang", make_finding()).judged("no_leak", make_finding(check="no_leak"))
    report = fold(told.history(), checks=())
    page = render_html(report)
    for check in {finding.check for finding in report.findings}:
        assert f'href="#check-{check}"' in page
        assert f'id="check-{check}"' in page
    assert "a regular expression that backtracks" in re.sub("<.*?>", "", page) or "backtracks" in page
    (rules,) = (run["tool"]["driver"]["rules"] for run in json.loads(render_sarif(report))["runs"])
    assert all("## How to fix it" in rule["help"]["markdown"] for rule in rules)


def test_a_rule_names_its_page_on_the_site_where_the_package_says_where_that_is(monkeypatch):
    class Metadata:
        def get_all(self, _name):
            return ["Documentation, https://docs.example/chaosbot/"]

    monkeypatch.setattr(guidance, "metadata", lambda _name: Metadata())
    guidance.page_address.cache_clear()
    assert guidance.page_address("no_leak") == "https://docs.example/chaosbot/checks/no_leak/"
    guidance.page_address.cache_clear()


def test_a_check_of_nobody_has_no_page():
    assert guidance.guidance("nobodys_check") == ""


def test_two_runs_of_different_kinds_are_told_apart_on_a_page_too(story):
    alike = compare(*(fold(story(verb="load").load(30).history(), checks=()) for _ in range(2)))
    assert "different kinds" not in render_comparison(alike)
    unlike = compare(*(fold(story(verb=verb).load(30).history(), checks=()) for verb in ("load", "run")))
    text = render_comparison(unlike)
    assert "different kinds: verb load and run" in text
    long = [replace(unlike.before, settings={"platform": f"json_webhook:{kind * 500}"}) for kind in "ab"]
    assert len(compare(*long).unlike) < 200
    page = render_comparison_page(text)
    assert "<strong>These runs are of different kinds" in page
    assert "<table>" in page
    assert "<script" not in page
