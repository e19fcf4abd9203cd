"""What `chaosbot proxy` shows while it runs: a table on a terminal, bounded lines elsewhere, nothing when quiet."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
from rich.console import Console

from chaosbot.cli._exchanges import LINES_A_SECOND, Exchanges
from chaosbot.cli._watch import BAR_WIDTH, Watch
from chaosbot.core.event import ExchangeSeen, Injected, IntervalMeasured, Noted, RuleSwitched
from chaosbot.core.exchange import Depth, Direction
from chaosbot.journal import Redactor

TOKEN = "123456789:AAtoken-of-a-bot-that-nobody-has-0123"


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Running:
    """A proxy on a pipe or a terminal of its own, and all that it has printed."""

    process: subprocess.Popen[bytes]
    output: int
    heard: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        try:
            while data := os.read(self.output, 65536):
                with self._changed:
                    self.heard += data.decode(errors="replace")
                    self._changed.notify_all()
        except OSError:  # a terminal whose other end is closed
            pass

    def expect(self, pattern: str) -> str:
        with self._changed:
            self._changed.wait_for(lambda: re.search(pattern, self.heard), 60)
        match = re.search(pattern, self.heard)
        assert match, f"{pattern} is not in {self.heard!r}"
        return match[1] if match.groups() else match[0]

    def end(self) -> str:
        self.process.terminate()
        self.process.wait(60)
        self._thread.join(60)
        return self.heard


@pytest.fixture
def proxied(upstream: str, tmp_path: Path, clean_environment: dict[str, str]) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(*arguments: str, terminal: bool = False) -> Running:
        theirs: int
        if terminal:
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
        else:
            ours, theirs = os.pipe()
        environment = {name: value for name, value in clean_environment.items() if name not in ("COLUMNS", "CI")}
        process = subprocess.Popen(
            [sys.executable, "-m", "chaosbot", "proxy", upstream, "--listen", "127.0.0.1:0", *arguments],
            cwd=tmp_path,
            env=environment | {"TERM": "xterm-256color"},
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        made.append(Running(process, ours))
        return made[-1]

    yield start
    for running in made:
        if running.process.poll() is None:
            running.end()
        os.close(running.output)


def post(url: str, path: str, times: int = 1) -> list[int]:
    host, port = re.search(r"//([\d.]+):(\d+)", url).groups()
    connection = HTTPConnection(host, int(port), timeout=60)
    statuses = []
    for _ in range(times):
        connection.request("POST", path, b"{}")
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    return statuses


def test_without_a_terminal_faults_and_failures_are_lines_and_secrets_are_none_of_them(
    proxied: Callable[..., Running],
) -> None:
    running = proxied("--fault", "abort:503;path=/aborted/*")
    url = running.expect(r"listening on (http://[\d.:]+)")
    assert post(url, f"/aborted/bot{TOKEN}") == [503]
    assert post(url, "/broken") == [500]
    assert post(url, "/fine") == [200]
    running.expect(r"/broken → 500 by target in \d+ ms")
    said = running.end()
    assert re.search(r"\d\d:\d\d abort inbound  connection \d+  answered 503", said)
    assert "/fine" not in said
    assert TOKEN not in said
    assert "PASS" in said


def test_the_main_proxys_figures_are_on_the_control_apis_metrics_page(proxied: Callable[..., Running]) -> None:
    running = proxied("--fault", "abort:503;path=/aborted", "--control", "127.0.0.1:0")
    url = running.expect(r"listening on (http://[\d.:]+)")
    control = running.expect(r"control on (http://[\d.:]+)")
    post(url, "/aborted", 3)
    post(url, "/fine", 2)
    wanted = 'chaosbot_exchanges_total{by="target",direction="inbound",status="2xx"} 2.0'
    until = time.monotonic() + 60
    text = ""
    while wanted not in text and time.monotonic() < until:
        with urlopen(f"{control}/metrics", timeout=60) as answer:
            text = answer.read().decode()
    assert wanted in text
    assert 'chaosbot_injections_total{direction="inbound",fault="abort",rule="abort",stage="applied"} 3.0' in text
    assert 'chaosbot_rule_active{fault="abort",rule="abort"} 1.0' in text


def test_a_quiet_proxy_says_its_verdict_only(proxied: Callable[..., Running], tmp_path: Path) -> None:
    running = proxied("--quiet", "--duration", "1s", "--web", "0", "--out", "out")
    running.process.wait(60)
    said = running.end()
    assert said.split() == ["INCONCLUSIVE", "out"]  # nothing came by
    assert json.loads((tmp_path / "out" / "report.json").read_text())["verb"] == "proxy"


def test_on_a_terminal_the_last_exchanges_are_a_table_with_the_faults_that_met_them(
    proxied: Callable[..., Running],
) -> None:
    running = proxied("--fault", "abort:503;path=/aborted/*", terminal=True)
    url = running.expect(r"listening on (?:\x1b\[[\d;]*m)*(http://[\d.:]+)")
    post(url, f"/aborted/bot{TOKEN}")
    post(url, "/fine", 20)
    plain = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
    running.expect(r"21 exchanges, 1 failed")
    frames = plain.sub("", running.heard)
    row = re.search(r"in +POST +/fine +200 +target +\d+", frames)
    assert row
    last = frames[: frames.rindex("21 exchanges")].rpartition("time ")[2]
    assert last.count("/fine") == 15
    said = plain.sub("", running.end())
    assert TOKEN not in said


# ── the lines themselves ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def told() -> Iterator[tuple[Exchanges, Console]]:
    console = Console(record=True, force_terminal=False, width=200, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with Exchanges(console, redact=Redactor().text) as view:
        yield view, console
    console.file.close()


def injected(t: float, number: int) -> Injected:
    return Injected(t, "slow", "latency", Depth.BYTES, Direction.INBOUND, f"x{number}", "applied", number, "200 ms")


def test_a_flood_is_a_few_lines_a_second_and_a_count_of_the_rest(told: tuple[Exchanges, Console]) -> None:
    view, console = told
    for number in range(1000):
        view(injected(3.0 + number / 2000, number + 1))
    view(injected(4.2, 1001))
    lines = console.export_text().splitlines()
    assert len(lines) == LINES_A_SECOND + 2
    assert lines[0] == "00:03 latency (slow) inbound  connection 1  200 ms"
    assert lines[LINES_A_SECOND] == f"00:03 … {1000 - LINES_A_SECOND} more"
    assert lines[-1].startswith("00:04 latency (slow) inbound")


def test_what_was_left_out_last_is_said_at_the_end() -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(record=True, force_terminal=False, width=200, file=nowhere)
        with Exchanges(console) as view:
            for number in range(LINES_A_SECOND + 7):
                view(injected(3.0, number + 1))
        assert console.export_text().splitlines()[-1] == "00:03 … 7 more"


def test_a_failure_of_the_targets_own_names_the_faults_that_met_it(told: tuple[Exchanges, Console]) -> None:
    view, console = told
    view(injected(3.0, 1))
    view(ExchangeSeen(3.1, "x1", Direction.INBOUND, "POST", "/hook[bold]", 500, "target", 0.25))
    view(ExchangeSeen(3.1, "x2", Direction.INBOUND, "POST", "/hook", None, "proxy", 0.25))
    view(ExchangeSeen(3.2, "x1", Direction.INBOUND, "POST", "/hook", 503, "proxy", 0.25))
    assert console.export_text().splitlines() == [
        "00:03 latency (slow) inbound  connection 1  200 ms",
        "00:03 inbound POST /hook[bold] → 500 by target in 250 ms  latency",
        "00:03 inbound POST /hook → no answer in 250 ms",
    ]


def test_what_a_reader_should_know_is_said_as_it_happens(told: tuple[Exchanges, Console]) -> None:
    view, console = told
    view(Noted(3.0, "upstream", "127.0.0.1:1 gave no answer: Connection refused [x] :x:"))
    assert console.export_text().splitlines() == [
        "00:03 upstream 127.0.0.1:1 gave no answer: Connection refused [x] :x:"
    ]


def test_nobody_else_begins_a_line_or_moves_the_cursor(told: tuple[Exchanges, Console]) -> None:
    view, console = told
    view(Noted(3.0, "upstream", "first\n00:03 all is well\x1b[2J"))
    view(ExchangeSeen(3.1, "x1", Direction.INBOUND, "POST", "/a\x9bb\u202ec", 500, "target", 0.25))
    assert console.export_text().splitlines() == [
        r"00:03 upstream first\n00:03 all is well\x1b[2J",
        r"00:03 inbound POST /a\u009bb\u202ec → 500 by target in 250 ms",
    ]


def test_a_panel_shows_how_far_the_plan_is_and_which_faults_are_active() -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(record=True, force_terminal=True, color_system="truecolor", width=80, file=nowhere)
        view = Watch(console, total_s=60.0)
        view(RuleSwitched(1.0, "slow", "latency", active=True))
        view(RuleSwitched(1.0, "gone", "abort", active=True))
        view(RuleSwitched(2.0, "gone", "abort", active=False))
        console.print(view._panel())
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert re.fullmatch(r"starting .*, about \S+ left", lines[0])
    assert len(lines[1]) == BAR_WIDTH
    assert lines[2:] == ["active now: latency"]


def test_a_panel_counts_from_the_begin_of_the_plan_and_not_from_the_start_of_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("chaosbot.cli._watch.time.monotonic", lambda: now)
    view = Watch(Console(record=True, width=80, file=io.StringIO()), total_s=60.0)
    now = 108.0
    view.console.print(view._panel())
    view(IntervalMeasured(6.0, 0, 0, 3, 3, 3, 0, 0, 0, "", ""))
    view(IntervalMeasured(7.0, 1, 0, 3, 3, 3, 0, 0, 0, "", ""))
    view.console.print(view._panel())
    lines = [line.rstrip() for line in view.console.export_text().splitlines() if "left" in line]
    assert lines == ["starting 0s, about 1m left", "running 3s, about 57s left"]


def test_a_load_without_phases_is_starting_until_its_first_second_and_then_running() -> None:
    view = Watch(Console(record=True, width=80, file=io.StringIO()), total_s=60.0)
    view.console.print(view._panel())
    view(IntervalMeasured(1.0, 0, 0, 3, 3, 3, 0, 0, 0, "", ""))
    view.console.print(view._panel())
    words = [line.split()[0] for line in view.console.export_text().splitlines() if "left" in line]
    assert words == ["starting", "running"]
