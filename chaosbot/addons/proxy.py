"""The proxy as the rest of chaosbot sees it: a handle on worker processes.

Rules:

- Colourless: a thread of its own reads what the workers say, so any kind of program can hold a proxy. `emit` is called on that
  thread.
- The parent binds the sockets: the port is known at once, a taken one is an error at once, and early requests wait.
- A worker that dies is trouble, never silence. `stop` never hangs.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import itertools
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import orjson

from chaosbot.addons.record import HarRecorder
from chaosbot.addons.spec import MOCK, ListenerSpec, ProxySpec
from chaosbot.core.errors import ConfigError, EngineError, PortBusy, UsageError, WorkerDied
from chaosbot.core.event import Event, ExchangeSeen, RuleTallied, Trouble, from_json
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan

__all__ = ["MOCK", "ListenerSpec", "Proxy", "ProxySpec"]

# Patience with workers. Only one that hangs is ever waited for so long: a machine that is busy is no reason to lose a run.
START_S: Final = 60.0
ANSWER_S: Final = 20.0
LAST_WORD_S: Final = 5.0
EXIT_S: Final = 0.6  # it has said its last word, so nothing is lost when it is killed
_BACKLOG: Final = 1024


class _Worker:
    """One worker process and the line to it."""

    def __init__(self, index: int, sockets: list[int], told: Callable[[_Worker, dict[str, Any]], None]) -> None:
        self.index = index
        self._told = told
        self._answers: dict[int, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self.gone = False
        self.line, theirs = socket.socketpair()
        with theirs:
            # Modules that this process can import (a third party's fault among them), the worker can too.
            path = os.pathsep.join(entry for entry in sys.path if entry)
            self.process = subprocess.Popen(
                [sys.executable, "-O", "-m", "chaosbot.addons.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(), *sockets),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        self.thread = threading.Thread(target=self._read, name=f"chaosbot-proxy-{index}", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := self.line.recv(1 << 18):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(orjson.loads(line))
        with self._changed:
            self.gone = True
            self._changed.notify_all()
        self._told(self, {"gone": True})

    def _take(self, message: dict[str, Any]) -> None:
        if "ack" in message:
            with self._changed:
                self._answers[message["ack"]] = message
                self._changed.notify_all()
        else:
            self._told(self, message)

    def ask(self, op: str, within_s: float, **values: Any) -> dict[str, Any]:
        """Asks and waits for the answer.

        Raises:
            WorkerDied: It ended, or did not answer in time.
            EngineError: It could not do what it was asked.
        """
        number = self.post(op, **values)
        return self.wait(number, op, within_s)

    def post(self, op: str, **values: Any) -> int:
        """Asks without waiting."""
        number = next(self._numbers)
        line = orjson.dumps({"id": number, "op": op, **values}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self.line.sendall(line)
        except OSError:
            raise WorkerDied(f"proxy worker {self.index} is gone; the run cannot be judged") from None
        return number

    def wait(self, number: int, op: str, within_s: float) -> dict[str, Any]:
        """Waits for an answer."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._answers or self.gone, within_s)
            answer = self._answers.pop(number, None)
        if answer is None:
            how = "ended" if self.gone else f"did not answer within {within_s:g} s"
            raise WorkerDied(f"proxy worker {self.index} {how} when asked to {op}; the run cannot be judged")
        if "error" in answer:
            raise EngineError(f"proxy worker {self.index}: {op}: {answer['error']}")
        return answer

    def end(self) -> None:
        """Makes sure that the process is gone and that everything it said was heard."""
        try:
            self.process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.thread.join(LAST_WORD_S)
        self.line.close()


class Proxy:
    """A running proxy; a context manager that starts and stops it.

    Args:
        spec: What it is to be.
        emit: Takes every event; called on threads of the proxy's own.

    Attributes:
        recording: The traffic so far, when the spec asks for it; `HarRecorder.save` writes it.
    """

    def __init__(self, spec: ProxySpec, emit: Callable[[Event], None]) -> None:
        self.spec = spec if spec.started else dataclasses.replace(spec, started=time.monotonic())
        self._emit = emit
        self._sockets: list[socket.socket] = []
        self._workers: list[_Worker] = []
        self._serving: list[tuple[_Worker, int]] = []
        self._ending = False
        self._stopped = False
        self.recording = HarRecorder(self.spec.record) if self.spec.record is not None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

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
                self._sockets.append(_bind(listener))
            count = 1 if self.spec.plan.counts else max(1, self.spec.workers)
            spec = _pack(dataclasses.replace(self.spec, workers=count))
            numbers = [sock.fileno() for sock in self._sockets]
            self._workers = [_Worker(index, numbers, self._told) for index in range(count)]
            self._serving = [
                (worker, worker.post("serve", spec=spec, sockets=numbers, index=worker.index))
                for worker in self._workers
            ]
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
                worker, number = self._serving[0]
                worker.wait(number, "serve", START_S)
                del self._serving[0]
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Ends workers that never served: they have nothing to tell, and while they import they do not listen."""
        self._stopped = self._ending = True
        for worker in self._workers:
            worker.process.kill()
        self._close()

    def url(self, direction: Direction) -> str:
        """Where the first listener of a direction can be reached: ``http://HOST:PORT``, or ``tcp://`` for one without HTTP."""
        for listener, sock in zip(self.spec.listeners, self._sockets, strict=True):
            if listener.direction is direction:
                host, port = sock.getsockname()[:2]
                scheme = "tcp" if listener.upstream.startswith("tcp:") else "http"
                return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        raise ConfigError("", f"the proxy has no listener for the {direction} direction")

    @property
    def pids(self) -> tuple[int, ...]:
        """The workers' process ids, for those who watch their memory."""
        return tuple(worker.process.pid for worker in self._workers)

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
        packed = _pack(plan)
        self._ask_all("plan", ANSWER_S, lambda _worker: {"plan": packed})

    def set_phase(self, phase: str) -> None:
        """The run's phase changed; rules may hold for one phase only."""
        self._ask_all("phase", ANSWER_S, lambda _worker: {"phase": phase})

    def clear(self) -> None:
        """All faults are gone and everything that was held goes on; the proxy passes everything from now on."""
        self._ask_all("clear", ANSWER_S, lambda _worker: {})

    def flush(self) -> None:
        """Returns when every event of exchanges that are finished has been emitted."""
        self._ask_all("flush", ANSWER_S, lambda _worker: {})

    def stop(self) -> None:
        """Ends the proxy and emits what each rule came to. Never hangs; a second call does nothing."""
        if self._stopped:
            return
        if self._serving:
            self._abandon()
            return
        self._stopped = self._ending = True
        asked: list[tuple[_Worker, int]] = []
        for worker in self._workers:
            with contextlib.suppress(EngineError):
                asked.append((worker, worker.post("stop")))
        tallies: dict[tuple[str, str], RuleTallied] = {}
        for worker, number in asked:
            try:
                answer = worker.wait(number, "stop", LAST_WORD_S)
            except EngineError as error:
                self._trouble(str(error))
                continue
            for value in answer["tallies"]:
                tally = from_json(value)
                if isinstance(tally, RuleTallied):
                    _add(tallies, tally)
        self._close()
        for tally in tallies.values():
            self._emit(tally)

    def _close(self) -> None:
        for worker in self._workers:
            worker.end()
        for sock in self._sockets:
            sock.close()

    def _ask_all(self, op: str, within_s: float, values: Callable[[_Worker], dict[str, Any]]) -> None:
        posted = [(worker, worker.post(op, **values(worker))) for worker in self._workers]
        for worker, number in posted:
            worker.wait(number, op, within_s)

    def _told(self, worker: _Worker, message: dict[str, Any]) -> None:
        if "seen" in message:
            values = message["seen"]
            values[2] = Direction(values[2])  # third in ExchangeSeen
            self._emit(ExchangeSeen(*values))
        elif "event" in message:
            self._emit(from_json(message["event"]))
        elif "har" in message:
            if self.recording is not None:
                self.recording.absorb([message["har"]])
        elif message.get("gone") and not self._ending:
            code = worker.process.wait()
            self._trouble(f"worker {worker.index} died ({_how(code)}); nothing is proxied or recorded any more")

    def _trouble(self, what: str) -> None:
        self._emit(Trouble(time.monotonic() - self.spec.started, "proxy", what))


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


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


def _bind(listener: ListenerSpec) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((listener.host, listener.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        where = f"{listener.host}:{listener.port}"
        if error.errno == errno.EADDRINUSE:
            raise PortBusy(f"{where} is taken; choose another port, or 0 for a free one") from None
        raise UsageError(
            f"{where} cannot be listened on ({error.strerror}); choose an address of this machine"
        ) from None
    return sock


def _pack(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()
