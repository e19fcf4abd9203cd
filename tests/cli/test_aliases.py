"""Words of older versions and of other load tools on the command line."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from chaosbot.cli._aliases import copies, understood
from chaosbot.core.errors import ConfigError


@pytest.mark.filterwarnings("ignore:'--dialect:FutureWarning")
def test_old_options_become_the_new_ones_and_what_follows_two_dashes_stays() -> None:
    assert understood(["fuzz", "--dialect", "telegram", "--dialect-option=admin_id=5", "--", "--dialect"]) == [
        "fuzz",
        "--platform",
        "telegram",
        "--platform-option=admin_id=5",
        "--",
        "--dialect",
    ]
    assert understood(["load", "--host", "http://127.0.0.1:1", "--run-time=5m"]) == [
        "load",
        "--duration=5m",
        "http://127.0.0.1:1",
    ]
    assert understood(["proxy", "--host", "x"]) == ["proxy", "--host", "x"]


class Bot(BaseHTTPRequestHandler):
    """Knows one path; counts what it was asked for there and elsewhere."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/webhook/telegram" else 405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def bot() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bot", (Bot,), {"asked": asked}))
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_locusts_words_are_understood_and_its_host_gets_the_platforms_path(
    chaosbot: Callable[..., Any], bot: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = bot
    words = ("--class", "admin=1", "--users", "3", "--spawn-rate", "9/s", "--run-time", "1s", "--out", "run")
    done = chaosbot("load", "--host", url, *words)
    assert done.code in (0, 3), done
    assert done.err == f"--host {url} has no path, so the target is {url}/webhook/telegram\n"
    assert set(asked) == {"/webhook/telegram"}
    # Whoever has an id in common with another is told wherever the run is.
    told = "virtual users that share ids: 3 of admin have 1 between them"
    assert told in done.out
    assert told in json.loads((tmp_path / "run" / "report.json").read_text())["reasons"]
    assert told in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.parametrize("words", [("--host", "{}/hook"), ("{}",), ("--host", "{}/?a=b")])
def test_a_target_with_a_path_and_one_that_is_no_base_url_are_left_alone(
    chaosbot: Callable[..., Any], bot: tuple[str, list[str]], words: tuple[str, ...]
) -> None:
    url, asked = bot
    done = chaosbot("load", *(word.format(url) for word in words))
    assert done.code == 2
    assert asked == [words[-1].removeprefix("{}") or "/"]
    assert ("(telegram's usual one is /webhook/telegram)" in done.err) == (words == ("{}",))


def test_report_files_are_looked_at_before_the_start(tmp_path: Path) -> None:
    understood(["load", "--html", str(tmp_path / "page"), f"--report={tmp_path / 'r.json'}"])
    assert copies.get() == (tmp_path / "page.html", tmp_path / "r.json")
    for words in (
        ["--report", "r.pdf"],
        ["--report", str(tmp_path / "absent" / "r.html")],
        ["--html"],
        ["--report", "x" * 400],
    ):
        with pytest.raises(ConfigError):
            understood(["load", *words])


def test_a_report_is_copied_to_the_file_that_was_named(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    run = chaosbot(
        "load",
        "--duration",
        "1s",
        "--users",
        "1",
        "--report",
        "mine.json",
        "--html",
        "mine.html",
        "--dialect",
        "telegram",
        "-q",
    )
    assert run.code in (0, 3), run.err  # what a second of load comes to is not the question here
    assert "warning: '--dialect' is now '--platform'" in run.err
    assert json.loads((tmp_path / "mine.json").read_text())["schema"] == "chaosbot.report/1"
    assert "<html" in (tmp_path / "mine.html").read_text()


def test_an_experiment_takes_as_long_as_it_is_told(chaosbot: Callable[..., Any]) -> None:
    run = chaosbot("run", "--run-time", "50s", "--dry-run", "--outbound", "stand-in")
    assert run.code == 0, run.err
    assert "50s in all" in run.out
    assert "--run-time" not in run.err
    assert "--outbound: 'stand-in' is now 'mock'" in run.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--profile", "ramp_up", "--duration", "3m"), "load ramp_up"),
        (("--profile", "smoke", "--spawn-rate", "3/s"), "spawn_rate 3/s"),
        (("--users", "20"), "sustained 20 users"),
        (("--rate", "100/s"), "steady 100/s"),
        (("--mode", "chaos"), "huge-answers"),
        (("--mode", "full", "--slo", "p95{/grant}<1s", "--abort-on", "p99 > 3s for 5s"), "1000/s"),
        (
            (
                "--users",
                "9",
                "--class",
                "guest=8,admin=1",
                "--mix",
                "chat=3",
                "--wait",
                "2s..4s",
                "--max-in-flight",
                "9",
            ),
            "sustained 9 users",
        ),
    ],
)
def test_run_takes_the_options_of_load(chaosbot: Callable[..., Any], arguments: tuple[str, ...], shown: str) -> None:
    run = chaosbot("run", "--dry-run", *arguments)
    assert run.code == 0, run.err
    assert shown in " ".join(run.out.split())
