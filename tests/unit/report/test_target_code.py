"""What `--guide` saw of the target's code, in every format."""

import io

import pytest
from rich.console import Console

from chaosbot.core.check import History
from chaosbot.core.event import UNREACHED, CodeReached, LoopBlocked, Noted, RunStarted
from chaosbot.report import Report, fold
from chaosbot.report.terminal import render_terminal
from chaosbot.reporters.html import render_html
from chaosbot.reporters.json import to_json

HELD = ("json/decoder.py:355 in raw_decode", "bot.py:9 in <b>slow</b>")


@pytest.fixture
def report() -> Report:
    events = [
        RunStarted(0.0, "fuzz", "1", 7, "t", ""),
        Noted(0.5, "coverage", "what was sent", {"cases": ["guided"]}),
        CodeReached(1.0, "start", 10, 40, 3, 20),
        CodeReached(2.0, "served", 10, 40, 3, 20),
        CodeReached(3.0, "guided", 31, 40, 15, 20),
        LoopBlocked(3.5, 0.7, HELD, "guided/4"),
        LoopBlocked(3.6, 1.9, HELD, "guided/9"),
        Noted(4.0, UNREACHED, "2 lines", {"rows": [{"file": "bot.py", "function": "over", "lines": [12, 13]}]}),
    ]
    return fold(History.of(events), checks=())


def test_the_terminal_leaves_out_stages_that_reached_nothing_more(report: Report) -> None:
    text = io.StringIO()
    render_terminal(report, Console(file=text, width=160))
    section = text.getvalue().partition("The target's code")[2]
    assert "10 of 40" in section
    assert "31 of 40" in section
    assert "15 of 20" in section
    assert "served" not in section
    assert "not reached: bot.py over: 12, 13" in section
    assert "held the event loop 2×, up to 1.9 s: bot.py:9 in <b>slow</b> (in raw_decode)" in section


def test_report_json_has_every_stage_and_names_the_case_that_held_the_loop_longest(report: Report) -> None:
    coverage = to_json(report)["coverage"]
    assert [(one["stage"], one["lines"]["done"], one["sides"]["planned"]) for one in coverage["code"]] == [
        ("start", 10, 20),
        ("served", 10, 20),
        ("guided", 31, 20),
    ]
    assert coverage["unreached"] == [{"file": "bot.py", "function": "over", "lines": (12, 13)}]
    (held,) = coverage["blocked"]
    assert (held["times"], held["longest_s"], held["case"]) == (2, 1.9, "guided/9")


def test_the_page_shows_it_and_what_the_target_names_its_functions_is_text_there(report: Report) -> None:
    page = render_html(report)
    assert "<td>31 of 40</td>" in page
    assert "Not reached" in page
    assert "<b>slow</b>" not in page
    assert "&lt;b&gt;slow" in page
