"""The Bot API mock as a server of its own, in a worker process.

Rules:

- The parent binds the listening socket, so the port is known at once and early calls wait in the backlog; the worker inherits it.
- A call's event is written before its answer leaves: after `sync` the parent has the events of every call that was answered before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from chaosbot.core.errors import WorkerDied
from chaosbot.core.event import Event, Trouble
from chaosbot.mocks.telegram_api.mock import Script
from chaosbot.workers import Startable, Worker, listen


class MockServer(Startable):
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
        self._worker: Worker | None = None

    @property
    def url(self) -> str:
        """The base URL for the bot, without a slash at the end."""
        host, port = self._where
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return self._worker.pid if self._worker else None

    def start(self) -> None:
        """Listens and starts the worker; returns when it answers.

        Raises:
            PortBusy: The address is taken.
            EngineError: The worker did not come up.
        """
        with listen(*self._where) as sock:
            self._where = sock.getsockname()[:2]
            self._worker = Worker(
                "Bot API mock",
                "chaosbot.mocks.worker:serve",
                self._started,
                self._scripts,
                sockets=[sock],
                on_message=self._emit,
                on_death=self._died,
            )
        self._worker.ready()

    def _died(self, how: str) -> None:
        self._emit(Trouble(monotonic() - self._started, "mock", f"its worker {how}"))

    def sync(self, timeout_s: float = 5.0) -> None:
        """Waits until the events of all calls answered so far have been emitted.

        Raises:
            WorkerDied: It has ended, or did not answer in time.
        """
        if self._worker is None:
            raise WorkerDied("the Bot API mock does not run; nothing can be known of the bot's calls")
        self._worker.ask(None, timeout_s, "its events")

    def stop(self) -> None:
        """Ends the worker and takes its last events; does nothing when it has ended already."""
        if self._worker is not None:
            self._worker.stop()
