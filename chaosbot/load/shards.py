"""One plan on several processes: each owns whole chats, all start at one moment, and their union is the plan.

The parent judges nothing and adds nothing up that cannot be added: it passes the shards' intervals on as they come (a report
merges histograms by count), and marks what a lost process still owed. A lost process is never started again: its arrivals
would come late, and late arrivals look like a slow target.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec
import trio

from chaosbot.core.arrival import GeneratorHealth, Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import WORKERS, Event, IntervalMeasured, Noted, ProbeSeen, RequestDone, Trouble
from chaosbot.core.outcome import Fate
from chaosbot.core.profile import Workload
from chaosbot.load.aggregator import RequestCounts
from chaosbot.load.assembly import assemble, made_of
from chaosbot.load.engine import RunHooks
from chaosbot.load.sampling import Look, watches
from chaosbot.load.spec import LoadSpec, Sampling, Wish
from chaosbot.load.target import LoadTarget, reserve_descriptors
from chaosbot.transport import enforce
from chaosbot.workers import READY_S, AnyWorker, Parent, StartWorker, Worker

_HEAD_START_S: Final = 0.25  # between the last shard's "ready" and the common start
_TELL_S: Final = 0.01  # more of it for each process: telling one of another machine takes a few milliseconds
_LOOK_S: Final = 0.05
_MOST_WAITING: Final = 1024  # messages of shards that are not passed on yet
_ENDED: Final = frozenset({Fate.REFUSED, Fate.RESET, Fate.CLOSED})
"""What requests meet at a target that is gone."""
_END_S: Final = 5.0  # a shard that was told to stop has this long


def work(parent: Parent, spec: LoadSpec, index: int) -> None:
    """A shard: builds its part, says "ready", waits for the start, runs, tells what happened."""
    enforce(spec.allow_hosts)
    target = target_of(spec)
    reserve_descriptors(min(spec.connections, 2 * connections_of(spec) // spec.processes))
    wished = Wish()

    def wish() -> Wish:
        nonlocal wished
        for message in parent.came():
            wished = message
        return wished

    hooks = RunHooks(parent.send, lambda: parent.stopping, wish=wish)
    if spec.secret_env:
        endpoint = dataclasses.replace(spec.endpoint, secret=os.environ[spec.secret_env])
        spec = dataclasses.replace(spec, endpoint=endpoint)
    if spec.token_env and not os.environ.get(spec.token_env):
        raise ConfigError(
            "--cluster",
            f"machine {platform.node()}: the environment variable {spec.token_env} is not set there, and streams take their token from it",
        )
    made = made_of(spec)  # takes a moment, which between the word and the start would be lateness
    parent.ready()
    told = parent.receive()
    if told is None:
        return
    start, started = told
    engine = assemble(
        dataclasses.replace(spec, started=started), target, hooks, Shard(index, spec.processes), start, made
    )
    trio.run(engine.run)
    parent.send((engine.how, engine.aggregator.generator()))


def connections_of(spec: LoadSpec) -> int:
    """How many connections a run may need at once."""
    _, workload, pacer = spec.shaped()
    if spec.sender != "raw":
        return 100  # the most that the platform opens
    if workload is Workload.CLOSED:
        return int(pacer.peak)
    # An open workload needs what arrives within one timeout, when nothing is answered; a queue takes what is beyond.
    return min(spec.connections, int(pacer.peak * spec.timeout_s) + 1, 1000)


def target_of(spec: LoadSpec) -> LoadTarget:
    """The target of a load, resolved.

    Raises:
        TargetRefused: It is neither loopback nor allowed.
    """
    return LoadTarget.resolve(
        spec.url,
        tls=spec.tls,
        connect_timeout_s=spec.connect_timeout_s,
        timeout_s=spec.timeout_s,
        allow=spec.allow_hosts,
    )


@dataclasses.dataclass
class _Member:
    """One shard, seen from the parent."""

    index: int
    worker: AnyWorker
    ready: bool = False
    how: str = ""
    lost: bool = False
    planned: int = 0
    seconds: int = 0
    generator: GeneratorHealth | None = None

    @property
    def over(self) -> bool:
        return self.lost or bool(self.how)


class LoadProcesses:
    """All shards of a run.

    Args:
        spec: The run.
        hooks: Its events and switches.
        start_worker: Starts each process, here or on another machine.
    """

    def __init__(self, spec: LoadSpec, hooks: RunHooks, start_worker: StartWorker = Worker) -> None:
        self._spec = spec
        self._hooks = hooks
        self._start_worker = start_worker
        self._members: list[_Member] = []
        self.total = RequestCounts()
        self.start = time.monotonic()
        self.undelivered = 0.0
        self.how = "completed"
        self._heard: queue.Queue[tuple[int, Any]] = queue.Queue(_MOST_WAITING)
        self._closed = False
        # The target's pid and pages are looked at from here: other machines may not see them.
        self._looks = [] if start_worker is Worker else watches(spec.samples, spec.tls)

    def run(self) -> dict[str, GeneratorHealth]:
        """Runs all shards to their end; returns how well each of them kept up, by its name.

        Raises:
            WorkerDied: A shard was lost before the start.
            UsageError: What a shard refused.
        """
        try:
            spec = self._spec
            if self._looks:
                spec = dataclasses.replace(spec, samples=Sampling())
            for index in range(spec.processes):
                worker = self._start_worker(
                    f"load process {index}",
                    "chaosbot.load.shards:work",
                    spec,
                    index,
                    on_message=partial(self._hear, index),
                    on_death=partial(self._hear, index, None),
                )
                self._members.append(_Member(index, worker))
            self._gather()
            names = {str(member.index): member.worker.name for member in self._members}
            self._hooks.emit(Noted(self._now(), WORKERS, f"{len(names)} processes share the load", names))
            for look in self._looks:
                threading.Thread(target=self._sample, args=(look,), daemon=True).start()
            self._conduct()
        finally:
            self._closed = True
            for member in self._members:
                member.worker.stop(0.5 if member.over else 0.0)
        return {one.worker.name: one.generator for one in self._members if one.generator is not None}

    def _gather(self) -> None:
        """Waits until every shard is ready, then gives all of them one start."""
        end = time.monotonic() + READY_S
        for member in self._members:
            member.worker.ready(max(end - time.monotonic(), 0.0))
            member.ready = True
        self.start = self._spec.starts_at(time.monotonic() + _HEAD_START_S + _TELL_S * len(self._members))
        for member in self._members:
            clock = member.worker.clock_s
            member.worker.send((self.start + clock, (self._spec.started or self.start) + clock))

    def _conduct(self) -> None:
        """Passes events on until every shard is over."""
        told_at = float("inf")
        wished = Wish()
        while not all(member.over for member in self._members):
            try:
                self._receive(_LOOK_S)
                wanted = self._hooks.should_stop()
                wish = self._hooks.wish()
                if wish != wished:
                    wished = wish
                    for member in self._members:
                        if not member.over:
                            member.worker.send(wish)
            except KeyboardInterrupt:
                self.how, wanted = "interrupted", True
            if wanted and told_at == float("inf"):
                told_at = time.monotonic()
                self.how = "interrupted" if self.how == "interrupted" else "stopped"
                self._tell_all()
            if time.monotonic() > told_at + _END_S:
                for member in self._members:
                    if not member.over:
                        self._lose(member)

    def _now(self) -> float:
        return time.monotonic() - (self._spec.started or self.start)

    def _sample(self, look: Callable[[], Iterator[Look]]) -> None:
        while not self._closed:
            now = self._now()
            for probe, ok, value, detail in look():
                self._hooks.emit(ProbeSeen(now, probe, ok, value, detail))
            time.sleep(self._spec.samples.every_s)

    def _tell_all(self) -> None:
        for member in self._members:
            if not member.over:
                member.worker.tell_to_stop()

    def _hear(self, index: int, message: Any, _how: str = "") -> None:
        """Hands a worker's message, or None for its death, to the thread that runs the load; waits while that one is behind."""
        while not self._closed:
            try:
                self._heard.put((index, message), timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def _receive(self, timeout_s: float) -> None:
        """Takes what has come, and waits for it when there is nothing."""
        with contextlib.suppress(queue.Empty):
            self._take(*self._heard.get(timeout=timeout_s))
            for _ in range(_MOST_WAITING):
                self._take(*self._heard.get_nowait())

    def _take(self, index: int, message: Any) -> None:
        member = self._members[index]
        if member.over:
            return
        match message:
            case None:
                if member.worker.failure is not None:
                    raise member.worker.failure
                self._lose(member)
            case (how, generator):
                member.how, member.generator = how, generator
            case event:
                self._pass_on(member, event)

    def _pass_on(self, member: _Member, event: Event) -> None:
        hooks = self._hooks
        if hooks.should_stop():
            event = unblamed(event)
        if isinstance(event, IntervalMeasured):
            event = msgspec.structs.replace(
                event,
                faults=hooks.faults() if hooks.faults else (),
                phase=hooks.phase() if hooks.phase else "",
            )
            member.planned += event.planned
            member.seconds = event.second + 1
            self.total.add(event)
            if hooks.on_interval is not None:
                hooks.on_interval(event)
        hooks.emit(event)

    def _lose(self, member: _Member) -> None:
        """A shard ended without being asked: says what the plan misses now."""
        member.lost = True
        if not member.ready or self.how != "completed":
            return
        share = owed(self._spec, Shard(member.index, self._spec.processes), member.planned, float(member.seconds))
        self.undelivered += share
        self._hooks.emit(
            Trouble(
                self._now(),
                f"load:shard {member.index}",
                f"{member.worker.name} was lost after {member.seconds} s; {share:.1%} of the plan was not delivered; the run is degraded",
            )
        )


def unblamed(event: Event) -> Event:
    """What a process told of the second in which a stop was asked for: it heard of the stop a moment later than a target that was ended with the run."""
    if isinstance(event, RequestDone) and event.outcome.fate in _ENDED:
        return msgspec.structs.replace(event, outcome=msgspec.structs.replace(event.outcome, fate=Fate.CANCELLED))
    if not isinstance(event, IntervalMeasured) or not _ENDED & event.errors.keys():
        return event
    count = sum(event.errors.get(kind, 0) for kind in _ENDED)
    return msgspec.structs.replace(
        event,
        failed=event.failed - count,
        cancelled=event.cancelled + count,
        errors=_without(event.errors),
        by_task={
            name: msgspec.structs.replace(
                part, done=part.done - sum(part.errors.get(kind, 0) for kind in _ENDED), errors=_without(part.errors)
            )
            for name, part in event.by_task.items()
        },
    )


def _without(errors: Mapping[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in errors.items() if kind not in _ENDED}


def owed(spec: LoadSpec, shard: Shard, planned: int, seconds: float) -> float:
    """The share of the whole plan that a shard had not delivered when it was lost.

    Args:
        spec: The run.
        shard: The lost one.
        planned: The arrivals that it had told of.
        seconds: How many seconds it had told of.
    """
    _, workload, pacer = spec.shaped()
    population = Population(made_of(spec)[1].journeys, Dice(spec.seed).at("load"))
    if workload is Workload.OPEN:
        mine = sum(shard.owns(population.visitor(number)[1]) for number in range(pacer.arrivals))
        return max(mine - planned, 0) / max(pacer.arrivals, 1)
    whole = lost = 0.0
    for number in range(int(pacer.peak + 1e-9)):
        mine = shard.owns(population.resident(number)[1])
        for come, go in pacer.spans(number):
            whole += go - come
            lost += max(go - max(come, seconds), 0.0) if mine else 0.0
    return lost / whole if whole else 0.0
