"""Keeps a bot process alive on a listening socket.

Rules:
1. One child at a time. When it dies it is replaced: at once, but at most about five times a second.
2. The child is forked from this process, which has imported everything, so a replacement serves within milliseconds.
3. The child never outlives the supervisor, however that one ends: the kernel kills it (Linux), and it watches a pipe
   whose other end only the supervisor holds (everywhere).
4. A stop takes half a second at most; a child that does not listen is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from chaosbot.demo.server import work
from chaosbot.demo.settings import DemoSettings

BETWEEN_STARTS_S: Final = 0.2
GRACE_S: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1


async def serve(parent: Any, settings: DemoSettings) -> None:
    """Supervises as a worker of `chaosbot.workers`, until the parent wants it to end."""
    stopping: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    supervised = asyncio.ensure_future(supervise(settings, parent.sockets[0], parent.ready, stopping))
    await asyncio.wait({asyncio.ensure_future(parent.stopping.wait()), supervised}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        stopping.set_result(GRACE_S)
    await supervised


async def serve_alone(
    settings: DemoSettings, sock: socket.socket, ready: Callable[[], None], lifeline: int | None
) -> None:
    """Supervises until SIGTERM, SIGINT or the end of the lifeline; at its end nobody is left to be polite to."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[Any] = loop.create_future()

    def stop(grace_s: float) -> None:
        if not stopping.done():
            stopping.set_result(grace_s)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, GRACE_S)
    if lifeline is not None:
        loop.add_reader(lifeline, lambda: None if os.read(lifeline, 4096) else stop(0.0))
    await supervise(settings, sock, ready, stopping)


async def supervise(
    settings: DemoSettings, sock: socket.socket, ready: Callable[[], None], stopping: asyncio.Future[Any]
) -> None:
    """Runs children until told to stop.

    Args:
        settings: What the demo is told from outside.
        sock: The listening socket; children inherit it.
        ready: Called when the first child answers requests.
        stopping: Says that it is over, and how many seconds the child has for ending by itself.
    """
    _import_ahead()
    loop = asyncio.get_running_loop()
    announced = False
    while not stopping.done():
        started = loop.time()
        child = Child(settings, sock)
        try:
            await asyncio.wait({child.served, child.died, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not announced and child.served.done() and child.served.result():
                announced = True
                ready()
            await asyncio.wait({child.died, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await child.end(stopping.result() if stopping.done() else 0.0)
        await asyncio.wait({stopping}, timeout=max(0.0, BETWEEN_STARTS_S - (loop.time() - started)))


class Child:
    """One bot process, forked.

    Args:
        settings: What the demo is told from outside.
        sock: The listening socket.

    Attributes:
        pid: Its process id.
        served: Whether it answers requests, once that is known.
        died: Done once it has died.
    """

    def __init__(self, settings: DemoSettings, sock: socket.socket) -> None:
        self._alive, life = os.pipe()
        self._ready, report = os.pipe()
        leash, self._leash = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _keep_only(sock.fileno(), life, report, leash)
            _be_child(settings, sock, parent, report, leash)
        for descriptor in (life, report, leash):
            os.close(descriptor)
        self.died = _read(self._alive)
        self.served = _read(self._ready)

    async def end(self, grace_s: float) -> None:
        """Ends the child and waits for it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            if not (await asyncio.wait({self.died}, timeout=grace_s))[0]:
                os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)  # noqa: ASYNC222 -- it was killed
        for descriptor in (self._alive, self._ready):
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        os.close(self._leash)


def _read(descriptor: int) -> asyncio.Future[Any]:
    """Whether something was written, once it was, or False at the end of the pipe."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Any] = loop.create_future()

    def look() -> None:
        loop.remove_reader(descriptor)
        found.set_result(bool(os.read(descriptor, 1)))

    loop.add_reader(descriptor, look)
    return found


def _keep_only(*descriptors: int) -> None:
    """Closes every descriptor but these and the standard ones: a channel that the child holds too would outlive the supervisor."""
    low = 3
    for descriptor in (*sorted(descriptors), os.sysconf("SC_OPEN_MAX")):
        os.closerange(low, descriptor)
        low = descriptor + 1


def _be_child(settings: DemoSettings, sock: socket.socket, parent: int, report: int, leash: int) -> None:
    """What the child does; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
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
