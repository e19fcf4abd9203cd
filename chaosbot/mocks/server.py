"""The Bot API mock as a server of its own, in a worker process.

Rules:

- The parent binds the listening socket, so the port is known at once and early calls wait in the backlog; the worker inherits it.
- One socketpair joins the two, JSON lines both ways: events and acknowledgements up, commands down. End of file ends the
  worker, whatever became of its parent, so no worker outlives a ``kill -9``.
- A call's event is written before its answer leaves, on an ordered channel: after `sync` the parent has the events of every
  call that was answered before.
- Who cannot read events as fast as they come slows the bot down instead of filling memory.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from time import monotonic
from types import TracebackType
from typing import Final, Self

import orjson

from chaosbot.core.errors import EngineError, PortBusy, WorkerDied
from chaosbot.core.event import Event, Trouble, from_json
from chaosbot.mocks.telegram_api.mock import Script

_READY_S: Final = 60.0
_STOP_S: Final = 5.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PortBusy: The address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise PortBusy(
            f"{host}:{port}: cannot listen ({error.strerror}); choose another port, or 0 for any free one"
        ) from None
    return sock


class MockServer:
    """The parent's end: starts, watches and stops the worker.

    Args:
        host: Where to listen.
        port: On which port; 0 for any free one.
        emit: Takes the events, on a thread of this class.
        started: The run's start on the monotonic clock, which all processes of a machine share.
        scripts: Failures on purpose (`Script`).
    """

    def __init__(
        self,
        host: str,
        port: int,
        emit: Callable[[Event], None],
        started: float,
        *,
        scripts: Sequence[Script] = (),
    ) -> None:
        self._where = (host, port)
        self._emit = emit
        self._started = started
        self._scripts = tuple(scripts)
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._settled = threading.Event()
        self._up = False
        self._stopping = False
        self._syncs = itertools.count(1)
        self._synced = 0
        self._sync_seen = threading.Condition()

    @property
    def url(self) -> str:
        """The base URL for the bot, without a slash at the end."""
        host, port = self._where
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Listens and starts the worker; returns when it answers.

        Raises:
            PortBusy: The address is taken.
            EngineError: The worker did not come up.
        """
        sock = listen(*self._where)
        self._where = sock.getsockname()[:2]
        ours, theirs = socket.socketpair()
        arguments = {"started": self._started, "scripts": [asdict(script) for script in self._scripts]}
        command = [sys.executable, "-m", "chaosbot.mocks.worker", str(sock.fileno()), str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                [*command, json.dumps(arguments)],
                pass_fds=(sock.fileno(), theirs.fileno()),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        finally:
            sock.close()
            theirs.close()
        self._channel = ours
        self._reader = threading.Thread(target=self._read, args=(ours,), name="mock-events", daemon=True)
        self._reader.start()
        self._settled.wait(_READY_S)
        if not self._up:
            self.stop()
            raise EngineError(f"the Bot API mock did not start within {_READY_S:g} s; its error stands above")

    def _read(self, channel: socket.socket) -> None:
        with channel.makefile("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                message = orjson.loads(line)
                if "type" in message:
                    self._emit(from_json(message))
                elif "synced" in message:
                    with self._sync_seen:
                        self._synced = message["synced"]
                        self._sync_seen.notify_all()
                else:
                    self._up = True
                    self._settled.set()
        if self._up and not self._stopping:
            self._emit(Trouble(monotonic() - self._started, "mock", "its worker ended without being asked to"))
            with self._sync_seen:
                self._stopping = True
                self._sync_seen.notify_all()
        self._settled.set()

    def sync(self, timeout_s: float = 5.0) -> None:
        """Waits until the events of all calls answered so far have been emitted.

        Raises:
            WorkerDied: It has ended.
            EngineError: It did not answer in time.
        """
        number = next(self._syncs)
        if self._channel is None or self._stopping:
            raise WorkerDied("the Bot API mock's worker has ended; nothing can be known of the bot's calls")
        try:
            self._channel.sendall(orjson.dumps({"sync": number}) + b"\n")
        except OSError:
            raise WorkerDied("the Bot API mock's worker has ended; nothing can be known of the bot's calls") from None
        with self._sync_seen:
            seen = self._sync_seen.wait_for(lambda: self._synced >= number or self._stopping, timeout_s)
        if self._synced < number:
            if seen:
                raise WorkerDied("the Bot API mock's worker ended while it was asked for its events")
            raise EngineError(f"the Bot API mock did not hand over its events within {timeout_s:g} s")

    def stop(self) -> None:
        """Ends the worker and takes its last events; does nothing when it has ended already."""
        self._stopping = True
        if self._channel is not None:
            with suppress(OSError):  # it went first
                self._channel.shutdown(socket.SHUT_WR)
        if self._process is not None:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._reader is not None:
            self._reader.join(_STOP_S)
        if self._channel is not None:
            self._channel.close()
        self._channel = self._reader = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
