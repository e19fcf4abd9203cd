"""Child processes that are killed, stopped or continued at any moment: the run ends, is no pass where something is missing, and leaves no orphan."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.proxied import answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
RUNS = {
    "proxy": ("proxy", "{target}", "--http", "--listen", "127.0.0.1:0", "--workers", "2", "--duration", "6s"),
    "pipe": ("proxy", "{pipe}", "--listen", "127.0.0.1:0", "--workers", "2", "--duration", "6s"),
    "control": ("proxy", "{target}", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--duration", "6s"),
    "load": ("load", "{target}/webhook/telegram", "--rate", "50/s", "--duration", "6s", "--processes", "2"),
    "fuzz": ("fuzz", "--duration", "6s", "--workers", "2"),
    "run": ("run", "--mode", "chaos", "--duration", "8s"),
    "mock": ("mock", "telegram", "--listen", "127.0.0.1:0", "--duration", "6s"),
}
MOST_S = 100.0
"""Far above what a run takes: also where a stopped child is waited for before it is killed."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT)


def family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def disturbed(name: str, seed: int, folder: Path) -> tuple[int, str, list[str], set[psutil.Process]]:
    """Runs it while a seeded hand strikes its children; exit code, what was said, which strikes ended one, and all children."""
    dice = random.Random(f"{name}-{seed}")
    environment = os.environ | {"TELEGRAM_SECRET_TOKEN": "children-secret", "COLUMNS": "200"}
    with answering(OK) as target:
        words = [word.format(target=target, pipe=target.replace("http:", "tcp:")) for word in RUNS[name]]
        command = [sys.executable, "-m", "chaosbot", *words, "--out", str(folder / "out")]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment
        ) as process:
            seen: set[psutil.Process] = set()
            ended: list[str] = []
            began = time.monotonic()
            while not seen and process.poll() is None and time.monotonic() < began + MOST_S:
                seen.update(family(process.pid))
                time.sleep(0.02)
            began = time.monotonic()
            strikes = sorted(dice.uniform(0.5, 6.5) for _ in range(dice.randint(1, 3)))
            for moment in strikes:
                while time.monotonic() < began + moment and process.poll() is None:
                    seen.update(family(process.pid))
                    time.sleep(0.02)
                children = sorted(family(process.pid), key=lambda child: child.pid)
                if not children:
                    continue
                child, number = dice.choice(children), dice.choice(SIGNALS)
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.send_signal(number)
                    if number is signal.SIGKILL:
                        ended.append(f"{moment:.2f} s")
            try:
                said, _ = process.communicate(timeout=MOST_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            return process.returncode, said, ended, seen


def check(name: str, seed: int, folder: Path) -> None:
    code, said, ended, seen = disturbed(name, seed, folder)
    assert "Traceback" not in said, said
    assert seen, f"it never had a child that could be struck:\n{said}"
    assert code in (0, 1, 2, 3), said
    report = folder / "out" / "report.json"
    if code in (0, 1):
        assert report.exists(), said
        # A child that was killed while it was needed is in the report; one whose work was over is no loss.
        verdict = json.loads(report.read_text())["verdict"]
        assert verdict in ("pass", "fail"), said
    _, alive = psutil.wait_procs(seen, timeout=30)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE], said
    if ended and code == 0:
        raise AssertionError(f"a child was killed at {ended} and the run passed:\n{said}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [("proxy", 1), ("pipe", 2), ("load", 3), ("fuzz", 4)])
def test_children_that_are_struck_leave_no_pass_and_no_orphan(name: str, seed: int, tmp_path: Path) -> None:
    check(name, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", RUNS)
def test_children_that_are_struck_leave_no_pass_and_no_orphan_however_often(
    name: str, seed: int, tmp_path: Path
) -> None:
    check(name, seed, tmp_path)
