"""chaosbot's virtual users in Locust itself: headless, over workers of its own, and in its web UI."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosbot.session.environment import DemoTarget
from tests.support.browser import Browser, needs_browser

SECRET, TOKEN = "of-the-locusts", "of-the-stream"


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoTarget]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WS_AUTH_TOKEN", TOKEN)
        with DemoTarget(secret=SECRET, limits=False) as demo:
            yield demo


def start(*options: str, folder: Path, token: str = TOKEN) -> subprocess.Popen[str]:
    shown = subprocess.run([sys.executable, "-m", "chaosbot", "locustfile"], capture_output=True, text=True, check=True)
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", shown.stdout.strip(), *options],
        cwd=folder,
        env={**os.environ, "TELEGRAM_SECRET_TOKEN": SECRET, "WS_AUTH_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def statistics(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "out_stats.csv").open() as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


@pytest.mark.slow
def test_headless_over_two_workers_counts_updates_and_stream_messages(demo: DemoTarget, tmp_path: Path) -> None:
    options = f"--host {demo.url} --headless -u 40 -r 40 -t 6s --processes 2 --csv out --health {demo.url}/health"
    run = start(*options.split(), folder=tmp_path)
    said, _ = run.communicate(timeout=90)
    assert run.returncode == 0, said
    rows = statistics(tmp_path)
    assert int(rows["Aggregated"]["Failure Count"]) == 0, said
    for name, kind in (
        ("guest/chat", "POST"),
        ("snapshot", "GET"),
        ("market_stream/connect", "WS"),
        ("market_stream/receive", "WS"),
        ("reconnect_storm/disconnect", "WS"),
        ("botapi", "CIRCUIT"),
    ):
        assert rows[name]["Type"] == kind, said
        assert int(rows[name]["Request Count"]) > 0
    assert {"50%", "95%", "99%", "99.9%"} <= rows["Aggregated"].keys()


@pytest.mark.slow
def test_a_token_that_is_refused_is_a_failure_and_not_shown(demo: DemoTarget, tmp_path: Path) -> None:
    options = f"--host {demo.url} --headless -u 2 -r 2 -t 2s --csv out MarketStreamUser"
    run = start(*options.split(), folder=tmp_path, token="never-the-right-one")
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    rows = statistics(tmp_path)
    assert int(rows["Aggregated"]["Failure Count"]) > 0
    assert "never-the-right-one" not in said + "".join(path.read_text() for path in tmp_path.glob("*.csv"))


def test_a_foreign_host_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    run = start(
        *["--host", "http://evil.invalid", "--headless", "-u", "3", "-r", "3", "-t", "9s", "GuestUser"], folder=tmp_path
    )
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "--host: evil.invalid: not sent anything" in said
    assert "Traceback" not in said


@pytest.mark.slow
@needs_browser
def test_the_web_ui_offers_the_users_and_shows_their_figures(demo: DemoTarget, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = start(
        *f"--host {demo.url} --class-picker --web-host 127.0.0.1 --web-port {port} -u 40 -r 40".split(), folder=tmp_path
    )
    try:
        assert run.stdout is not None
        assert any("Starting web interface" in line for line in run.stdout)
        with Browser() as page:
            page.open(f"http://127.0.0.1:{port}/")
            for name in ("GuestUser", "PowerUser", "DeveloperUser", "AdminUser", "RestUser", "BurstUser"):
                page.until(f"document.body && document.body.innerText.includes({name!r})")
            page.js("[...document.querySelectorAll('button')].find(b => /^start/i.test(b.innerText)).click()")
            page.until("document.body.innerText.includes('guest/chat')")
            page.until("/market_stream\\/receive|burst_test\\/receive/.test(document.body.innerText)")
    finally:
        run.kill()
        run.wait()
