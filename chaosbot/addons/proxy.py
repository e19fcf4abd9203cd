"""The proxy as the rest of chaosbot sees it: a handle on worker processes.

Rules:

- Colourless: a thread of its own reads what the workers say, so any kind of program can hold a proxy. `emit` is called on that
  thread.
- The parent binds the sockets: the port is known at once, a taken one is an error at once, and early requests wait.
- A worker that dies is trouble, never silence. `stop` never hangs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from chaosbot.addons.record import HarRecorder
from chaosbot.addons.spec import MOCK, ListenerSpec, ProxySpec
from chaosbot.core.errors import ConfigError, EngineError
from chaosbot.core.event import Event, RuleTallied, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.tcp.worker import PipesSpec
from chaosbot.transport import UNIX, bracketed, is_socket
from chaosbot.workers import Startable, Worker, listen, release

__all__ = ["MOCK", "ListenerSpec", "Proxy", "ProxySpec"]

ANSWER_S: Final = 20.0
"""How long a worker may take for a request, in seconds; only one that hangs is ever waited for so long."""
LAST_WORD_S: Final = 5.0


class Proxy(Startable):
    """A running proxy; a context manager that starts and stops it.

    Args:
        spec: What it is to be.
        emit: Takes every event; called on threads of the proxy's own.

    Attributes:
        recording: The traffic so far, when the spec asks for it; `HarRecorder.save` writes it.
        behind: Waits for the events of what stands behind the proxy and tells them in another process, such as a mock's server.
    """

    def __init__(self, spec: ProxySpec, emit: Callable[[Event], None]) -> None:
        self.spec = spec if spec.started else dataclasses.replace(spec, started=time.monotonic())
        self._emit = emit
        self._sockets: list[socket.socket] = []
        self._workers: list[Worker] = []
        self._serving: list[Worker] = []
        self._stopped = False
        self.behind: Callable[[], None] | None = None
        self.recording = HarRecorder(self.spec.record) if self.spec.record is not None else None

    def start(self) -> None:
        """Binds, starts the workers and waits until they serve.

        Raises:
            PortBusy: An address is taken.
            UsageError: An address is none of this machine's.
            EngineError: The workers did not come up.
        """
        self.launch()
        self.ready()

    def launch(self) -> None:
        """Binds and starts the workers; from now on there are addresses, and requests wait until they are served.

        Raises:
            PortBusy: An address is taken.
            UsageError: An address is none of this machine's.
        """
        try:
            for listener in self.spec.listeners:
                self._sockets.append(listen(listener.host, listener.port))
            count = 1 if self.spec.plan.counts else max(1, self.spec.workers)
            spec = dataclasses.replace(self.spec, workers=count)
            serve, served = _function(spec)
            for index in range(count):
                self._workers.append(
                    Worker(
                        f"proxy worker {index}",
                        serve,
                        served,
                        index,
                        sockets=self._sockets,
                        on_message=self._take,
                        on_death=partial(self._died, index),
                        optimize=True,
                    )
                )
            self._serving = list(self._workers)
        except BaseException:
            self._abandon()
            raise

    def ready(self) -> None:
        """Waits until every worker serves.

        Raises:
            EngineError: One did not come up.
        """
        try:
            while self._serving:
                self._serving[0].ready()
                del self._serving[0]
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Ends workers that never served: they have nothing to tell, and while they import they do not listen."""
        self._stopped = True
        for worker in self._workers:
            worker.kill()
        self._close()

    def url(self, direction: Direction, name: str = "") -> str:
        """Where a direction's listener can be reached: ``http://HOST:PORT``, or ``tcp://`` for one without HTTP.

        Args:
            direction: Which direction.
            name: The upstream's name; by default the first listener.
        """
        for listener, sock in zip(self.spec.listeners, self._sockets, strict=True):
            if listener.direction is direction and name in ("", listener.name):
                scheme = "tcp" if listener.upstream.startswith("tcp:") else "http"
                if is_socket(listener.host):
                    return f"{scheme}://{UNIX}{listener.host}"
                host, port = sock.getsockname()[:2]
                return f"{scheme}://{bracketed(host)}:{port}"
        raise ConfigError("", f"the proxy has no listener for the {direction} direction")

    @property
    def pids(self) -> tuple[int, ...]:
        """The workers' process ids, for those who watch their memory."""
        return tuple(worker.pid for worker in self._workers)

    def replace_plan(self, plan: FaultPlan) -> None:
        """From now on this plan holds, on connections in use too; what the old one held goes its way.

        Raises:
            ConfigError: The plan counts and there are several workers.
            EngineError: A worker did not take it.
        """
        if plan.counts and len(self._workers) > 1:
            raise ConfigError(
                "", "a plan that counts (first, nth, every, cap) needs one worker; start with workers = 1"
            )
        self._ask_all("plan", plan)

    def set_phase(self, phase: str) -> None:
        """The run's phase changed; rules may hold for one phase only."""
        self._ask_all("phase", phase)

    def clear(self) -> None:
        """All faults are gone and everything that was held goes on; the proxy passes everything from now on."""
        self._ask_all("clear")

    def flush(self) -> None:
        """Returns when every event of exchanges that are finished has been emitted."""
        self._ask_all("flush")
        if self.behind is not None:
            self.behind()

    def stop(self) -> None:
        """Ends the proxy and emits what each rule came to. Never hangs; a second call does nothing."""
        if self._stopped:
            return
        if self._serving:
            self._abandon()
            return
        self._stopped = True
        asked: list[tuple[Worker, int]] = []
        for worker in self._workers:
            with contextlib.suppress(EngineError):
                asked.append((worker, worker.post(("stop", None))))
        tallies: dict[tuple[str, str], RuleTallied] = {}
        for worker, number in asked:
            try:
                for tally in worker.wait(number, LAST_WORD_S, "its tallies"):
                    _add(tallies, tally)
            except EngineError as error:
                self._trouble(str(error))
        self._close()
        for tally in tallies.values():
            self._emit(tally)

    def _close(self) -> None:
        for worker in self._workers:
            worker.tell_to_stop()
        for worker in self._workers:
            worker.stop()
        for sock in self._sockets:
            release(sock)

    def _ask_all(self, word: str, value: Any = None) -> None:
        posted = [(worker, worker.post((word, value))) for worker in self._workers]
        for worker, number in posted:
            worker.wait(number, ANSWER_S, word)

    def _take(self, message: Event | dict[str, Any]) -> None:
        """Takes an event, or a line of the recording."""
        if not isinstance(message, dict):
            self._emit(message)
        elif self.recording is not None:
            self.recording.absorb([message])

    def _died(self, index: int, how: str) -> None:
        self._trouble(f"worker {index} died: it {how}; nothing is proxied or recorded any more")

    def _trouble(self, what: str) -> None:
        self._emit(Trouble(time.monotonic() - self.spec.started, "proxy", what))


def _function(spec: ProxySpec) -> tuple[str, ProxySpec | PipesSpec]:
    """What a worker runs, and on what: where no listener needs HTTP, one that loads no mitmproxy."""
    pipes = [item.pipe for item in spec.listeners if item.pipe is not None]
    if len(pipes) < len(spec.listeners):
        return "chaosbot.addons.worker:serve", spec
    only = PipesSpec(tuple(pipes), spec.seed, spec.plan, spec.workers, spec.started, spec.allow_hosts)
    return "chaosbot.tcp.worker:serve", only


def _add(tallies: dict[tuple[str, str], RuleTallied], more: RuleTallied) -> None:
    known = tallies.get((more.rule, more.fault))
    tallies[more.rule, more.fault] = (
        more
        if known is None
        else RuleTallied(
            more.t,
            more.rule,
            more.fault,
            more.depth,
            known.considered + more.considered,
            known.decided + more.decided,
            known.applied + more.applied,
            known.failed + more.failed,
        )
    )
