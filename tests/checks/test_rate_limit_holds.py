"""Whether a bot's limits hold, tried on a bot that is a process of its own and knows nothing of chaosbot."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BOT = Path(__file__).parents[1] / "support" / "bots" / "limited.py"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def bot(how: str, api: int) -> Iterator[str]:
    """The bot with limits of this manner; the URL of its webhook."""
    port = free_port()
    env = {**os.environ, "BOT_API": f"http://127.0.0.1:{api}", "LIMITS": how, "PORT": str(port)}
    with subprocess.Popen([sys.executable, str(BOT)], env=env, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    socket.create_connection(("127.0.0.1", port), 5).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/webhook"
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        pytest.param("sliding", "pass", marks=pytest.mark.slow),
        pytest.param("fixed", "pass", marks=pytest.mark.slow),
        pytest.param("wordy", "pass", marks=pytest.mark.slow),
        ("none", "fail"),
        pytest.param("by_message", "fail", marks=pytest.mark.slow),
        pytest.param("resets", "fail", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_limits_that_hold_pass_and_limits_that_do_not_are_found(how: str, verdict: str, tmp_path: Path) -> None:
    api = free_port()
    with bot(how, api) as url:
        words = [url, "--mode", "load", "--check", "rate_limit_holds", "--class", "guest=1", "--users", "4"]
        more = ["--wait", "0.1s..0.3s", "--duration", "8s", "--seed", "3", "--bot-api-port", str(api)]
        command = [sys.executable, "-m", "chaosbot", "run", *words, *more, "--out", str(tmp_path / "run")]
        subprocess.run(command, timeout=240, check=False, stdout=subprocess.DEVNULL)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    # What could not be judged is listed with its reason.
    assert "rate_limit_holds" not in json.dumps(report["judged"])
    named = [finding["check"] for finding in report["findings"]]
    assert named.count("rate_limit_holds") == (verdict == "fail"), report["reasons"]
