"""Seconds of load: counters and histograms that are folded once a second and then forgotten.

Rules:

- Memory does not grow with the run: what a second recorded leaves with its frame.
- The hot path appends seconds to lists and counts on the errand that requests of one kind share; sorting that by value and
  by name waits for the fold, where equal values cost one step (a fifth of recording each as it comes).
- Nothing vanishes: planned = started + dropped + waiting, started = completed + failed + timed out + cancelled + in flight.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hdrh.histogram import HdrHistogram

from chaosbot.core.arrival import CPU_BOUND, Generator
from chaosbot.core.event import Event, IntervalMeasured, Noted
from chaosbot.core.outcome import Fate
from chaosbot.load.shot import Errand, Shot

HIGHEST_US: Final = 3_600_000_000  # an hour
DIGITS: Final = 3
_SUB: Final = 11  # bits that three digits take in HdrHistogram's layout
MOST_REQUESTS: Final = 100_000
"""Single requests written per run, so that a journal stays bounded; failures beyond it stay counted in the frames."""
MOST_FAILURES_PER_SECOND: Final = 50


@dataclass(slots=True)
class Totals:
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

    def add(self, other: Totals | IntervalMeasured) -> None:
        """Adds the counters of another second (or of a shard's frame)."""
        for name in ("planned", "started", "completed", "failed", "timed_out", "cancelled", "dropped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("errors", "tasks", "commands", "kinds"):
            getattr(self, name).update(getattr(other, name))


def fold(microseconds: list[int]) -> HdrHistogram:
    """The values as a histogram; equal ones are recorded together, and values past the layout as its highest."""
    histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
    counts = histogram.counts
    lowest, highest, total = HIGHEST_US, 0, 0
    for raw, count in Counter(microseconds).items():
        # HdrHistogram's own index computation, written out: its `record_value` costs three times as much.
        value = 0 if raw < 0 else min(raw, HIGHEST_US)
        bucket = max(value.bit_length() - _SUB, 0)
        counts[(bucket << (_SUB - 1)) + (value >> bucket)] += count
        total += count
        lowest, highest = min(lowest, value), max(highest, value)
    if total:
        histogram.total_count = total
        histogram.min_value, histogram.max_value = lowest, highest
    return histogram


def encode(microseconds: list[int]) -> str:
    """The values as HdrHistogram's compressed text; empty for none."""
    if not microseconds:
        return ""
    text: bytes = fold(microseconds).encode()
    return text.decode("ascii")


def quantile(microseconds: list[int], share: float) -> float:
    """The value (in seconds) that this share of the values does not exceed; 0 of none."""
    if not microseconds:
        return 0.0
    left = len(microseconds) - max(round(share * len(microseconds)), 1)
    counts = Counter(microseconds)
    for value in sorted(counts, reverse=True):
        left -= counts[value]
        if left < 0:
            return value * 1e-6
    return 0.0


def lateness_s(steps: Counter[int], share: float) -> float:
    """A quantile of lateness, from steps of 100 µs."""
    left = steps.total() * (1 - share)
    for step in sorted(steps, reverse=True):
        left -= steps[step]
        if left < 0:
            return step * 1e-4
    return 0.0


def microseconds(seconds: list[float]) -> list[int]:
    """The values as whole microseconds."""
    return [int(value * 1e6) for value in seconds]


_ANSWERED: Final = Fate.ANSWERED  # looked up once, not with every request


class Recorder:
    """Takes what the hot path reports and turns it into frames.

    Args:
        emit: Where events go.
        origin: The run's start on the hub's clock; events count from it.
        shard: This process's number.
        cpu: Seconds of CPU that the generator has used so far.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        origin: float,
        shard: int = 0,
        *,
        every_request: bool = False,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._emit = emit
        self._origin = origin
        self._shard = shard
        self._every = every_request
        self._cpu = cpu
        self._cpu_before = cpu()
        self._written = 0
        self._failures_now = 0
        self.total = Totals()
        self.now = Totals()
        self.lateness_all: Counter[int] = Counter()
        self.busy_seconds = 0
        self.seconds = 0
        self._response: list[float] = []
        self._service: list[float] = []
        self._lateness: list[float] = []
        self._answered: list[Errand] = []  # those that count something in this second

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

    def ended(self, shot: Shot, *, latency: bool = True) -> None:
        """A request has its fate.

        Args:
            shot: The request.
            latency: Whether its duration is the target's (not for clients that are slow on purpose).
        """
        if shot.fate is _ANSWERED:
            errand = shot.errand
            if not errand.answered:
                self._answered.append(errand)
            errand.answered += 1
            status = shot.status
            if status is not None and status >= 400:
                self.now.failed += 1
                self._failed(shot, f"status_{status}")
            else:
                self.now.completed += 1
                if self._every:
                    self._write(shot)
        elif not self._unanswered(shot):
            return
        if latency and not shot.slow:
            ended = shot.ended
            self._response.append(ended - shot.due)
            self._service.append(ended - shot.started)

    def _unanswered(self, shot: Shot) -> bool:
        """Counts a request without an answer; says whether it has a duration: that of a cut-off one is its limit."""
        now, fate = self.now, shot.fate
        if fate is Fate.CANCELLED:
            now.cancelled += 1
            if self._every:
                self._write(shot)
            return False
        now.tasks[shot.task] += 1
        late = fate is Fate.TIMEOUT or fate is Fate.CONNECT_TIMEOUT
        if late:
            now.timed_out += 1
        else:
            now.failed += 1
        self._failed(shot, str(fate))
        return late

    def _failed(self, shot: Shot, kind: str) -> None:
        self.now.errors[kind] += 1
        self._failures_now += 1
        if self._every or self._failures_now <= MOST_FAILURES_PER_SECOND:
            self._write(shot)

    def _write(self, shot: Shot) -> None:
        self._written += 1
        if self._written <= MOST_REQUESTS:
            self._emit(shot.done(self._origin))
        elif self._written == MOST_REQUESTS + 1:
            text = f"single requests are written up to {MOST_REQUESTS}; later ones are counted in the frames alone"
            self._emit(Noted(shot.ended - self._origin, "load", text))

    def frame(
        self,
        second: int,
        start: float,
        *,
        users: int,
        faults: tuple[str, ...] = (),
        phase: str = "",
        length: float = 1.0,
    ) -> IntervalMeasured:
        """Folds what was recorded since the last frame.

        Args:
            second: The second's number since the load began.
            start: When the load began, on the hub's clock.
            users: Users at work.
            faults: The faults that are active.
            phase: The phase that the run is in.
            length: How much of the second there was (the last one may be cut off).
        """
        self._sort_answered()
        now, self.now = self.now, Totals()
        self.total.add(now)
        self._failures_now = 0
        response, self._response = microseconds(self._response), []
        service, self._service = microseconds(self._service), []
        lateness, self._lateness = microseconds(self._lateness), []
        used, self._cpu_before = self._cpu() - self._cpu_before, self._cpu()
        cpu = used / max(length, 1e-3)
        # Lateness in steps of 100 µs is exact enough for a bound in tens of milliseconds, and stays small for any duration.
        self.lateness_all.update([value // 100 for value in lateness])
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
            response=encode(response),
            service=encode(service),
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
        )

    def _sort_answered(self) -> None:
        """Writes what the errands counted under their names."""
        now = self.now
        for errand in self._answered:
            now.tasks[errand.task] += errand.answered
            if errand.kind is not None:
                now.kinds[errand.kind] += errand.answered
            if errand.command is not None:
                now.commands[errand.command] += errand.answered
            errand.answered = 0
        self._answered.clear()

    def lateness(self) -> Counter[int]:
        """How late arrivals were picked up so far, in steps of 100 µs."""
        return self.lateness_all + Counter(value // 100 for value in microseconds(self._lateness))

    def generator(self) -> Generator:
        """How well this process kept up, over the whole run."""
        return Generator(
            self.total.planned,
            self.total.dropped,
            lateness_s(self.lateness(), 0.99),
            self.busy_seconds / max(self.seconds, 1),
        )
