"""Every sample session of the documentation is played: its commands run, and what they print is what the page shows.

A block of the language ``console`` has a line of its own before it:

- ``<!-- run -->``: played by the default suite, with all others of its page, in order, in one folder (which holds ``examples/``);
- ``<!-- run: slow -->``: played, together with those above, by ``pytest -m slow``;
- ``<!-- not run: REASON -->``.

A command that ends with ``&`` stays until the page is over. ``…`` stands for anything (on a line of its own: for any lines), any figure for
any figure, any time for any time; output before the first line that is shown may be left out.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```console\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"(?<![\w-])-?\d[\d,.]*(?:[eE][-+]\d+)?(?:\s?(?:ns|µs|ms|kB|MB|GB|[smhB%])(?!\w))?(?: \d+s(?!\w))?")
GRACE_S = 60.0


def sessions(page: Path) -> Iterator[tuple[str, str]]:
    """The console blocks of a page: mark and text."""
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield match["mark"] or "", match["text"]


def steps(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that it is to print."""
    command, expected = "", []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line.removeprefix("$ ").split("  #")[0].strip(), []
        elif command.endswith("\\"):
            command = f"{command[:-1]} {line.strip()}"
        else:
            expected.append(line)
    yield command, expected


def plain(line: str) -> str:
    """A line with its figures and blanks made alike."""
    return " ".join(FIGURE.sub("N", line).split())


def shown_in(expected: list[str], printed: list[str]) -> str:
    """What of the expected lines was not printed in this order; empty when all was."""
    lines = [plain(line) for line in printed]
    place, anywhere = 0, True
    for line in expected:
        if line.strip() == "…":
            anywhere = True
            continue
        if not line.strip():
            continue
        pattern = re.compile(".*".join(map(re.escape, plain(line).split("…"))))
        found = [number for number in range(place, len(lines)) if pattern.fullmatch(lines[number])]
        between = [one for one in lines[place : found[0]] if one] if found else []
        if not found or (between and not anywhere):
            return line
        place, anywhere = found[0] + 1, False
    return ""


class Player:
    """Plays the sessions of one page in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "examples", folder / "examples")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("TELEGRAM_SECRET_TOKEN", "BOT_TOKEN")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_DATA_HOME": str(folder / "data"),
        }
        self.environment.pop("COLUMNS", None)
        self.background: list[tuple[subprocess.Popen[str], Path]] = []

    def play(self, command: str, expected: list[str]) -> None:
        """Runs a command and compares what it prints."""
        if command.startswith("export "):
            for name, _, value in (word.partition("=") for word in shlex.split(command)[1:]):
                self.environment[name] = value.replace("…", "secret-of-the-docs")
            return
        if command.endswith("&"):
            self._stay(command[:-1].strip(), expected)
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        lack = shown_in(expected, done.stdout.splitlines())
        assert not lack, f"$ {command}\ndoes not print\n{lack}\nbut (exit code {done.returncode})\n{done.stdout}"
        assert done.returncode in (0, 1, 3), f"$ {command}\n{done.stdout}"

    def _stay(self, command: str, expected: list[str]) -> None:
        log = self.folder / f"background-{len(self.background)}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.background.append((process, log))
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until:
            printed = log.read_text().splitlines()
            ready = any(re.search("listening on|webhook  |serving|Uvicorn running", line) for line in printed)
            if ready and not shown_in(expected, printed):
                return
            assert process.poll() is None, f"$ {command} &\nended: {log.read_text()}"
            time.sleep(0.05)
        raise AssertionError(f"$ {command} &\ndoes not print {expected}, but\n{log.read_text()}")

    def end(self) -> None:
        """Ends what stayed."""
        for process, _ in reversed(self.background):
            process.send_signal(signal.SIGTERM)
        for process, _ in self.background:
            process.wait(timeout=40)


def play(page: Path, folder: Path, *, slow: bool) -> None:
    player = Player(folder)
    try:
        for mark, text in sessions(page):
            if mark == "run" or (slow and mark == "run: slow"):
                for command, expected in steps(text):
                    player.play(command, expected)
    finally:
        player.end()


def marked(mark: str) -> list[Path]:
    return [page for page in PAGES if any(found == mark for found, _ in sessions(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_session_says_whether_it_is_played(page: Path) -> None:
    for mark, text in sessions(page):
        assert re.fullmatch(r"run|run: slow|not run: \w.*", mark), f"{page.name}: mark this block:\n{text}"


@pytest.mark.parametrize("page", marked("run"), ids=lambda page: page.name)
@pytest.mark.quick(2)
def test_the_sessions_of_a_page_go_as_it_says(page: Path, tmp_path: Path) -> None:
    play(page, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", marked("run: slow"), ids=lambda page: page.name)
def test_the_long_sessions_of_a_page_go_as_it_says(page: Path, tmp_path: Path) -> None:
    play(page, tmp_path, slow=True)


@pytest.mark.parametrize(
    ("expected", "printed", "lacks"),
    [
        (["p50 1.23ms"], ["starting", "p50  40µs"], ""),
        (["a", "b"], ["a", "x", "b"], "b"),
        (["a", "…", "b"], ["a", "x", "b"], ""),
        (["took … of 7 s"], ["took a lot of 9 s"], ""),
        (["PASS"], ["FAIL"], "PASS"),
        (["rule no_leak-54f1"], ["rule no_leak-54f2"], "rule no_leak-54f1"),
    ],
)
def test_a_session_that_went_otherwise_would_be_noticed(expected: list[str], printed: list[str], lacks: str) -> None:
    assert shown_in(expected, printed) == lacks
