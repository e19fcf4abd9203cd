"""Completion as a person meets it: a real shell in a real terminal, its script loaded as the docs say, and a press of Tab."""

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(chaosbot completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -U compinit; compinit -u -D; eval "$(chaosbot completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "chaosbot completion fish | source"),
}
ESCAPE = re.compile(rb"\x1b\[[0-9;?>=]*[A-Za-z]|\x1b[()>=].|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\r|\x08")
KILL_LINE = b"\x15"
WAIT_S = 60.0


class Terminal:
    """The terminal of one shell: what it shows, without colours and movements."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = b""

    def type(self, keys: bytes, shows: str) -> None:
        """Types keys and waits until the screen shows a text that was not typed."""
        self._shown = b""
        os.write(self._descriptor, keys)
        until = time.monotonic() + WAIT_S
        while shows.encode() not in ESCAPE.sub(b"", self._shown):
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{keys!r} does not come to {shows!r}, but to {self._shown!r}"
            piece = os.read(self._descriptor, 1 << 16)
            self._shown += piece
            # A shell may ask what terminal this is, and where its cursor stands.
            if b"\x1b[c" in piece or b"\x1b[0c" in piece:
                os.write(self._descriptor, b"\x1b[?62;c")
            if b"\x1b[6n" in piece:
                os.write(self._descriptor, b"\x1b[1;1R")


@contextmanager
def terminal(words: list[str], folder: Path) -> Iterator[Terminal]:
    """A shell in a terminal of its own, in an empty home."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "TERM": "xterm", "PS1": "$ "}
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(words[0], words, environment)
    try:
        yield Terminal(descriptor)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(descriptor)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_press_of_tab_completes_verbs_options_and_names(shell: str, tmp_path: Path) -> None:
    words, load = SHELLS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    with terminal(words, tmp_path) as screen:
        screen.type(f"{load}; echo rea''dy\r".encode(), "ready")
        for typed, shows in (
            ("chaosbot repl", "chaosbot replay"),
            ("chaosbot load --remote", "--remote-write"),
            ("chaosbot fuzz --check no_ha", "no_hang"),
            ("chaosbot faults botapi_mig", "botapi_migrate"),
        ):
            screen.type(typed.encode() + b"\t", shows)
            screen.type(KILL_LINE + b"echo o''k\r", "ok")
