"""Worker processes on the machines of a Dask cluster: DOOR to dask.distributed.

Dask places the work, knows which machines are there and which are gone, and carries the messages. A `ClusterWorker` is a
`chaosbot.workers.Worker` on another machine: the same calls here, the same function in the process there.

Rules:

- One Dask task per process, pinned to one Dask worker. The task starts the process by `Worker`, so guard, signals and orphans are what
  they are on one machine, and then only relays messages between that process and two Dask queues.
- The process's arguments travel by queue and are taken once. A task that Dask runs again (schedulers allow three lost workers per
  task unless told otherwise) finds nothing to do and ends: a lost process is never started a second time.
- Secrets do not travel: the process is told the name of a variable and reads its value on its own machine.
- The parent says every second that it lives; a task that hears nothing for ten seconds ends its process.
- `clock_s` is by how much a machine's monotonic clock is ahead of ours, from the quickest of several questions (Cristian, 1989). The
  error is at most half of that question's round trip. Wall clocks do not matter.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import chaosbot
from chaosbot.core.errors import MOST_SHOWN, ChaosbotError, ConfigError, EngineError, UsageError, WorkerDied
from chaosbot.core.units import MOST_PORT, whole
from chaosbot.transport import Address, guard, permit, require_reachable
from chaosbot.workers import READY_S, STOP_S, Worker

try:
    import dask
    from distributed import Client, Future, LocalCluster, Queue, get_client, wait
except ImportError:  # pragma: no cover - a plain install
    raise UsageError("--cluster needs Dask; install it with: pip install 'chaosbot[cluster]'") from None

LOCAL: Final = "local"

_CONNECT_S: Final = 5.0
_BEAT_S: Final = 1.0
_ORPHAN_S: Final = 10.0
_QUESTIONS: Final = 8
_MOST_WAITING: Final = 256  # batches in the scheduler's queue; then the processes wait
_MOST_TOGETHER: Final = 512
_EMPTY_S: Final = 0.5
_END_S: Final = 2.0  # tasks that were told to end have this long, or Dask complains of them on our terminal


class Kind(IntEnum):
    """What a message between a process and its parent is."""

    START = 0
    MESSAGE = 1
    STOP = 2
    KILL = 3
    BEAT = 4
    READY = 5
    FAILURE = 6
    ENDED = 7


@dataclass(frozen=True)
class Requirements:
    """What a machine must have before a process starts there.

    Args:
        url: The target, which it must reach.
        variables: Environment variables that must be set.
        files: Files and folders that must be there, under the same path.
        allow: Hosts beside loopback that may be spoken to.
    """

    url: str
    variables: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """One Dask worker, as it describes itself."""

    host: str
    slots: int = 1
    chaosbot: str = ""
    python: str = ""
    lacks: str = ""


def describe(needs: Requirements) -> Machine:
    """Runs on a machine of the cluster: what is there, and what is not."""
    lacks = [
        f"the environment variable {name} is not set there" for name in needs.variables if not os.environ.get(name)
    ]
    lacks += [f"there is no {path}" for path in needs.files if not path.exists()]
    try:
        require_reachable(Address.parse(needs.url), needs.allow)
    except ChaosbotError as error:
        lacks.append(f"it cannot reach the target ({error})")
    return Machine(platform.node(), 1, chaosbot.__version__, _python(), "; ".join(lacks))


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


class _Sender:
    """Takes a process's messages to the scheduler, several at once; blocks when the other end is behind."""

    def __init__(self, outbox: Queue, index: int) -> None:
        self._outbox = outbox
        self._index = index
        self._waiting: queue.Queue[tuple[int, Any] | None] = queue.Queue(_MOST_TOGETHER)
        self._thread = threading.Thread(target=self._run, name="chaosbot relay", daemon=True)
        self._thread.start()

    def put(self, kind: int, value: Any) -> None:
        self._waiting.put((kind, value))

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join(STOP_S)

    def _run(self) -> None:
        last = gone = False
        while not last:
            batch = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _MOST_TOGETHER:
                    batch.append(self._waiting.get_nowait())
            last = None in batch
            if gone:
                continue  # nobody reads any more: the process must not wait until it is ended
            try:
                self._outbox.put(pickle.dumps((self._index, [message for message in batch if message is not None])))
            except Exception:  # noqa: BLE001 - Dask raises its own, OSError and CancelledError
                gone = True


def relay(run: str, index: int, name: str) -> str:
    """The Dask task: starts a process on this machine and relays its messages until it ends.

    Args:
        run: The run's own name, which its queues begin with.
        index: The process's number.
        name: What messages call it.
    """
    client = get_client()
    inbox, outbox = Queue(f"{run}-{index}", client), Queue(run, client, maxsize=_MOST_WAITING)
    kind, first = pickle.loads(inbox.get(timeout=READY_S))  # noqa: S301 - the cluster runs our code anyway
    if kind != Kind.START:
        return "ran before"
    target, arguments = first
    sender = _Sender(outbox, index)
    worker = Worker(
        name,
        target,
        *arguments,
        on_message=lambda message: sender.put(Kind.MESSAGE, message),
        on_death=lambda how: sender.put(Kind.ENDED, how),
    )
    try:
        sender.put(Kind.READY, worker.ready())
        while worker.alive:
            kind, value = pickle.loads(inbox.get(timeout=_ORPHAN_S))  # noqa: S301 - as above
            match kind:
                case Kind.MESSAGE:
                    worker.send(value)
                case Kind.STOP:
                    worker.tell_to_stop()
                case Kind.KILL:
                    break
        return "ended"
    except ChaosbotError as error:
        sender.put(Kind.FAILURE, (isinstance(error, UsageError), str(error)))
        return "failed"
    except TimeoutError:
        return "its parent is gone"
    finally:
        worker.kill()
        sender.put(Kind.ENDED, "")
        sender.close()


class ClusterWorker:
    """A process on another machine, as its parent sees it: `chaosbot.workers.Worker`, with a clock of its own.

    Attributes:
        clock_s: By how many seconds its monotonic clock is ahead of ours.
        failure: The error with which its function ended, if that was one of ours.
    """

    def __init__(
        self,
        cluster: Cluster,
        address: str,
        index: int,
        name: str,
        start: tuple[str, tuple[Any, ...]],
        on_message: Callable[[Any], None] | None,
        on_death: Callable[[str], None] | None,
    ) -> None:
        self.name = f"{name} on {cluster.machines[address].host}"
        self.address = address
        self.clock_s = cluster.clocks[address]
        self.failure: ChaosbotError | None = None
        self._on_message = on_message
        self._on_death = on_death
        self._changed = threading.Condition()
        self._said: list[Any] = []
        self._gone = ""
        self._ending = False
        self._inbox = Queue(f"{cluster.run}-{index}", cluster.client)
        self._put(Kind.START, start)
        self.future: Future[str] = cluster.client.submit(
            relay,
            cluster.run,
            index,
            self.name,
            key=f"{cluster.run}-process-{index}",
            workers=[address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )

    @property
    def alive(self) -> bool:
        """Whether it runs, and shall."""
        return not self._gone and not self._ending

    def ready(self, within_s: float = READY_S) -> Any:
        """Waits until the process says that it is ready; returns what it said with that.

        Raises:
            UsageError: What it refused.
            WorkerDied: It ended, or said nothing in time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._said or self._gone, within_s)
            if self._said:
                return self._said[0]
        if not self._gone:
            self.kill()
            raise WorkerDied(f"{self.name} did not get ready within {within_s:g} s")
        raise self.failure or WorkerDied(f"{self.name} {self._gone} before it was ready")

    def send(self, message: Any) -> None:
        """Sends a message."""
        self._put(Kind.MESSAGE, message)

    def tell_to_stop(self) -> None:
        """Tells the process to end, and does not wait; its last messages still come."""
        self._ending = True
        self._put(Kind.STOP, None)

    def stop(self, within_s: float = STOP_S) -> bool:
        """Ends the process: told to, then killed; returns whether it ended by itself."""
        self.tell_to_stop()
        with self._changed:
            ended = self._changed.wait_for(lambda: bool(self._gone), within_s)
        self.kill()
        return ended

    def kill(self) -> None:
        """Ends the process as soon as its machine hears of it."""
        self._ending = True
        if not self._gone:
            self._put(Kind.KILL, None)

    def beat(self) -> None:
        """Says that the parent lives."""
        if not self._gone:
            self._put(Kind.BEAT, None)

    def take(self, kind: int, value: Any) -> None:
        """Takes a message of the process; called by the cluster's thread, in order."""
        if kind == Kind.MESSAGE:
            if self._on_message is not None:
                self._on_message(value)
        elif kind == Kind.READY:
            with self._changed:
                self._said.append(value)
                self._changed.notify_all()
        elif kind == Kind.FAILURE:
            usage, text = value
            self.failure = UsageError(text) if usage else EngineError(text)
        elif kind == Kind.ENDED:
            self.lose(value or "ended")

    def lose(self, how: str) -> None:
        """The process is gone; only the first word counts."""
        with self._changed:
            if self._gone:
                return
            self._gone = how
            self._changed.notify_all()
        if self._on_death is not None and not self._ending and self._said:
            self._on_death(how)

    def _put(self, kind: int, value: Any) -> None:
        try:
            self._inbox.put(pickle.dumps((kind, value)), timeout=_CONNECT_S)
        except Exception as error:  # noqa: BLE001 - Dask raises its own, OSError and TimeoutError
            self.lose(f"cannot be told anything ({type(error).__name__}: {error})")


@dataclass
class Cluster:
    """A cluster that was connected to; see `connected`.

    Attributes:
        client: Dask's.
        run: The name that this run's queues begin with.
        machines: The Dask workers by address.
        clocks: By how many seconds the monotonic clock of each is ahead of ours.
        uncertain_s: By how much the worst of these may be wrong, in seconds.
        workers: The processes that were started, those that have ended included.
    """

    client: Client
    run: str
    machines: dict[str, Machine]
    clocks: dict[str, float] = field(default_factory=dict)
    uncertain_s: float = 0.0
    workers: list[ClusterWorker] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def slots(self) -> int:
        """How many processes it takes at once."""
        return sum(machine.slots for machine in self.machines.values())

    def _place(self) -> str:
        """The address of the Dask worker that has most room.

        Raises:
            ConfigError: Every slot is taken.
        """
        taken = Counter(worker.address for worker in self.workers if worker.alive)
        free = [address for address, machine in self.machines.items() if taken[address] < machine.slots]
        if not free:
            raise ConfigError("--processes", f"the cluster has room for {self.slots} processes; add workers or threads")
        return min(free, key=lambda address: taken[address])

    def worker(
        self,
        name: str,
        target: str,
        *arguments: Any,
        on_message: Callable[[Any], None] | None = None,
        on_death: Callable[[str], None] | None = None,
    ) -> ClusterWorker:
        """Starts a process, as `chaosbot.workers.Worker` does.

        Raises:
            ConfigError: Every slot of the cluster is taken.
        """
        place, index = self._place(), len(self.workers)
        worker = ClusterWorker(self, place, index, name, (target, arguments), on_message, on_death)
        self.workers.append(worker)
        return worker

    def measure_clocks(self) -> None:
        """Asks each machine for its clock."""
        best = dict.fromkeys(self.machines, float("inf"))
        for _ in range(_QUESTIONS):
            for address in self.machines:
                asked = time.monotonic()
                theirs = self.client.run(time.monotonic, workers=[address])[address]
                heard = time.monotonic()
                if heard - asked < best[address]:
                    best[address] = heard - asked
                    self.clocks[address] = theirs - (asked + heard) / 2
        self.uncertain_s = max(best.values()) / 2

    def start(self) -> None:
        """Begins to listen, and to watch."""
        for loop in (self._listen, self._watch):
            self._threads.append(threading.Thread(target=loop, name="chaosbot cluster", daemon=True))
            self._threads[-1].start()

    def _listen(self) -> None:
        """Passes the processes' messages on until the cluster is closed."""
        outbox = Queue(self.run, self.client, maxsize=_MOST_WAITING)
        while not self._closed.is_set():
            try:
                batches = [outbox.get(timeout=_EMPTY_S), *outbox.get(batch=True)]
            except TimeoutError:
                continue
            except Exception as error:  # noqa: BLE001 - Dask raises its own, OSError and CancelledError
                if not self._closed.is_set():
                    self._lose_all(f"its scheduler is gone ({type(error).__name__})")
                return
            for batch in batches:
                index, messages = pickle.loads(batch)  # noqa: S301 - our own processes
                for kind, value in messages:
                    self.workers[index].take(kind, value)

    def _watch(self) -> None:
        """Looks every second which machines are still there, and tells all of them that we are."""
        while not self._closed.wait(_BEAT_S):
            try:
                there = self.client.scheduler_info(n_workers=-1)["workers"]
            except Exception as error:  # noqa: BLE001 - as above
                self._lose_all(f"its scheduler is gone ({type(error).__name__})")
                return
            for worker in list(self.workers):
                if worker.address not in there:
                    worker.lose("was lost with its machine")
                elif worker.future.status in ("error", "lost", "cancelled"):
                    worker.lose(f"was lost ({worker.future.status})")
                else:
                    worker.beat()

    def close(self) -> None:
        """Ends all processes and leaves the cluster."""
        for worker in self.workers:
            worker.kill()
        with contextlib.suppress(Exception):  # the scheduler may be gone, too
            wait([worker.future for worker in self.workers], timeout=_END_S)
        self._closed.set()
        for thread in self._threads:
            thread.join(_END_S)

    def _lose_all(self, how: str) -> None:
        for worker in self.workers:
            worker.lose(how)


def check_address(address: str, allow: Sequence[str] = ()) -> None:
    """Refuses what is no cluster's address, or one that may not be spoken to; looks nothing up.

    Raises:
        ConfigError: No such address.
        TargetRefused: Its host is neither loopback nor allowed.
    """
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if address == LOCAL:
        return
    number = whole(port, MOST_PORT)
    if protocol not in ("tcp", "tls") or not host or number is None:
        raise ConfigError(
            f"--cluster {address[:MOST_SHOWN]}", "is no scheduler; write tcp://HOST:8786, tls://HOST:8786 or local"
        )
    guard(host, allow, port=number, where=f"--cluster {address}")


@contextlib.contextmanager
def connected(address: str, needs: Requirements, processes: int | None = None) -> Iterator[Cluster]:
    """Connects to a cluster, looks whether all of it can take part, and ends what it started there.

    Args:
        address: ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` of a scheduler, or ``local`` for a cluster on this machine.
        needs: What each machine must have.
        processes: How many processes are to run; by default one on each slot.

    Raises:
        ConfigError: No scheduler there, no workers, too few slots, or a worker that cannot take part.
        TargetRefused: The scheduler's host is neither loopback nor allowed.
    """
    where = f"--cluster {address}"
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said by `Cluster`, once
    with contextlib.ExitStack() as stack:
        own = None
        if address == LOCAL:
            dask.config.set({"distributed.scheduler.allowed-failures": 0})
            own = LocalCluster(
                n_workers=processes or os.cpu_count() or 1,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                # The terminal's Ctrl-C reaches them, too; they end when this process says so.
                preload=["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],
            )
            stack.callback(own.close, timeout=STOP_S)
            scheduler = own.scheduler_address
        else:
            check_address(address, needs.allow)
            scheduler = address
            permit(needs.allow)
        try:
            client = stack.enter_context(Client(scheduler, timeout=_CONNECT_S, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(where, f"no scheduler answers ({error}); start one with `dask scheduler`") from None
        if own is not None:
            client.wait_for_workers(len(own.worker_spec), timeout=READY_S)
        cluster = Cluster(client, f"chaosbot-{uuid.uuid4().hex}", _machines(client, where, needs))
        if processes is not None and processes > cluster.slots:
            raise ConfigError(
                "--processes", f"{processes} processes; {where} has room for {cluster.slots}: add workers or threads"
            )
        cluster.measure_clocks()
        cluster.start()
        stack.callback(cluster.close)
        yield cluster


def _machines(client: Client, where: str, needs: Requirements) -> dict[str, Machine]:
    """The cluster's workers, all of which can take part.

    Raises:
        ConfigError: There is none, or one of them cannot; with its name.
    """
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise ConfigError(where, "has no workers; start some with `dask worker tcp://HOST:8786`")
    found: dict[str, Machine] = {}
    answers = client.run(describe, needs, on_error="return")
    known = client.scheduler_info(n_workers=-1)["workers"]  # one may have joined meanwhile
    for address, answer in answers.items():
        if address not in known:
            continue  # it has left
        name = f"worker {known[address].get('name', address)} at {address}"
        if isinstance(answer, ModuleNotFoundError):
            raise ConfigError(where, f"{name} has no chaosbot; install chaosbot {chaosbot.__version__} there")
        if not isinstance(answer, Machine):
            raise ConfigError(
                where, f"{name}: {type(answer).__name__}: {answer}; use the same chaosbot and Python there"
            )
        for what, ours, theirs in (
            ("chaosbot", chaosbot.__version__, answer.chaosbot),
            ("Python", _python(), answer.python),
        ):
            if ours != theirs:
                raise ConfigError(where, f"{name} has {what} {theirs}, and this is {ours}; use the same on all of them")
        if answer.lacks:
            raise ConfigError(where, f"{name}: {answer.lacks}")
        found[address] = replace(answer, slots=known[address]["nthreads"])
    return found


def in_order(machines: Sequence[Machine]) -> str:
    """The machines for people: ``alpha ×2, beta``."""
    counts: dict[str, int] = {}
    for machine in machines:
        counts[machine.host] = counts.get(machine.host, 0) + machine.slots
    return ", ".join(f"{host} ×{count}" if count > 1 else host for host, count in counts.items())
