"""The runtime control API: Toxiproxy's HTTP contract over byte pipes, and `/plan` over whichever proxy runs beside it.

Rules:

- The API and its pipes run in a process of their own (`control_worker`). The parent binds the address, so it is known (or
  known to be taken) before anything starts, and early clients wait in the backlog.
- Events come back as they happen; when the API stops, each toxic's tally is the last thing that it says.
- A worker that dies unasked is a `Trouble`: the run cannot be a pass.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import chaosbot
from chaosbot.core.errors import ChaosbotError, EngineError, PortBusy, UsageError
from chaosbot.core.event import Event, Trouble, from_json
from chaosbot.tcp.server import listen

DEFAULT_PORT: Final = 8474
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 5.0


class PlanHolder(Protocol):
    """Whoever holds a fault plan that `/plan` shows and changes; called from a thread of the API's."""

    def read(self) -> dict[str, Any]:
        """The plan in force, as a plan file would say it."""

    def replace(self, plan: dict[str, Any]) -> None:
        """Puts another plan in force, on live connections too.

        Raises:
            ConfigError: The plan is wrong; the old one stays.
        """


class ControlServer:
    """The control API, in a process of its own.

    Args:
        host: Where to listen; an address of this machine.
        port: The port; 0 takes a free one.
        seed: The run's seed.
        emit: Takes the events of the pipes, from a thread of the API's.
        plan_holder: What `/plan` works on; without one `/plan` is 404.
        metrics: More Prometheus text for `/metrics`.
        origin: `time.monotonic()` at the start of the run, from which events count.
        allow_hosts: Globs of upstream hosts beside this machine's own that proxies may be pointed at.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        seed: int = 0,
        emit: Callable[[Event], None] = lambda _event: None,
        plan_holder: PlanHolder | None = None,
        *,
        metrics: Callable[[], str] | None = None,
        origin: float | None = None,
        allow_hosts: Collection[str] = (),
    ) -> None:
        self._host, self._port = host, port
        self._seed = seed
        self._emit = emit
        self._holder = plan_holder
        self._metrics = metrics
        self._origin = time.monotonic() if origin is None else origin
        self._allow_hosts = tuple(allow_hosts)
        self._address: tuple[str, int] | None = None
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._up = False
        self._stopping = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, once it was started."""
        if self._address is None:
            raise EngineError("the control API was not started")
        return self._address

    @property
    def url(self) -> str:
        """The same as a URL."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Binds the address and starts the worker.

        Raises:
            PortBusy: The address is taken.
            UsageError: It is none of this machine's.
            EngineError: The worker does not come up.
        """
        api = self._bind()
        with api:
            ours, theirs = socket.socketpair()
            with theirs:
                name = api.getsockname()
                self._address = (str(name[0]), int(name[1]))
                self._process = self._spawn(api, theirs)
        self._channel = ours
        self._thread = threading.Thread(target=self._listen, args=(ours,), name="control-api", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S) or not self._up:
            self.stop()
            raise EngineError(f"control API: its worker did not come up within {_START_TIMEOUT_S:.0f} s")

    def _bind(self) -> socket.socket:
        try:
            return listen(self._host, self._port)
        except OSError as error:
            where = f"--control {self._host}:{self._port}"
            if isinstance(error, socket.gaierror) or error.errno != errno.EADDRINUSE:
                raise UsageError(f"{where}: cannot be listened on ({error.strerror}); choose an own address") from None
            raise PortBusy(f"{where}: the address is taken; choose another port, or 0 for a free one") from None

    def _spawn(self, api: socket.socket, parent: socket.socket) -> subprocess.Popen[bytes]:
        fds = (api.fileno(), parent.fileno())
        command = [sys.executable, "-m", "chaosbot.control.worker"]
        command += ["--api-fd", str(fds[0]), "--parent-fd", str(fds[1])]
        command += ["--seed", str(self._seed), "--origin", repr(self._origin)]
        for host in self._allow_hosts:
            command += ["--allow-host", host]
        # The package that runs here must run there, wherever the parent found it.
        home = str(Path(chaosbot.__file__).parent.parent)
        paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(
            command, pass_fds=fds, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths}
        )

    def stop(self) -> None:
        """Ends the API, its proxies and their connections; the last events have arrived when this returns."""
        self._stopping = True
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)
        if self._process is not None:
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_TIMEOUT_S)
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ── the channel ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _listen(self, channel: socket.socket) -> None:
        """Takes events and questions until the worker ends."""
        with contextlib.suppress(OSError), channel.makefile("rb") as lines:
            for line in lines:
                self._take(channel, json.loads(line))
        self._ready.set()  # a start that waits for a worker that has died waits no longer
        if self._up and not self._stopping:
            now = time.monotonic() - self._origin
            self._emit(Trouble(now, "control", "the control API's worker ended without being asked to"))

    def _take(self, channel: socket.socket, message: dict[str, Any]) -> None:
        if "event" in message:
            self._emit(from_json(message["event"]))
        elif "ask" in message:
            answer = self._answer(message["ask"], message.get("value"))
            with contextlib.suppress(OSError):
                channel.sendall(json.dumps({"id": message["id"], **answer}).encode() + b"\n")
        else:
            self._up = True
            self._ready.set()

    def _answer(self, question: str, value: Any) -> dict[str, Any]:
        nothing = {"error": "no fault plan runs here; start `chaosbot proxy` with --control", "status": 404}
        try:
            match question:
                case "plan":
                    return nothing if self._holder is None else {"value": self._holder.read()}
                case "replace":
                    if self._holder is None:
                        return nothing
                    self._holder.replace(value)
                    return {"value": None}
                case "metrics":
                    return {"value": self._metrics() if self._metrics is not None else ""}
                case _:
                    return {"error": f"unknown question '{question}'", "status": 500}
        except UsageError as error:
            return {"error": str(error), "status": 400}
        except ChaosbotError as error:
            return {"error": str(error), "status": 500}
        except Exception as error:  # noqa: BLE001 - an answer must come, and the next question too
            return {"error": f"{type(error).__name__}: {error}", "status": 500}
