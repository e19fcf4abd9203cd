"""The tables of a run beside its journal: what `tasks.csv`, `streams.csv` and `timeseries.csv` say is what single requests and intervals were."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram


def ranked(values: list[float], share: float) -> float:
    """The nearest rank's value."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A load on the demo bot with a timeout so short that a busy machine misses it."""
    folder = tmp_path_factory.mktemp("tables") / "run"
    words = ["--profile", "stages:3s:60/s,3s:10/s", "--seed", "5", "--timeout", "150ms"]
    command = [sys.executable, "-m", "chaosbot", "load", *words, "--out", str(folder)]
    subprocess.run(command, timeout=110, check=False, stdout=subprocess.DEVNULL)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    told = map(json.loads, (run / "events.ndjson").read_text().splitlines())
    return [event for event in told if event["type"] == kind]


def requests(run: Path) -> list[dict[str, Any]]:
    return events(run, "RequestDone")


@pytest.mark.slow
def test_the_table_of_tasks_counts_what_the_journal_says(run: Path) -> None:
    counts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    took: defaultdict[str, list[float]] = defaultdict(list)
    for request in requests(run):
        outcome = request["outcome"]
        counts[request["task"]] += 1
        answered = outcome["fate"] == "answered"
        failed[request["task"]] += not (answered and 200 <= outcome["status"] < 300)
        if answered or "timeout" in outcome["fate"]:
            took[request["task"]].append((request["t"] - request["due"]) * 1000)
    table = {row["task"]: row for row in rows(run / "tasks.csv")}
    assert {name: int(row["requests"]) for name, row in table.items()} == counts
    assert counts.total() > 150
    assert {name: int(row["failed"]) for name, row in table.items()} == {name: failed[name] for name in table}
    for name, row in table.items():
        for column, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("max_ms", 1.0)):
            # Histograms keep three digits.
            assert float(row[column]) == pytest.approx(ranked(took[name], share), rel=2e-3, abs=2e-3), (name, column)


def test_the_table_of_seconds_adds_up_to_the_journal_and_to_the_report(run: Path) -> None:
    found = requests(run)
    table = rows(run / "timeseries.csv")
    load = json.loads((run / "report.json").read_text())["load"]
    ended = sum(int(row[column]) for row in table for column in ("completed", "failed", "timed_out"))
    assert ended == len(found)
    for column in ("planned", "completed", "failed", "timed_out", "dropped"):
        assert sum(int(row[column]) for row in table) == load[column], column
    slowest = max((request["t"] - request["due"]) * 1000 for request in found)
    assert max(float(row["max_ms"] or 0) for row in table) == pytest.approx(slowest, rel=2e-3)
    ends = [float(row["at_s"]) for row in table]
    assert ends == sorted(ends)


def test_the_page_shows_twenty_tasks_and_the_others_on_demand(run: Path) -> None:
    names = [row["task"] for row in rows(run / "tasks.csv")]
    page = (run / "report.html").read_text()
    shown, _, others = page.partition('id="tasks"')[2].partition("</section>")[0].partition("<details>")
    assert len(names) > 20
    assert shown.count("<tr>") - 1 == 20
    assert others.count("<tr>") - 1 == len(names) - 20
    assert f"The other {len(names) - 20} tasks" in others


@pytest.mark.slow
def test_the_table_of_streams_says_what_the_journal_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["--platform", "market", "--users", "24", "--spawn-rate", "100/s", "--duration", "3s", "--seed", "5"]
    command = [sys.executable, "-m", "chaosbot", "load", *words, "--out", str(run), "--quiet"]
    subprocess.run(command, timeout=110, check=True, env=os.environ | {"WS_AUTH_TOKEN": "of-these-streams"})
    table = {row["stream"]: row for row in rows(run / "streams.csv")}
    assert set(table) == {"market_stream", "burst_test", "reconnect_storm"}
    shaken: defaultdict[str, list[float]] = defaultdict(list)
    for request in requests(run):
        if request["task"].endswith(":connect"):
            shaken[request["task"].removesuffix(":connect")].append(request["outcome"]["total_s"] * 1000)
    intervals = events(run, "IntervalMeasured")
    for name, row in table.items():
        told = [one["streams"][name] for one in intervals if name in one.get("streams", {})]
        assert int(row["connects"]) == len(shaken[name]) > 0, name
        assert float(row["connect_max_ms"]) == pytest.approx(max(shaken[name]), rel=2e-3, abs=2e-3), name
        assert int(row["messages"]) == sum(part.get("messages", 0) for part in told) > 0, name
        assert (row["failed"], row["errors"], row["closes"]) == ("0", "", ""), name
        for source in ("gap", "latency"):
            whole = HdrHistogram(1, 3_600_000_000, 3)
            for text in filter(None, (part.get(source) for part in told)):
                whole.decode_and_add(text)
            cells = whole.get_recorded_iterator()
            took = [cell.value_iterated_to / 1000 for cell in cells for _ in range(cell.count_at_value_iterated_to)]
            for column, share in (
                ("p50", 0.5),
                ("p90", 0.9),
                ("p95", 0.95),
                ("p99", 0.99),
                ("p999", 0.999),
                ("max", 1),
            ):
                found = float(row[f"{source}_{column}_ms"])
                assert found == pytest.approx(ranked(took, share), rel=2e-3, abs=2e-3), (name, source, column)
    seconds = rows(run / "timeseries.csv")
    for column, member in (("stream_messages", "messages"), ("open_streams", "open")):
        parts = [sum(part.get(member, 0) for part in one.get("streams", {}).values()) for one in intervals]
        assert [int(second[column]) for second in seconds] == parts, column
    assert max(float(second["stream_gap_p95_ms"]) for second in seconds) > 0
