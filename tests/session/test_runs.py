"""Whole runs as a person starts them: reproducible, interruptible at any moment, without secrets on disk."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psutil
import pytest

from chaosbot.core.event import Injected, PhaseChanged, RequestDone
from chaosbot.journal import read
from chaosbot.report import compare, fold
from tests.cli.test_load_tls import Webhook

SHORT = """
name = "short"
alone = true
thresholds = ["p50<1s,5s"]
[workload]
profile = "steady"
rate = "30/s"
[phases]
warmup = "0s"
baseline = "2s"
fault = "2s"
recovery = "2s"
cooldown = "1s"
[[rules]]
name = "lost"
fault = "lost_ack"
direction = "inbound"
p = 0.4
[[rules]]
name = "limited"
fault = "botapi_429"
direction = "outbound"
p = 0.3
"""
LONG = SHORT.replace('baseline = "2s"', 'baseline = "10m"')
PLANTED = {
    "TELEGRAM_SECRET_TOKEN": "planted-secret-of-the-webhook-7f3a",
    "BOT_TOKEN": "987654321:AAplantedTokenOfTheBot_0123456789ab",
    "WS_AUTH_TOKEN": "planted-token-of-the-stream-55",
}


def start(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "chaosbot", *arguments],
        cwd=directory,
        env={**os.environ, **PLANTED, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(directory: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    process = start(directory, *arguments, **environment)
    out, err = process.communicate(timeout=110)
    return process.returncode, out + err


def no_secret_in(directory: Path) -> None:
    spellings = set()
    for secret in PLANTED.values():
        raw = secret.encode()
        spellings |= {raw, quote(secret, safe="").encode()}
        spellings |= {base64.b64encode(b"x" * shift + raw + b"yz")[4 : 4 + len(raw)] for shift in range(3)}
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        for spelling in spellings:
            assert spelling not in content, f"{path}: {spelling!r}"


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same experiment with the same seed, two times, side by side."""
    folder = tmp_path_factory.mktemp("twice")
    (folder / "short.toml").write_text(SHORT)
    command = ("run", "short.toml", "--seed", "11", "--quiet", "--out")
    started = {name: start(folder, *command, name) for name in ("one", "two")}
    directories = []
    for name, process in started.items():
        output = "".join(process.communicate(timeout=110))
        code = process.returncode
        # On a machine that is too busy to measure latencies the run says so (invalid); everything else must hold.
        assert code in (0, 3), output
        assert json.loads((folder / name / "report.json").read_text())["verdict"] in ("pass", "invalid"), output
        directories.append(folder / name)
    return directories


@pytest.mark.slow
def test_the_same_seed_gives_the_same_faults_to_the_same_requests(twice: list[Path]) -> None:
    ledgers = []
    for directory in twice:
        history = read(directory)
        sent = {request.exchange for request in history.all(RequestDone)}
        inbound = {event.exchange for event in history.all(Injected) if event.rule == "lost"}
        assert inbound <= sent
        ledgers.append((inbound, sent))
    assert ledgers[0][0]
    assert ledgers[0] == ledgers[1]


def test_the_healthy_bot_breaks_no_promise_and_has_no_finding(twice: list[Path]) -> None:
    reports = [json.loads((directory / "report.json").read_text()) for directory in twice]
    assert {report["verdict"] for report in reports} <= {"pass", "invalid"}
    assert [item["id"] for item in reports[0]["findings"]] == [item["id"] for item in reports[1]["findings"]] == []


def test_every_phase_is_announced_and_every_fault_acts_in_its_own(twice: list[Path]) -> None:
    history = read(twice[0])
    phases = [(event.phase, event.label) for event in history.all(PhaseChanged)]
    assert phases[:5] == [
        ("baseline", ""),
        ("fault", "lost"),
        ("recovery", "lost"),
        ("fault", "limited"),
        ("recovery", "limited"),
    ]
    counts = Counter(event.rule for event in history.all(Injected) if event.stage == "applied")
    assert counts["lost"] > 5
    assert counts["limited"] > 5


def test_the_run_directory_holds_every_report_and_no_secret(twice: list[Path]) -> None:
    names = {path.name for path in twice[0].iterdir()}
    assert {"events.ndjson", "report.json", "report.html", "junit.xml"} <= names
    no_secret_in(twice[0])


def test_a_refolded_run_comes_to_the_same(twice: list[Path], tmp_path: Path) -> None:
    before = json.loads((twice[0] / "report.json").read_text())
    _, output = run(tmp_path, "report", str(twice[0]), "--format", "json")
    assert json.loads(output) == before


def test_comparing_a_run_with_its_twin_finds_nothing_worse(twice: list[Path]) -> None:
    """Whether a time changed is a matter of the machine here; tests/unit/report judges that on figures which it chose."""
    found = compare(*(fold(read(directory)) for directory in twice))
    assert found.paired
    assert found.new == found.gone == found.kept == ()
    changes = {change.metric: change for change in found.changes}
    assert changes.keys() >= {"p50", "error rate", "lost deliveries", "duplicated deliveries"}
    for name in ("error rate", "lost deliveries", "duplicated deliveries"):
        assert changes[name].before == changes[name].after, name


def test_a_campaign_writes_its_findings_without_the_secret(tmp_path: Path) -> None:
    """The fragile bot leaks its token and traceback into answers; nothing of it may reach the disk."""
    bot = subprocess.Popen(
        [sys.executable, "-m", "chaosbot.demo", "--bugs", "fragile", "--exit-with-stdin"],
        env={**os.environ, **PLANTED},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = bot.stdout.readline().split()[1] + "/webhook/telegram"
        stages = ("--stages", "catalogue", "--duration", "6s", "--case", "auth/*", "--case", "json/*")
        code, output = run(tmp_path, "fuzz", url, "--seed", "3", "--out", "fuzzed", "--quiet", *stages)
        assert code == 1, output
    finally:
        bot.stdin.close()
        bot.wait(60)
    findings = [path for path in (tmp_path / "fuzzed" / "findings").iterdir() if path.is_dir()]
    assert findings
    no_secret_in(tmp_path)


@pytest.fixture
def interrupted_at(tmp_path: Path) -> Iterator:
    started = []

    def interrupt(verb: tuple[str, ...], phase: str, number: int) -> tuple[subprocess.Popen[str], Path, float, list]:
        (tmp_path / "long.toml").write_text(LONG)
        process = start(tmp_path, *verb, "--out", "run")
        started.append(process)
        journal = tmp_path / "run" / "events.ndjson"
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            # The journal is buffered; the story on standard output is not.
            line = process.stdout.readline()
            if phase in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        began = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=90)
        return process, journal.parent, time.monotonic() - began, children

    yield interrupt
    for process in started:
        if process.poll() is None:
            process.kill()


@pytest.mark.parametrize(
    ("verb", "phase", "number"),
    [
        (("run", "long.toml"), "baseline", signal.SIGINT),
        pytest.param(("run", "long.toml"), "baseline", signal.SIGTERM, marks=pytest.mark.slow),
        (("fuzz", "--duration", "10m"), "vocabulary", signal.SIGINT),
        (("load", "--duration", "10m", "--users", "20"), "/s", signal.SIGTERM),
    ],
)
@pytest.mark.quick(1)
def test_a_signal_ends_a_run_quickly_without_children_and_with_a_report(
    interrupted_at, verb: tuple[str, ...], phase: str, number: int
) -> None:
    process, directory, took, children = interrupted_at(verb, phase, number)
    assert process.returncode in (1, 3)
    # Two seconds is the promise, on a machine that has time for it; a busy one may take many, but not the ten minutes that are left.
    assert took < 60
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    report = json.loads((directory / "report.json").read_text())
    assert report["verdict"] != "pass"
    assert (directory / "report.html").exists()


def test_a_killed_run_leaves_no_child_and_a_journal_that_reads_as_inconclusive(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(LONG)
    process = start(tmp_path, "run", "long.toml", "--out", "run")
    while "baseline" not in process.stdout.readline():
        assert process.poll() is None
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    process.stdout.close()
    process.stderr.close()
    code, output = run(tmp_path, "report", "run", "--quiet")
    assert code in (2, 3), output
    assert "Traceback" not in output


BURST = """
alone = true
thresholds = ["error_rate/burst<1%,5%"]
[workload]
profile = "stages"
options = { stages = "1.4s:40/s,0s:400/s,0.5s:400/s,0s:40/s,0.6s:40/s", start = 40 }
[phases]
warmup = "0s"
baseline = "1s"
fault = "0s"
recovery = "0s"
burst = "1.5s"
cooldown = "0s"
"""


class Overrun(Webhook):
    """Answers 500 to all but the first of a burst, told by their number, since a busy machine's clock says little."""

    traces: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.traces.append(self.headers.get("traceparent", ""))
        self.send_response(500 if 70 < len(self.traces) < 250 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def overrun() -> Iterator[str]:
    Overrun.traces.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Overrun) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/webhook/telegram"
        server.shutdown()


@pytest.mark.slow
def test_a_burst_that_is_answered_by_errors_fails_for_that_and_figures_name_their_windows(
    tmp_path: Path, overrun: str
) -> None:
    (tmp_path / "burst.toml").write_text(BURST)
    code, said = run(
        tmp_path, "run", "burst.toml", overrun, "--outbound", "off", "--traceparent", "--seed", "3", "--out", "one"
    )
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert code == 1, said
    failed = {one["name"] for one in report["assertions"] if one["verdict"] == "fail"}
    assert "error_rate/burst" in failed
    assert "error_rate" not in failed
    assert any(reason.startswith("error_rate/burst is") for reason in report["reasons"])
    windows = {one["name"]: one["window"] for one in report["assertions"] if "window" in one}
    assert windows["error_rate/burst"] == "burst"
    assert windows["error_rate"] == "outside of burst"
    assert report["load"]["window"] == "whole run"
    assert "Promises  outside of burst" in said
    assert "Load  whole run" in said
    assert "| outside of burst |" in (tmp_path / "one" / "report.md").read_text()
    assert "(whole run)" in (tmp_path / "one" / "report.md").read_text()
    page = (tmp_path / "one" / "report.html").read_text()
    assert "Response p50, whole run" in page
    assert "<td>outside of burst</td>" in page
    # Every request of the load carried a trace context of its own; what asked for the webhook before did not.
    traces = [trace for trace in Overrun.traces if trace]
    assert len(traces) == len(set(traces)) == report["load"]["planned"]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", trace) for trace in traces)
    assert {one["trace"] for one in report["load"]["slowest"]} <= {trace.split("-")[1] for trace in traces}


@pytest.mark.slow
def test_a_trace_context_is_sent_on_demand_and_a_list_of_slow_requests_says_where_it_is_not_whole(
    tmp_path: Path, overrun: str
) -> None:
    for name, options in (("off", ()), ("on", ("--traceparent",)), ("fast", ("--traceparent", "--wait", "1ms"))):
        Overrun.traces.clear()
        code, said = run(
            tmp_path,
            "load",
            overrun,
            "--users",
            "2",
            "--spawn-rate",
            "50/s",
            "--duration",
            "1s",
            "--out",
            name,
            *options,
        )
        assert code != 2, said
        assert Overrun.traces
        assert any(Overrun.traces) == bool(options)
        report = json.loads((tmp_path / name / "report.json").read_text())
        page = (tmp_path / name / "report.html").read_text()
        lacks = "requests were recorded one by one, so the slowest are not known"
        assert [lacks in report["load"].get("slowest_lacks", ""), lacks in " ".join(said.split()), lacks in page] == [
            name == "fast"
        ] * 3
