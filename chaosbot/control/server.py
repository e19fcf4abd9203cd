"""The runtime control API: Toxiproxy's HTTP contract over byte pipes, and `/plan` over whichever proxy runs beside it.

Rules:

- The API and its pipes run in a process of their own (`control_worker`). The parent binds the address, so it is known (or
  known to be taken) before anything starts, and early clients wait in the backlog.
- Events come back as they happen; when the API stops, each toxic's tally is the last thing that it says.
- A worker that dies unasked is a `Trouble`: the run cannot be a pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

from chaosbot.core.errors import ChaosbotError, EngineError, UsageError
from chaosbot.core.event import Event, Trouble
from chaosbot.transport import bracketed
from chaosbot.workers import Startable, Worker, listen

DEFAULT_PORT: Final = 8474


class PlanHolder(Protocol):
    """Whoever holds a fault plan that `/plan` shows and changes; called from a thread of the API's."""

    def read(self) -> dict[str, Any]:
        """The plan in force, as a plan file would say it."""

    def replace(self, plan: dict[str, Any]) -> None:
        """Puts another plan in force, on live connections too.

        Raises:
            ConfigError: The plan is wrong; the old one stays.
        """


class ControlServer(Startable):
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
        self._worker: Worker | None = None

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
        return f"http://{bracketed(host)}:{port}"

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return None if self._worker is None else self._worker.pid

    def start(self) -> None:
        """Binds the address and starts the worker.

        Raises:
            PortBusy: The address is taken.
            UsageError: It is none of this machine's.
            EngineError: The worker does not come up.
        """
        with listen(self._host, self._port, "--control") as api:
            name = api.getsockname()
            self._address = (str(name[0]), int(name[1]))
            self._worker = Worker(
                "control API",
                "chaosbot.control.http:serve",
                self._seed,
                self._origin,
                self._allow_hosts,
                sockets=[api],
                on_message=self._emit,
                on_request=self._answer,
                on_death=self._died,
            )
        self._worker.ready()

    def stop(self) -> None:
        """Ends the API, its proxies and their connections; the last events have arrived when this returns."""
        if self._worker is not None:
            self._worker.stop()

    def _died(self, how: str) -> None:
        self._emit(Trouble(time.monotonic() - self._origin, "control", f"the control API's worker {how}"))

    def _answer(self, request: tuple[str, Any]) -> dict[str, Any]:
        question, value = request
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
