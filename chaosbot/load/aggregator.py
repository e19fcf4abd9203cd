"""Seconds of load: counters and histograms that are folded once a second and then forgotten.

Rules:

- Memory does not grow with the run: what a second recorded leaves with its interval.
- The hot path appends seconds to lists and counts on the label that requests of one kind share; sorting that by value and
  by name waits for the fold, where equal values cost one step (a fifth of recording each as it comes).
- Nothing vanishes: planned = started + dropped + waiting, started = completed + failed + timed out + cancelled + in flight.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chaosbot.core import hdr
from chaosbot.core.arrival import CPU_BOUND, GeneratorHealth
from chaosbot.core.dice import Dice
from chaosbot.core.event import Event, IntervalMeasured, Noted, StreamInterval, TaskInterval
from chaosbot.core.outcome import Fate
from chaosbot.load.histogram import lateness_s, microseconds, quantile
from chaosbot.load.pending import PendingRequest, RequestLabel

MOST_REQUESTS: Final = 100_000
"""Single requests written per run, so that a journal stays bounded; failures beyond it stay counted in the intervals."""
MOST_FAILURES_PER_SECOND: Final = 50
SAMPLED: Final = 0.01
"""The share of requests that keep their answer's body although it went well."""
_SAMPLE: Final = Dice(0).at("body")


@dataclass(slots=True)
class RequestCounts:
    """The counters of a second, or of a run."""

    planned: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    dropped: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        """Requests that have their fate."""
        return self.completed + self.failed + self.timed_out + self.cancelled

    @property
    def in_flight(self) -> int:
        """Requests that do not have it yet."""
        return self.started - self.ended

    def add(self, other: RequestCounts | IntervalMeasured) -> None:
        """Adds the counters of another second (or of a shard's interval)."""
        for name in ("planned", "started", "completed", "failed", "timed_out", "cancelled", "dropped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("errors", "tasks", "commands", "kinds"):
            getattr(self, name).update(getattr(other, name))


@dataclass(slots=True)
class _TaskCounts:
    """What the requests of one task did in an interval."""

    done: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    response: Counter[int] = field(default_factory=Counter)


_ANSWERED: Final = Fate.ANSWERED  # looked up once, not with every request


class MetricsAggregator:
    """Takes what the hot path reports and turns it into intervals.

    Args:
        emit: Where events go.
        origin: The run's start on the loop's clock; events count from it.
        shard: This process's number.
        accepted: Statuses beside 2xx that are no failures.
        bodies: Which answers' bodies single requests keep (`LoadSpec`).
        cpu: Seconds of CPU that the generator has used so far.
        stopped: Whether a stop was asked for: what is not answered from then on says nothing about the target.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        origin: float,
        shard: int = 0,
        *,
        every_request: bool = False,
        accepted: frozenset[int] = frozenset(),
        bodies: str = "all",
        cpu: Callable[[], float] = time.thread_time,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._emit = emit
        self._origin = origin
        self._shard = shard
        self._every = every_request
        self._bodies = bodies
        self._accepted = accepted | {101}  # a stream's handshake
        self._cpu = cpu
        self._stopped = stopped
        self._cpu_before = cpu()
        self._written = 0
        self._failures_now = 0
        self.total = RequestCounts()
        self.now = RequestCounts()
        self.streams: Callable[[], dict[str, StreamInterval]] = dict
        """Tells what the stream clients saw since the last call."""
        self.lateness_all: Counter[int] = Counter()
        self.busy_seconds = 0
        self.seconds = 0
        self._lateness: list[float] = []
        self._service: list[float] = []
        self._ended: list[RequestLabel] = []  # those that count something in this second
        self.turned: list[RequestLabel] = []
        """Those that have turns in this second; what a turn counts, the fold adds."""

    @property
    def in_flight(self) -> int:
        """Requests that were started and have no fate yet."""
        return self.total.in_flight + self.now.in_flight

    def planned(self, late_s: float | None = None) -> None:
        """A request became due.

        Args:
            late_s: How long after its due time the generator got to it, whatever the target did meanwhile; None where the
                generator does not decide about the start (another attempt of the same delivery, a stream's connection).
        """
        self.now.planned += 1
        if late_s is not None:
            self._lateness.append(late_s)

    def begun(self, late_s: float) -> None:
        """A request became due, and was started."""
        now = self.now
        now.planned += 1
        now.started += 1
        self._lateness.append(late_s)

    def started(self) -> None:
        """A request was started."""
        self.now.started += 1

    def dropped(self, count: int = 1) -> None:
        """So many requests that were due could not be started."""
        self.now.dropped += count

    def missed(self, count: int, late_s: float) -> None:
        """So many requests became due, the first of them so long ago, and the generator never got to them."""
        self.now.planned += count
        self.now.dropped += count
        self._lateness.append(late_s)

    def ended(self, pending: PendingRequest, *, latency: bool = True) -> None:
        """A request has its fate.

        Args:
            pending: The request.
            latency: Whether its duration is the target's (not for clients that are slow on purpose).
        """
        if pending.fate is _ANSWERED:
            label = pending.label
            if not label.ended:
                self._ended.append(label)
            label.ended += 1
            status = pending.status
            if status is not None and not 200 <= status < 300 and status not in self._accepted:
                self.now.failed += 1
                self._failed(pending, f"status_{status}")
            else:
                self.now.completed += 1
                if self._every:
                    self._write(pending)
        elif not self._unanswered(pending):
            return
        if latency and not pending.slow:
            ended = pending.ended
            pending.label.response.append(ended - pending.due)
            self._service.append(ended - pending.started)

    def _unanswered(self, pending: PendingRequest) -> bool:
        """Counts a request without an answer; says whether it has a duration: that of a cut-off one is its limit."""
        now, fate = self.now, pending.fate
        if fate is not Fate.CANCELLED and self._stopped():
            fate = pending.fate = Fate.CANCELLED  # the target may have been ended with the run
        if fate is Fate.CANCELLED:
            now.cancelled += 1
            if self._every:
                self._write(pending)
            return False
        label = pending.label
        if not label.ended:
            self._ended.append(label)
        label.ended += 1
        label.unanswered += 1
        late = fate is Fate.TIMEOUT or fate is Fate.CONNECT_TIMEOUT
        if late:
            now.timed_out += 1
        else:
            now.failed += 1
        self._failed(pending, str(fate))
        return late

    def _failed(self, pending: PendingRequest, kind: str) -> None:
        self.now.errors[kind] += 1
        errors = pending.label.errors
        errors[kind] = errors.get(kind, 0) + 1
        self._failures_now += 1
        if self._every or self._failures_now <= MOST_FAILURES_PER_SECOND:
            self._write(pending)

    def _write(self, pending: PendingRequest) -> None:
        self._written += 1
        if self._written <= MOST_REQUESTS:
            self._emit(pending.done(self._origin, body=self._keeps_body(pending)))
        elif self._written == MOST_REQUESTS + 1:
            text = f"single requests are written up to {MOST_REQUESTS}; later ones are counted in the intervals alone"
            self._emit(Noted(pending.ended - self._origin, "load", text))

    def _keeps_body(self, pending: PendingRequest) -> bool:
        if self._bodies in ("all", "none"):
            return self._bodies == "all"
        if not pending.ok and pending.status not in self._accepted:
            return True
        # By dice: ordinals step by the number of users, so that counting them would take the same users again and again.
        return self._bodies == "sample" and _SAMPLE.at(pending.ordinal).chance(SAMPLED)

    def interval(
        self,
        second: int,
        start: float,
        *,
        users: int,
        faults: tuple[str, ...] = (),
        phase: str = "",
        length: float = 1.0,
    ) -> IntervalMeasured:
        """Folds what was recorded since the last interval.

        Args:
            second: The second's number since the load began.
            start: When the load began, on the loop's clock.
            users: Users at work.
            faults: The faults that are active.
            phase: The phase that the run is in.
            length: How much of the second there was (the last one may be cut off).
        """
        turns = self._sort_turned()
        service, self._service = hdr.encode(hdr.cells(self._service) + turns), []
        by_task, response = self._sort_ended()
        now, self.now = self.now, RequestCounts()
        self.total.add(now)
        self._failures_now = 0
        lateness, self._lateness = microseconds(self._lateness), []
        if turned := turns.total():
            lateness[0] += turned
        used, self._cpu_before = self._cpu() - self._cpu_before, self._cpu()
        cpu = used / max(length, 1e-3)
        # Lateness in steps of 100 µs is exact enough for a bound in tens of milliseconds, and stays small for any duration.
        self.lateness_all.update(_steps(lateness))
        self.seconds += 1
        self.busy_seconds += cpu > CPU_BOUND
        return IntervalMeasured(
            t=start - self._origin + second + 1,
            second=second,
            shard=self._shard,
            planned=now.planned,
            started=now.started,
            completed=now.completed,
            failed=now.failed,
            timed_out=now.timed_out,
            dropped=now.dropped,
            response=response,
            service=service,
            errors=dict(now.errors),
            tasks=dict(now.tasks),
            commands=dict(now.commands),
            kinds=dict(now.kinds),
            active_users=users,
            in_flight=self.total.in_flight,
            faults=faults,
            lateness_p99_s=quantile(lateness, 0.99),
            lateness_max_s=max(lateness, default=0) * 1e-6,
            cpu=round(cpu, 4),
            cancelled=now.cancelled,
            phase=phase,
            by_task=by_task,
            streams=self.streams(),
        )

    def _sort_turned(self) -> Counter[int]:
        """Counts what turns mean, a request that went well and one that was begun without delay; gives their durations' cells."""
        now, durations = self.now, Counter[int]()
        for label in self.turned:
            count, cells = len(label.turns), hdr.cells(label.turns)
            now.planned += count
            now.started += count
            now.completed += count
            if not label.ended:
                self._ended.append(label)
            label.ended += count
            label.turned = cells
            durations.update(cells)
        self.turned.clear()
        return durations

    def _sort_ended(self) -> tuple[dict[str, TaskInterval], str]:
        """Sums what the labels counted by task, kind and command; also gives the histogram of all tasks together."""
        now, tasks = self.now, dict[str, _TaskCounts]()
        for label in self._ended:
            task = tasks.setdefault(label.task, _TaskCounts())
            task.done += label.ended
            task.response.update(hdr.cells(label.response))
            task.response.update(label.turned)
            task.errors.update(label.errors)
            answered = label.ended - label.unanswered
            if label.kind is not None and answered:
                now.kinds[label.kind] += answered
            if label.command is not None and answered:
                now.commands[label.command] += answered
            label.clear()
        self._ended.clear()
        response: Counter[int] = Counter()
        by_task = {}
        for name, task in tasks.items():
            now.tasks[name] += task.done
            response.update(task.response)
            by_task[name] = TaskInterval(task.done, dict(task.errors), hdr.encode(task.response))
        return by_task, hdr.encode(response)

    def lateness(self) -> Counter[int]:
        """How late arrivals were picked up so far, in steps of 100 µs."""
        return self.lateness_all + _steps(microseconds(self._lateness))

    def generator(self) -> GeneratorHealth:
        """How well this process kept up, over the whole run."""
        return GeneratorHealth(
            self.total.planned,
            self.total.dropped,
            lateness_s(self.lateness(), 0.99),
            self.busy_seconds / max(self.seconds, 1),
        )


def _steps(lateness: Counter[int]) -> Counter[int]:
    """Lateness in steps of 100 µs."""
    steps: Counter[int] = Counter()
    for value, count in lateness.items():
        steps[value // 100] += count
    return steps
