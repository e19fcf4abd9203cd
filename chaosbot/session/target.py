"""The embedded target as a child process."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from typing import Final

from chaosbot.config import defaults
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, EngineError, UsageError
from chaosbot.demo.bugs import parse_bugs
from chaosbot.demo.settings import DemoSettings
from chaosbot.workers import Startable, Worker, listen

START_S: Final = 60.0
"""How long the demo may take to listen; imports take about a second on a slow machine."""
END_S: Final = 1.0

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


class DemoTarget(Startable):
    """The demo bot in a process of its own, on a port that is there from the beginning; it never outlives this process.

    Args:
        bugs: Planted bugs that are on: names with commas, ``fragile`` for all, empty for none.
        secret: The webhook secret that it asks for.
        bot_api: Base URL of the Bot API (the mock, or the proxy in front of it); `launch` may name another.
        limits: Whether its per-user rate limits hold.
        token: The bot's token.

    Raises:
        ConfigError: There is no such bug, or a variable of the environment does not do.
    """

    def __init__(
        self, *, bugs: str = "", secret: str = "", bot_api: str = "", limits: bool = True, token: str = ""
    ) -> None:
        try:
            self._settings = DemoSettings.from_environment(
                {**os.environ, defaults.SECRET_ENV: secret, **({"BOT_TOKEN": token} if token else {})},
                bugs=parse_bugs(bugs),
                bot_api=bot_api or None,
                limits=limits,
            )
        except ValueError as error:
            raise ConfigError("embedded bot", str(error)) from None
        self._sock = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}"
        self._worker: Worker | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id; the bot itself is its child."""
        return self._worker.pid if self._worker else 0

    @property
    def webhook(self) -> str:
        """The webhook's URL."""
        return f"{self.url}{WEBHOOK_PATH}"

    def start(self) -> None:
        """Starts the process; returns when the bot serves.

        Raises:
            EngineError: It does not.
        """
        self.launch()
        self.ready()

    def launch(self, bot_api: str = "") -> None:
        """Starts the process without waiting for it; early requests wait in the socket's backlog."""
        if bot_api:
            self._settings = replace(self._settings, bot_api=bot_api)
        self._worker = Worker(
            "embedded demo bot", "chaosbot.demo.supervisor:serve", self._settings, sockets=[self._sock]
        )

    def ready(self) -> None:
        """Waits until the bot serves.

        Raises:
            EngineError: It does not.
        """
        assert self._worker is not None  # noqa: S101 - for the type checker: it was launched
        try:
            self._worker.ready(START_S)
        except EngineError as error:
            raise EngineError(f"{error}; run `python -m chaosbot.demo` to see why") from None

    def restart(self) -> None:
        """Ends the bot and starts it again at the same place, with nothing remembered."""
        self._end()
        self.start()

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(END_S)

    def stop(self) -> None:
        """Ends it and gives its port back."""
        self._end()
        self._sock.close()
