"""Keeps a bot process alive on a listening socket.

Rules:
1. One child at a time. When it dies it is replaced: at once, but at most about five times a second.
2. The child never outlives the supervisor, however that one ends: the kernel kills it (Linux), and it watches a pipe
   whose other end only the supervisor holds (everywhere).
3. A stop takes half a second at most; a child that does not listen is killed. When the lifeline ends, nobody is left to be polite
   to: the child is killed at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from chaosbot.demo.settings import DemoSettings
from chaosbot.demo.worker import work

BETWEEN_STARTS_S: Final = 0.2
GRACE_S: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1


def supervise(settings: DemoSettings, sock: socket.socket, ready: Callable[[], None], lifeline: int | None) -> None:
    """Runs children until SIGTERM, SIGINT or the end of the lifeline.

    Args:
        settings: What the demo is told from outside.
        sock: The listening socket; children inherit it.
        ready: Called when the first child answers requests.
        lifeline: A file descriptor to watch, such as standard input.
    """
    _import_ahead()
    wakeup, alarm = os.pipe()
    os.set_blocking(alarm, False)
    stopping = False
    grace = GRACE_S

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    previous_wakeup = signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    child: Child | None = None
    try:
        while not stopping:
            started = time.monotonic()
            child = Child(settings, sock, (wakeup, alarm))
            while not stopping:
                watched = [wakeup, child.alive, *([child.ready] if child.ready >= 0 else [])]
                readable, _, _ = select.select(watched + ([lifeline] if lifeline is not None else []), [], [])
                if child.ready in readable:
                    if child.take_ready():
                        ready()
                        ready = _nothing
                elif child.alive in readable:
                    break
                elif lifeline in readable and not os.read(lifeline or 0, 4096):
                    stopping, grace = True, 0.0
            child.end(grace if stopping else 0.0)
            child = None
            if not stopping:
                remaining = BETWEEN_STARTS_S - (time.monotonic() - started)
                select.select([wakeup], [], [], max(0.0, remaining))
    finally:
        if child is not None:
            child.end(0.0)
        signal.set_wakeup_fd(previous_wakeup)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(wakeup)
        os.close(alarm)


class Child:
    """One bot process.

    Attributes:
        pid: Its process id.
        alive: Readable (end of file) once it has died.
        ready: Readable once it serves; -1 afterwards.
    """

    def __init__(self, settings: DemoSettings, sock: socket.socket, not_yours: tuple[int, int]) -> None:
        """Forks.

        Args:
            settings: What the demo is told from outside.
            sock: The listening socket.
            not_yours: Descriptors that the child must close.
        """
        self.alive, life = os.pipe()
        self.ready, report = os.pipe()
        leash, self._leash = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            for descriptor in (*not_yours, self.alive, self.ready, self._leash):
                os.close(descriptor)
            _be_child(settings, sock, parent, report, leash)
        for descriptor in (life, report, leash):
            os.close(descriptor)

    def take_ready(self) -> bool:
        """Reads the report of the child: whether it serves."""
        served = bool(os.read(self.ready, 1))
        os.close(self.ready)
        self.ready = -1
        return served

    def end(self, grace: float) -> None:
        """Ends the child and waits for it.

        Args:
            grace: Seconds it has for ending by itself.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            if not select.select([self.alive], [], [], grace)[0]:
                os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for descriptor in (self.alive, self._leash, *([self.ready] if self.ready >= 0 else [])):
            os.close(descriptor)


def _be_child(settings: DemoSettings, sock: socket.socket, parent: int, report: int, leash: int) -> None:
    """What the child does; never returns."""
    status = 1
    try:
        os.setpgid(0, 0)  # Ctrl+C is the supervisor's business
        _die_with_parent(parent, leash)
        work(settings, sock, lambda: _tell(report))
        status = 0
    except KeyboardInterrupt:
        status = 0
    except BaseException:  # noqa: BLE001 -- printed, then the process ends
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _tell(report: int) -> None:
    os.write(report, b"1")
    os.close(report)


def _die_with_parent(parent: int, leash: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

    def watch() -> None:
        os.read(leash, 1)
        os._exit(1)

    threading.Thread(target=watch, name="leash", daemon=True).start()


def _import_ahead() -> None:
    for module in (
        "chaosbot.demo.app",
        "chaosbot.demo.protocol",
        "httpcore",
        "uvicorn.protocols.websockets.wsproto_impl",
    ):
        importlib.import_module(module)


def _nothing() -> None:
    pass
