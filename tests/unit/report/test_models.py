"""What the report says of calls of language models: costs per update and per fault, amplification, and when answers are seen."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import pytest
from rich.console import Console

from chaosbot.core.check import History
from chaosbot.core.event import Event, ExchangeSeen, RunStarted
from chaosbot.report import Report, fold
from chaosbot.report.figures import dollars
from chaosbot.report.terminal import render_terminal
from chaosbot.report.values import ModelRow
from chaosbot.reporters.html import render_html
from chaosbot.reporters.json import to_json
from chaosbot.reporters.markdown import render_markdown
from tests.checks.models import Talk, fine, talks

OVERLOADED = {"status": 529, "seconds": 0.1}


def reported(events: Sequence[Event], **settings: object) -> Report:
    start = RunStarted(0.0, "run", "1", 7, "t", "", settings=dict(settings))
    return fold(History.of([start, *events]), checks=())


def row(report: Report, name: str) -> ModelRow:
    assert report.models is not None
    return next(one for one in report.models.rows if one.name == name)


def retried() -> Talk:
    talk = Talk(2, t=5.0).asked()
    for attempt in (1, 2):
        talk.model("llm_error", at=float(attempt), attempt=attempt, **OVERLOADED)
    return talk.model(at=3.0, seconds=0.5).told(at=4.0)


def test_retries_count_to_the_fault_that_caused_them() -> None:
    report = reported(talks(fine(), retried()))
    calm, harmed, total = (row(report, name) for name in ("no fault", "llm_error", "all"))
    assert (calm.updates, calm.calls, calm.failed) == (1, 1, 0)
    assert (harmed.updates, harmed.calls, harmed.failed) == (1, 3, 2)
    assert (total.updates, total.calls, total.calls_per_update) == (2, 4, 2.0)
    assert report.models is not None
    assert report.models.amplification(harmed) == 3.0


def test_costs_are_those_of_the_run_s_own_prices_and_refusals_cost_nothing() -> None:
    usual = row(reported(talks(fine(), retried())), "all")
    assert usual.cost == pytest.approx(2 * (20 * 1.0 + 20 * 5.0) / 1e6)
    own = reported(talks(fine(), retried()), prices={"claude-haiku-4-5": [10, 0]})
    assert row(own, "all").cost == pytest.approx(2 * 20 * 10 / 1e6)
    assert row(own, "all").cost_per_update == pytest.approx(20 * 10 / 1e6)
    assert own.models is not None
    assert own.models.prices == {"claude-haiku-4-5": (10.0, 0.0)}


def test_a_stream_s_first_token_comes_before_its_end_and_the_user_sees_the_answer_later() -> None:
    talk = Talk().asked().model(seconds=4.0, stream=True)
    seen = talk.events[-1]
    assert isinstance(seen, ExchangeSeen)
    talk.events[-1] = msgspec.structs.replace(seen, began_s=0.5)
    total = row(reported(talks(talk.told("One moment.", at=0.2).told(at=4.5))), "all")
    assert total.first_token.p50 == pytest.approx(0.5, rel=0.01)
    assert total.first_sight.p50 == pytest.approx(4.5, rel=0.01)


def test_calls_of_no_update_are_shown_apart() -> None:
    report = reported(talks(fine(), Talk(2).model(markers=())))
    lone = row(report, "of no update")
    assert (lone.updates, lone.calls, lone.calls_per_update) == (0, 1, None)
    assert row(report, "all").calls == 2


def test_without_calls_there_is_no_such_part() -> None:
    report = reported(talks(Talk().asked().told("hello")))
    assert report.models is None
    assert "models" not in to_json(report)
    assert "Language models" not in render_html(report)


def test_every_format_shows_them() -> None:
    report = reported(talks(fine(), retried()))
    section = to_json(report)["models"]
    assert [one["name"] for one in section["rows"]] == ["all", "no fault", "llm_error"]
    assert section["rows"][2]["amplification"] == 3
    assert section["rows"][0]["cost_per_update_usd"] == pytest.approx(0.00012)
    assert section["prices_usd"] == {"claude-haiku-4-5": [1, 5]}
    assert "**Models, llm\\_error** 3 calls for 1 update; 2 failed" in render_markdown(report)
    page = render_html(report)
    assert 'id="models"' in page
    assert '<td class="n">3×</td>' in page
    text = io.StringIO()
    render_terminal(report, Console(file=text, width=200))
    assert "Language models" in text.getvalue()
    assert "$0.00012" in text.getvalue()


@pytest.mark.parametrize(
    ("amount", "read"),
    [(None, "–"), (0.0, "$0.00"), (0.000025, "$0.000025"), (0.0005, "$0.0005"), (0.14, "$0.14"), (3.456, "$3.46")],
)
def test_a_small_part_of_a_cent_is_written_without_an_exponent(amount: float | None, read: str) -> None:
    assert dollars(amount) == read
