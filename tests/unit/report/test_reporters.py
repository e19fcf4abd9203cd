"""Reporters: found like plug-ins, one file each, and one that breaks costs nobody else's file."""

import csv
import io
from dataclasses import dataclass
from typing import ClassVar

import pytest

from chaosbot.core.errors import UsageError
from chaosbot.core.event import Noted, StreamInterval, TaskInterval
from chaosbot.core.outcome import Fate
from chaosbot.journal import Redactor
from chaosbot.report import REPORTERS, Report, Reporter, fold, write_all
from chaosbot.reporters.html import render_html
from chaosbot.reporters.json import to_json
from tests.unit.report.conftest import encoded

FILES = {
    *(
        "report.json",
        "report.html",
        "report.md",
        "report.sarif",
        "junit.xml",
        "timeseries.csv",
        "tasks.csv",
        "streams.csv",
        "findings.csv",
    ),
}


def two_tasks(story):
    fast, slow = [0.01] * 90 + [0.02] * 10, [0.5] * 18 + [2.0] * 2
    told = story(verb="load")
    for _ in range(10):
        told.load(
            1,
            rate=120,
            by_task={
                "/start": TaskInterval(100, {"status_500": 2, "timeout": 1}, encoded(fast)),
                "GET /items": TaskInterval(20, {}, encoded(slow)),
            },
            streams={"prices": StreamInterval(messages=3, open=1)},
        )
    return told


def rows(report: Report, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(REPORTERS.build(name).render(report) or "")))


def test_every_reporter_names_a_file_of_its_own_and_is_written(story, make_finding, tmp_path):
    assert sorted(REPORTERS.get(name).file for name in REPORTERS) == sorted(FILES)
    report = fold(two_tasks(story).judged("no_hang", make_finding(title="=1+1")).history(), checks=())
    write_all(report, tmp_path, Redactor())
    assert {one.name for one in tmp_path.iterdir()} == FILES
    (row,) = rows(report, "findings")
    assert (row["check"], row["title"], row["id"]) == ("no_hang", "'=1+1", report.findings[0].id)


def test_a_run_without_load_has_no_tables_of_it(story, tmp_path):
    write_all(fold(story(verb="fuzz").history(), checks=()), tmp_path, Redactor())
    assert {one.name for one in tmp_path.iterdir()} == FILES - {
        "timeseries.csv",
        "tasks.csv",
        "streams.csv",
        "findings.csv",
    }


def test_each_task_has_its_own_percentiles_failures_and_rate(story):
    report = fold(two_tasks(story).history(), checks=())
    start, items = report.load.tasks
    assert (start.name, start.done, start.failed) == ("/start", 1000, 30)
    assert dict(start.errors) == {"status_500": 20, "timeout": 10}
    assert start.rps == pytest.approx(100)
    assert start.response.p50 == pytest.approx(0.01, rel=0.01)
    assert (items.done, items.failed) == (200, 0)
    assert items.response.p90 == pytest.approx(0.5, rel=0.01)
    assert items.response.p99 == pytest.approx(2.0, rel=0.01)
    told = to_json(report)["load"]["tasks"]
    assert [one["name"] for one in told] == ["/start", "GET /items"]
    assert told[1]["response_ms"]["max"] == pytest.approx(2000, rel=0.01)
    assert "GET /<wbr>items" in render_html(report)


def test_tasks_come_from_the_single_requests_where_all_were_recorded(story):
    told = story(verb="load")
    for number in range(40):
        told.request(number / 4, total=0.1 if number % 4 else 0.4, task="/a" if number % 2 else "/b")
    told.request(10, fate=Fate.TIMEOUT, status=None, total=5, task="/a")
    report = fold(told.history(), checks=())
    assert [(one.name, one.done, one.failed) for one in report.load.tasks] == [("/a", 21, 1), ("/b", 20, 0)]
    assert report.load.tasks[1].response.p50 == pytest.approx(0.1)


def test_the_tables_hold_what_the_report_says(story):
    report = fold(two_tasks(story).history(), checks=())
    seconds = rows(report, "timeseries")
    assert [float(one["at_s"]) for one in seconds] == [second.at_s for second in report.load.seconds]
    assert sum(int(one["completed"]) for one in seconds) == report.load.completed
    assert float(seconds[0]["p99_ms"]) == pytest.approx(report.load.seconds[0].response.quantile(0.99) * 1e3, abs=1e-3)
    tasks = rows(report, "tasks")
    assert [(one["task"], int(one["requests"]), int(one["failed"])) for one in tasks] == [
        ("/start", 1000, 30),
        ("GET /items", 200, 0),
    ]
    assert tasks[0]["errors"] == "status_500 20; timeout 10"


def test_each_stream_has_its_own_row_and_each_second_those_of_all(story):
    def seen(gap, **more):
        return StreamInterval(open=4, messages=10, gap=encoded([gap] * 10), latency=encoded([gap / 10] * 10), **more)

    told = story(verb="load").load(1, streams={"prices": seen(0.1, connects=4), "=news": StreamInterval()})
    told.load(1, streams={"prices": seen(0.1)})
    told.load(1, start=1, shard=1, streams={"prices": seen(0.4, failed={"refused": 1, "status_403": 2})})
    told.load(1, streams={"prices": seen(0.1, broken=2, ends={"4401": 2, "1000": 1})})
    told.add(Noted(0.0, "stream-missing", "", {"name": "alerts", "why": "there were too few users"}))
    report = fold(told.history(), checks=())
    alerts, news, prices = sorted(rows(report, "streams"), key=lambda row: row["stream"].strip("'="))
    assert (news["stream"], news["connects"], news["gap_p50_ms"]) == ("'=news", "0", "")
    assert (alerts["connects"], alerts["messages_per_s"], alerts["missing"]) == ("", "", "there were too few users")
    row = next(one for one in report.load.streams if one.name == "prices")
    assert [int(prices[name]) for name in ("connects", "failed", "broken", "messages", "peak")] == [4, 3, 2, 40, 8]
    assert (prices["errors"], prices["closes"]) == ("status_403 2; refused 1", "4401 2; 1000 1")
    assert float(prices["messages_per_s"]) == pytest.approx(row.messages_per_s, abs=1e-3)
    for place in ("p50", "p90", "p95", "p99", "p999", "max"):
        assert float(prices[f"gap_{place}_ms"]) == pytest.approx(getattr(row.gap, place) * 1e3, abs=1e-3)
        assert float(prices[f"latency_{place}_ms"]) == pytest.approx(getattr(row.latency, place) * 1e3, abs=1e-3)
    seconds = rows(report, "timeseries")
    columns = ("open_streams", "stream_messages", "stream_failed")
    assert [[int(one[name]) for name in columns] for one in seconds] == [[4, 10, 0], [8, 20, 3], [4, 10, 2]]
    gaps = [float(one["stream_gap_p95_ms"]) for one in seconds]
    assert gaps == [pytest.approx(at, rel=2e-3) for at in (100, 400, 100)]
    assert float(seconds[1]["stream_latency_p95_ms"]) == pytest.approx(40, rel=2e-3)
    plain = rows(fold(story(verb="load").load(1).history(), checks=()), "timeseries")
    assert {plain[0][name] for name in (*columns, "stream_gap_p95_ms")} == {""}


def test_no_text_of_a_table_is_a_formula(story):
    told = story(verb="load").load(1, by_task={"=cmd|' /C calc'!A0": TaskInterval(1, {}, encoded([0.1]))})
    (task,) = rows(fold(told.history(), checks=()), "tasks")
    assert task["task"].startswith("'=")


@dataclass(frozen=True)
class Broken(Reporter):
    """Always fails."""

    file: ClassVar[str] = "broken.txt"

    def render(self, report: Report) -> str:
        raise KeyError(report.verb)


def test_a_broken_reporter_costs_its_own_file_only(story, tmp_path, monkeypatch):
    report = fold(two_tasks(story).history(), checks=())
    monkeypatch.setitem(REPORTERS._entries, "broken", Broken)
    with pytest.raises(UsageError, match=r"broken\.txt cannot be written .*reporter broken: KeyError"):
        write_all(report, tmp_path, Redactor())
    assert {one.name for one in tmp_path.iterdir()} == FILES - {"findings.csv"}
