"""The embedded target as a child process, and what is known of the target under test."""

from __future__ import annotations

import importlib.util
import os
import queue
import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, Final, Self

from chaosbot.config import defaults
from chaosbot.core.dice import Dice
from chaosbot.core.errors import EngineError, UsageError

START_S: Final = 60.0
"""How long the demo may take to listen; imports take about a second on a slow machine."""

WEBHOOK_PATH: Final = defaults.DEMO_PATH


def embedded_secret(seed: int) -> str:
    """The webhook secret of the embedded bot, where the environment names none: it protects nothing outside of its run."""
    return Dice(seed).at("demo", "secret").token(24)


def require_demo() -> None:
    """Looks for what the embedded bot is made of.

    Raises:
        UsageError: A plain install does not have it.
    """
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise UsageError(
            "the embedded demo bot needs packages that a plain install leaves out; add them with: "
            "pip install 'chaosbot[demo]', or name the TARGET that you want to test"
        )


class DemoTarget:
    """The demo bot in a process of its own; it ends with the pipe that it reads from here.

    Args:
        bugs: Planted bugs that are on: names with commas, ``fragile`` for all, empty for none.
        secret: The webhook secret that it asks for.
        bot_api: Base URL of the Bot API (the mock, or the proxy in front of it).
        port: Where it listens; 0 takes a free port.
        limits: Whether its per-user rate limits hold.
        token: The bot's token.
    """

    def __init__(
        self,
        *,
        bugs: str = "",
        secret: str = "",
        bot_api: str = "",
        port: int = 0,
        limits: bool = True,
        token: str = "",
    ) -> None:
        self._command = [
            sys.executable,
            "-m",
            "chaosbot.demo",
            "--exit-with-stdin",
            "--port",
            str(port),
            "--bugs",
            bugs,
        ]
        if bot_api:
            self._command += ["--bot-api", bot_api]
        if not limits:
            self._command += ["--no-limits"]
        self._environment = {**os.environ, defaults.SECRET_ENV: secret}
        if token:
            self._environment["BOT_TOKEN"] = token
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The supervisor's process id; the bot itself is its child."""
        return self._process.pid if self._process else 0

    @property
    def webhook(self) -> str:
        """The webhook's URL."""
        return f"{self.url}{WEBHOOK_PATH}"

    def __enter__(self) -> Self:
        self.launch()
        self.ready()
        return self

    def launch(self) -> None:
        """Starts the process without waiting for it."""
        self.url = ""
        # A session of its own keeps the terminal's Ctrl-C away: the run decides when its target ends.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
        )

    def ready(self) -> None:
        """Waits until the bot listens.

        Raises:
            EngineError: It does not.
        """
        assert self._process is not None  # noqa: S101 - for the type checker: it was launched
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: PIPE was asked for
        try:
            line = _first_line(self._process.stdout)
            if not line.startswith(b"READY "):
                raise EngineError("the embedded demo bot did not start; run `python -m chaosbot.demo` to see why")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.url = line.split()[1].decode()

    def restart(self) -> None:
        """Ends the bot and starts it again at the same place, with nothing remembered."""
        self.__exit__(None, None, None)
        self.__enter__()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if not self.url:
            process.kill()  # while it starts it listens to nobody
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Closed last: a thread may still wait for the first line, and ends with the process.
        if process.stdout is not None:
            process.stdout.close()


def _first_line(pipe: IO[bytes]) -> bytes:
    """The child's first line, or nothing when it does not come in time."""
    answer: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(pipe.readline()), daemon=True).start()
    try:
        return answer.get(timeout=START_S)
    except queue.Empty:
        return b""
