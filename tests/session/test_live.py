"""The live page and the figures for Prometheus, over real sockets and from a real run."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from chaosbot.core.errors import PortBusy
from chaosbot.core.event import IntervalMeasured, Noted, PhaseChanged
from chaosbot.session.live import LONGEST_WAIT_S, MOST_CONNECTIONS, Live
from chaosbot.session.run import Run
from tests.support.browser import Browser, needs_browser


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run("load", "target", 7, tmp_path / "run")
    yield made
    made.finish("completed")


@pytest.fixture
def live(run: Run) -> Iterator[Live]:
    made = Live(web=0, prometheus=0)
    made.follow(run, "target", 30.0)
    run.listeners.append(made.notice)
    yield made
    made.close(linger_s=0)


def port_of(url: str) -> int:
    return int(re.search(r":(\d+)/", url)[1])


def ask(url: str, path: str, host: str | None = None, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port_of(url), timeout=60)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1.evil.example:{port}"]
)
def test_a_web_site_that_rebinds_its_name_to_loopback_reads_nothing(live: Live, host: str) -> None:
    for path in ("/", "/state.json", "/metrics"):
        status, _, body = ask(live.page, path, host.format(port=port_of(live.page)))
        assert status == 403
        assert b"target" not in body


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_its_own_names_are_answered(live: Live, name: str) -> None:
    status, _, body = ask(live.page, "/state.json", f"{name}:{port_of(live.page)}")
    assert status == 200
    assert json.loads(body)["run"] == {
        "verb": "load",
        "target": "target",
        "seed": 7,
        "directory": json.loads(body)["run"]["directory"],
    }


def test_the_page_needs_nothing_from_anywhere_else_and_runs_no_foreign_script(live: Live) -> None:
    status, headers, body = ask(live.page, "/")
    page = body.decode()
    assert status == 200
    policy = headers["content-security-policy"]
    nonce = re.search(r"'nonce-([\w-]+)'", policy)[1]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in re.search(r"script-src[^;]*", policy)[0]
    assert all(f'nonce="{nonce}"' in tag for tag in re.findall(r"<(?:script|style)[^>]*>", page))
    assert not re.findall(r"""(?:src|href)=["'](?!/|data:)""", page)
    assert "http://" not in page
    assert "https://" not in page
    other = re.search(r"'nonce-([\w-]+)'", ask(live.page, "/")[1]["content-security-policy"])[1]
    assert other != nonce
    assert "unsafe" not in policy
    assert len(body) < 40_000


def test_nothing_can_be_changed_by_just_anybody_and_wrong_questions_are_refused(live: Live) -> None:
    assert ask(live.page, "/control", method="POST")[0] == 403
    assert ask(live.figures, "/control", method="POST")[0] == 403
    assert ask(live.page, "/state.json?since=now")[0] == 400
    assert ask(live.page, "/../../etc/passwd")[0] == 404
    assert ask(live.figures, "/state.json")[0] == 404
    status, headers, body = ask(live.page, "/metrics", method="HEAD")
    assert (status, body) == (200, b"")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")


def test_who_waits_for_news_hears_of_an_event_at_once(live: Live, run: Run) -> None:
    seen = json.loads(ask(live.page, "/state.json")[2])["version"]
    heard: list[Any] = []

    def wait() -> None:
        heard.append(json.loads(ask(live.page, f"/state.json?wait={LONGEST_WAIT_S}&seen={seen}")[2]))

    viewer = threading.Thread(target=wait)
    viewer.start()
    began = time.monotonic()
    run.emit(PhaseChanged(1.0, "baseline"))
    viewer.join(60)
    assert heard[0]["phase"]["phase"] == "baseline"
    assert time.monotonic() - began < LONGEST_WAIT_S - 1


def test_the_end_and_its_verdict_reach_who_still_watches_and_nothing_listens_afterwards(live: Live, run: Run) -> None:
    version = json.loads(ask(live.page, "/state.json")[2])["version"]
    heard: list[Any] = []

    def watch(seen: int) -> None:
        state = {"version": seen, "ended": None}
        while not (state["ended"] or {}).get("verdict"):
            state = json.loads(ask(live.page, f"/state.json?wait=10&seen={state['version']}")[2])
        heard.append(state)

    viewer = threading.Thread(target=watch, args=(version,))
    viewer.start()
    report = run.finish("completed")
    live.close()
    viewer.join(60)
    assert heard[0]["ended"] == {"how": "completed", "reason": "", "verdict": str(report.verdict)}
    for url in (live.page, live.figures):
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port_of(url)), 30):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name == "live"]
    live.close()


@needs_browser
def test_a_second_that_no_process_told_of_is_a_gap_and_no_zero(live: Live, run: Run) -> None:
    for second in (0, 1, 2, 6, 7):
        run.emit(IntervalMeasured(second + 1.0, second, 0, 3, 3, 3, 0, 0, 0, "", ""))
    with Browser() as browser:
        browser.open(live.page)
        line = browser.until("document.querySelector('#rate .line.rate')?.getAttribute('d')")
        assert browser.problems == []
    assert line.count("M") == 2
    assert len(re.findall(r"[ML]", line)) == 5


def test_connections_are_bounded_and_idle_ones_keep_nobody_out_for_good(live: Live) -> None:
    address = ("127.0.0.1", port_of(live.page))
    idle = [socket.create_connection(address, 30) for _ in range(MOST_CONNECTIONS + 5)]
    refused = 0
    for connection in idle[-5:]:
        refused += connection.recv(1) == b""
    assert refused == 5
    for connection in idle:
        connection.close()
    until = time.monotonic() + 60
    status = 0
    while status != 200 and time.monotonic() < until:
        try:
            status = ask(live.page, "/state.json")[0]
        except (OSError, ConnectionError):
            continue
    assert status == 200


def test_a_view_that_breaks_leaves_the_run_alone_and_its_report_says_so(
    live: Live, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_event: Any) -> None:
        raise ZeroDivisionError("in the fold")

    seen = json.loads(ask(live.page, "/state.json")[2])["version"]
    monkeypatch.setattr(live._board.metrics, "take", broken)
    run.emit(PhaseChanged(1.0, "baseline"))
    state = json.loads(ask(live.page, f"/state.json?wait=10&seen={seen}")[2])
    assert [one["where"] for one in state["trouble"]] == ["live"]
    for _ in range(100):
        run.emit(PhaseChanged(2.0, "fault"))
    assert not live._board._queue
    live.close(linger_s=0)
    notes = [event.text for event in run.journal.history().events if isinstance(event, Noted)]
    assert [note for note in notes if "ZeroDivisionError: in the fold" in note] == notes


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy, match=f"--prometheus {port}: .* is taken; choose another port"):
            Live(web=0, prometheus=port)


def test_figures_wait_for_a_scraper_that_has_not_come_where_a_person_gives_them_time(run: Run) -> None:
    live = Live(prometheus=0)
    live.follow(run, "target")
    live.stay(3600)  # nobody came: it does not wait
    with ThreadPoolExecutor(1) as pool:
        staying = pool.submit(live.stay, 3600, asked=True)
        assert ask(live.figures, "/metrics")[0] == 200
        staying.result(30)
    live.close(linger_s=0)


def test_one_port_serves_both(run: Run, free_port: Callable[[], int]) -> None:
    port = free_port()
    live = Live(web=port, prometheus=port)
    live.follow(run, "target")
    assert live.figures == f"{live.page}metrics"
    assert ask(live.figures, "/metrics")[0] == 200
    live.close()


# ── from the command line ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "chaosbot", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def printed(process: subprocess.Popen[str], pattern: str) -> str:
    for line in process.stdout:
        if match := re.search(pattern, line):
            return match[1]
    raise AssertionError(f"{pattern} was never printed")


def read(url: str) -> Any:
    with urlopen(url, timeout=60) as answer:
        return json.loads(answer.read())


def samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name not in found, f"{name} stands there twice"
            found[name] = float(value)
    return found


def test_a_load_is_watched_while_it_runs_and_its_page_says_what_its_report_says(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = started(
        *("load", "--rate", "60/s", "--duration", "1m", "--web", "--prometheus", "0", "--seed", "3", "--out", "out")
    )
    page = printed(process, r"watch it live on (http://127\.0\.0\.1:\d+/)")
    figures = printed(process, r"Prometheus on (http://127\.0\.0\.1:\d+/metrics)")
    state = read(f"{page}state.json")
    while len(state["points"]) < 3:
        state = read(f"{page}state.json?wait=3&seen={state['version']}")
    assert state["ended"] is None
    assert 0 < state["now"] < state["total_s"] + 10
    assert 0 < state["load"]["completed"] < 3600
    assert 0 < state["points"][1]["p50"] <= state["points"][1]["p99"]
    with urlopen(figures, timeout=60) as answer:
        during = samples(answer.read().decode())
    assert during["chaosbot_load_planned_total"] >= state["load"]["planned"]
    process.send_signal(signal.SIGINT)
    # The counters arrive at the report's own sums.
    after = state
    while not (after["ended"] or {}).get("verdict"):
        after = read(f"{page}state.json?wait=5&seen={after['version']}")
    process.communicate(timeout=60)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {name: after["load"][name] for name in ("planned", "started", "completed", "failed", "dropped")} == {
        name: report["load"][name] for name in ("planned", "started", "completed", "failed", "dropped")
    }
    assert after["ended"]["verdict"] == report["verdict"].lower()
    assert sum(point["rps"] for point in after["points"]) == report["load"]["completed"] + report["load"]["failed"]


def test_a_taken_port_ends_the_command_with_2_and_leaves_no_run_behind(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = started("load", "--web", str(taken.getsockname()[1]))
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is taken; choose another port, or 0 for a free one" in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_target_after_web_is_the_target_and_no_port(started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("load", "--web", "http://127.0.0.1:9/webhook")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "nothing listens" in said or "127.0.0.1:9" in said
    assert "Invalid value" not in said
