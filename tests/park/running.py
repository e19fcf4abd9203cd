"""Starts a bot of the park as a process of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .roster import Bot

BOTS = Path(__file__).parent / "bots"
SECRET = "Park_Secret-0123456789"
TOKEN = "5551234567:AAH-park-token-of-thirty-five-chars"
ADMIN_ID = 777000123
WEBHOOK_PATH = "/tg/webhook"
START_S = 30.0


@dataclass(frozen=True)
class Running:
    """A bot that runs.

    Args:
        bot: Which.
        url: Its webhook.
        pid: Its process.
        log: Where its standard output and error go.
    """

    bot: Bot
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process's id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None


def _cache(name: str, *parts: bytes) -> Path:
    """A directory for what was built from these parts, in the temporary directory."""
    return Path(tempfile.gettempdir()) / f"chaosbot-park-{name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}"


def _built(source: Path) -> Path:
    """The Go program, compiled once for each state of its source."""
    directory = _cache("go", source.read_bytes())
    program = directory / source.stem
    if not program.exists():
        directory.mkdir(exist_ok=True)
        half = directory / f"{source.stem}.{os.getpid()}"
        subprocess.run(["go", "build", "-o", str(half), str(source)], check=True, timeout=240, cwd=directory)
        half.rename(program)
    return program


def _modules(packages: tuple[str, ...]) -> Path:
    """A node_modules directory with these packages: that of CHAOSBOT_NODE_MODULES, or one installed once."""
    if given := os.environ.get("CHAOSBOT_NODE_MODULES"):
        return Path(given)
    directory = _cache("npm", *(name.encode() for name in packages))
    if not (directory / "done").exists():
        directory.mkdir(exist_ok=True)
        command = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(directory),
            *packages,
        ]
        subprocess.run(command, check=True, timeout=180, cwd=directory, stdout=subprocess.DEVNULL)
        (directory / "done").touch()
    return directory / "node_modules"


def command(bot: Bot) -> tuple[list[str], dict[str, str]]:
    """What starts the bot, and what its environment needs besides; CHAOSBOT_PARK_PYTHON is the Python of those in Python."""
    source = BOTS / bot.file
    if bot.runtime == "go":
        return [str(_built(source))], {}
    if bot.runtime == "node":
        return [shutil.which("node") or "node", str(source)], {"NODE_PATH": str(_modules(bot.npm))} if bot.npm else {}
    return [os.environ.get("CHAOSBOT_PARK_PYTHON", sys.executable), str(source)], {}


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment_of(bot: Bot, bot_api: str, *, bug: str, port: int) -> dict[str, str]:
    """The variables with which the bot is started."""
    return {
        **os.environ,
        **command(bot)[1],
        "PORT": str(port),
        "WEBHOOK_PATH": WEBHOOK_PATH,
        "SECRET": bot.secret or SECRET,
        "BOT_TOKEN": TOKEN,
        "BOT_API": bot_api,
        "ADMIN_ID": str(ADMIN_ID),
        "BUG": bug,
    }


@contextmanager
def running(bot: Bot, bot_api: str, *, bug: str = "", port: int = 0, log: Path | None = None) -> Iterator[Running]:
    """The bot while it runs; it is killed at the end.

    Args:
        bot: Which.
        bot_api: The base URL of the Bot API.
        bug: The name of one of its bugs.
        port: Where it listens; 0 for a free one.
        log: Where its output goes; a temporary file when left out.

    Raises:
        RuntimeError: It did not come up.
    """
    port = port or free_port()
    arguments, _ = command(bot)
    environment = environment_of(bot, bot_api, bug=bug, port=port)
    log = log or Path(tempfile.mkstemp(prefix=f"park-{bot.name}-", suffix=".log")[1])
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await(process, port, bot, log)
        yield Running(bot, f"http://127.0.0.1:{port}{WEBHOOK_PATH}", process, log)
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, bot: Bot, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(
                f"{bot.name}: ended with {process.returncode} as it started: {log.read_text('utf-8', 'replace')[-600:]}"
            )
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{bot.name}: does not listen on {port} after {START_S:g} s")
