"""What a live page shows: a fold of the run's events, small however long the run takes.

Rules:

- `notice` only puts an event into a queue, so the thread that emits (an engine's hot path) never waits for a viewer; whoever looks
  folds (`fold`), and the server's own thread does so several times a second.
- Everything kept is bounded: the last quarter of an hour second by second, the first findings, sums for the rest.
- The state is JSON without secrets; the run's redactor sees all of it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaosbot.control.metrics import EventMetrics
from chaosbot.core.event import (
    WORKERS,
    ApiCalled,
    CaseTried,
    Event,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Judged,
    Noted,
    PhaseChanged,
    ProbeSeen,
    RequestDone,
    RuleSwitched,
    RunEnded,
    Steered,
    Trouble,
    plan_began,
)
from chaosbot.core.hdr import decode
from chaosbot.core.stats import Histogram
from chaosbot.report import live_seconds
from chaosbot.report.values import how_ended, silences
from chaosbot.session.run import SERVING, Run

SECONDS_KEPT: Final = 900
MOST_LISTED: Final = 200
SETTLED_S: Final = 2
"""A second whose shards had this long to tell of it is read for good."""
SUMS: Final = ("planned", "started", "completed", "failed", "timed_out", "cancelled", "dropped")


class _Tick:
    """One second of the run: the frames that tell of it, or single events counted where a verb has none."""

    __slots__ = ("failed", "frames", "shown", "taken", "times")

    def __init__(self) -> None:
        self.frames: list[IntervalMeasured] = []
        self.times: Counter[float] = Counter()
        self.taken = self.failed = 0
        self.shown: dict[str, Any] | None = None

    def count(self, seconds: float, *, failed: bool) -> None:
        """Counts a single event."""
        self.taken += 1
        self.failed += failed
        self.times[float(f"{seconds:.2g}")] += 1
        self.shown = None

    def point(self, tick: int) -> dict[str, Any]:
        """What a chart draws for this second."""
        if self.shown is None:
            self.shown = self._of_frames(tick) if self.frames else self._of_events(tick)
        return self.shown

    def _of_frames(self, tick: int) -> dict[str, Any]:
        second = live_seconds(self.frames)[0]
        failed = second.failed + second.timed_out
        finished = second.completed + failed
        return {
            "t": tick,
            "rps": finished,
            "planned": second.planned,
            "failed": failed,
            "dropped": second.dropped,
            "users": second.active_users,
            "in_flight": second.in_flight,
            "lateness_ms": _ms(second.lateness_p99_s),
            "cpu": round(second.cpu, 3),
            **_quantiles(second.response),
        }

    def _of_events(self, tick: int) -> dict[str, Any]:
        return {"t": tick, "rps": self.taken, "failed": self.failed, **_quantiles(Histogram.of(self.times))}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _quantiles(histogram: Histogram) -> dict[str, Any]:
    return {"p50": _ms(histogram.quantile(0.5)), "p99": _ms(histogram.quantile(0.99))}


class _Totals:
    """What a task or a stream came to so far; its times are those of all seconds together."""

    __slots__ = ("counts", "errors", "times")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.times: Counter[float] = Counter()

    def add_times(self, text: str) -> None:
        """Adds a histogram."""
        histogram = decode(text) or Histogram()
        for value, count in zip(histogram.values, histogram.counts, strict=True):
            self.times[value] += count

    def row(self, name: str) -> dict[str, Any]:
        """What a table shows."""
        whole = Histogram.of(self.times)
        times = {f"p{round(share * 100)}": _ms(whole.quantile(share)) for share in (0.5, 0.95, 0.99)}
        return {
            "name": name,
            **self.counts,
            "errors": dict(self.errors.most_common(5)),
            **times,
            "max": _ms(whole.maximum),
        }


class _LoadWorker:
    """One of the processes that share a load, as it told of itself last."""

    __slots__ = ("latest", "lost", "name", "planned")

    def __init__(self, name: str) -> None:
        self.name = name
        self.planned = 0
        self.latest: IntervalMeasured | None = None
        self.lost = False

    def row(self, planned: int) -> dict[str, Any]:
        """What a table shows; its share is that of the plan so far."""
        name, _, host = self.name.partition(" on ")
        row = {"name": name, "host": host or "this machine", "lost": self.lost, "errors": {}}
        if (frame := self.latest) is None:
            return {**row, "share": 0.0, "rps": 0, "users": 0, "lateness_ms": None, "cpu": 0.0}
        return {
            **row,
            "share": round(self.planned / max(planned, 1), 4),
            "rps": frame.completed + frame.failed + frame.timed_out,
            "users": frame.active_users,
            "lateness_ms": _ms(frame.lateness_p99_s),
            "cpu": round(frame.cpu, 3),
        }


class Board:
    """Folds a run's events for those who watch it live.

    Args:
        run: The run.
        target: What it runs against, for people.
        total_s: How long it is expected to take; None when nobody knows.
    """

    def __init__(self, run: Run, target: str, total_s: float | None = None) -> None:
        self.metrics = EventMetrics()
        self.changed = threading.Condition()
        self.version = 0
        self._run = run
        self._target = target
        self._total_s = total_s if total_s is not None and math.isfinite(total_s) else None
        self._queue: deque[Event] = deque()
        self._folding = threading.Lock()
        self._ticks: dict[int, _Tick] = {}
        self._unread: deque[int] = deque()  # seconds whose histograms the metrics do not have yet
        self._sums: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._exchanges: Counter[str] = Counter()
        self._cases: Counter[str] = Counter()
        self._breaches: Counter[str] = Counter()
        self._injected: Counter[str] = Counter()
        self._active: dict[str, str] = {}
        self._framed: tuple[str, ...] = ()
        self._phases: deque[dict[str, Any]] = deque(maxlen=MOST_LISTED)
        self._findings: dict[str, dict[str, Any]] = {}
        self._troubles: deque[dict[str, Any]] = deque(maxlen=MOST_LISTED)
        self._probes: dict[str, dict[str, Any]] = {}
        self._calls = self._left_out = 0
        self._tasks: dict[str, _Totals] = {}
        self._streams: dict[str, _Totals] = {}
        self._open: dict[tuple[str, int], int] = {}
        self._steered: deque[dict[str, Any]] = deque(maxlen=MOST_LISTED)
        self._workers: dict[int, _LoadWorker] = {}
        self._began = 0.0 if run.verb in SERVING else None
        self._ended: dict[str, Any] | None = None
        self._broken = False

    def notice(self, event: Event) -> None:
        """Listens to the run's events; costs its caller an append."""
        told = isinstance(event, Noted) and event.area == WORKERS
        if (told or not isinstance(event, (RequestDone, Noted))) and not self._broken:
            self._queue.append(event)

    @property
    def over(self) -> bool:
        """Whether the run's end is shown."""
        return self._ended is not None and "verdict" in self._ended

    @property
    def report_path(self) -> Path:
        """Where the report for people stands when the run has ended."""
        return self._run.directory / "report.html"

    def steer(self, words: Mapping[str, Any]) -> None:
        """Does what a person on the page wants; see `Steering.command`."""
        self._run.steering.command(words)

    def fold(self) -> None:
        """Takes in what has happened since the last call."""
        with self._folding:
            fresh = len(self._queue)
            for _ in range(fresh):
                event = self._queue.popleft()
                self.metrics.take(event)
                self._take(event)
            self._settle(final=False)
        if fresh:
            self._tell()

    def end(self) -> None:
        """The run is over; its verdict is shown when there is one."""
        self.fold()
        verdict = str(self._run.report.verdict) if self._run.report else ""
        with self._folding:
            self._settle(final=True)
            self._ended = {"how": "aborted", "reason": "", **(self._ended or {}), "verdict": verdict}
        self._tell()

    def fold_safely(self) -> None:
        """`fold`, on a thread that must go on: what breaks is told once, and the run's report says so."""
        try:
            self.fold()
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """The view itself broke; the run goes on and its report says so, and nothing is queued that nobody takes."""
        with self._folding:
            first, self._broken = not self._broken, True
            self._queue.clear()
        if first:
            what = f"the live view broke and shows nothing more: {type(error).__name__}: {error}"
            self._troubles.append({"t": round(self._run.now(), 3), "where": "live", "what": what[:500]})
            self._run.note("live", what)
            self._tell()

    def _tell(self) -> None:
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    def _settle(self, *, final: bool) -> None:
        """Hands the histograms of complete seconds to the metrics, and forgets seconds of long ago."""
        newest = max(self._ticks, default=0)
        while self._unread and (final or self._unread[0] <= newest - SETTLED_S):
            tick = self._ticks.get(self._unread.popleft())
            if tick is not None:
                self.metrics.responses(live_seconds(tick.frames)[0].response)
        while len(self._ticks) > SECONDS_KEPT:
            del self._ticks[min(self._ticks)]

    def _take(self, event: Event) -> None:
        if self._began is None:
            self._began = plan_began(event)
        match event:
            case IntervalMeasured():
                self._frame(event)
            case ExchangeSeen(direction=direction, status=status, seconds=seconds):
                self._exchanges[str(direction)] += 1
                if self._run.verb not in ("load", "run", "fuzz"):
                    self._tick(event.t).count(seconds, failed=status is None or status >= 500)
            case CaseTried(stage=stage, violations=violations, outcome=outcome):
                self._cases[stage] += 1
                self._breaches.update(violations)
                if self._run.verb != "run":
                    self._tick(event.t).count(outcome.total_s, failed=bool(violations))
            case Injected(stage="applied", fault=fault):
                self._injected[fault] += 1
            case RuleSwitched(rule=rule, fault=fault, active=True):
                self._active[rule] = fault
            case RuleSwitched(rule=rule, active=False):
                self._active.pop(rule, None)
            case ApiCalled():
                self._calls += 1
            case ProbeSeen(probe=probe, ok=ok, value=value):
                if probe in self._probes or len(self._probes) < 20:
                    self._probes[probe] = {"probe": probe, "ok": ok, "value": value}
            case Steered(t=t, what=what, value=value):
                self._steered.append({"t": round(t, 3), "what": what, "value": value})
            case PhaseChanged(t=t, phase=phase, label=label):
                self._phases.append({"t": round(t, 3), "phase": phase, "label": label})
            case Judged():
                self._judged(event)
            case Trouble(t=t, where=where, what=what):
                shard = where.removeprefix("load:shard ")
                if shard.isdecimal() and int(shard) in self._workers:
                    self._workers[int(shard)].lost = True
                self._troubles.append({"t": round(t, 3), "where": where, "what": what[:500]})
            case Noted(area=area, data=names) if area == WORKERS:
                self._workers = {int(shard): _LoadWorker(str(name)) for shard, name in names.items()}
            case RunEnded(how=how, reason=reason):
                self._active.clear()
                self._ended = {"how": how, "reason": reason}
            case _:
                pass

    def _tick(self, t: float) -> _Tick:
        return self._ticks.setdefault(math.floor(t), _Tick())

    def _frame(self, frame: IntervalMeasured) -> None:
        number = math.floor(frame.t + 0.5)
        if number not in self._ticks:
            self._unread.append(number)
        tick = self._ticks.setdefault(number, _Tick())
        tick.frames.append(frame)
        tick.shown = None
        for name in SUMS:
            self._sums[name] += getattr(frame, name)
        self._errors.update(frame.errors)
        self._framed = frame.faults
        if (worker := self._workers.get(frame.shard)) is not None:
            worker.planned += frame.planned
            worker.latest = frame
        for name, part in frame.by_task.items():
            task = self._kept(self._tasks, name)
            task.counts.update(done=part.done, failed=sum(part.errors.values()))
            task.errors.update(part.errors)
            task.add_times(part.response)
        for name, seen in frame.streams.items():
            stream = self._kept(self._streams, name)
            failed = sum(seen.failed.values())
            stream.counts.update(
                connects=seen.connects, failed=failed, broken=seen.broken, messages=seen.messages, open=0
            )
            self._open[name, frame.shard] = seen.open
            stream.counts["open"] = sum(count for (of, _), count in self._open.items() if of == name)
            stream.errors.update(seen.failed)
            stream.errors.update({how_ended(code): count for code, count in seen.ends.items()})
            stream.errors.update(silences(seen))
            stream.add_times(seen.gap)

    @staticmethod
    def _kept(totals: dict[str, _Totals], name: str) -> _Totals:
        """The totals of this name; beyond a bound those of all others."""
        return totals.setdefault(name if name in totals or len(totals) < MOST_LISTED else "others", _Totals())

    def _judged(self, event: Judged) -> None:
        for finding in event.judgement.findings:
            known = self._findings.get(finding.id)
            if known is not None:
                known["count"] += 1
            elif len(self._findings) >= MOST_LISTED:
                self._left_out += 1
            else:
                self._findings[finding.id] = {
                    "t": round(event.t, 3),
                    "severity": str(finding.severity),
                    "title": finding.title[:300],
                    "check": finding.check,
                    "count": 1,
                }

    def state(self, since: int = -1) -> dict[str, Any]:
        """All of it as JSON.

        Args:
            since: Seconds before this one are left out of the points; a viewer that has them asks for the rest only.
        """
        self.fold()
        with self._folding:
            points = [tick.point(number) for number, tick in sorted(self._ticks.items()) if number >= since]
            state: dict[str, Any] = {
                "version": self.version,
                "run": {
                    "verb": self._run.verb,
                    "target": self._target,
                    "seed": self._run.seed,
                    "directory": str(self._run.directory),
                },
                "now": round(self._run.now(), 3),
                "total_s": self._total_s,
                "elapsed": 0.0 if self._began is None else round(max(0.0, self._run.now() - self._began), 3),
                "steering": self._run.steering.state(),
                "steered": list(self._steered),
                "tasks": sorted(
                    (task.row(name) for name, task in self._tasks.items()), key=lambda row: (-row["done"], row["name"])
                ),
                "workers": [one.row(self._sums["planned"]) for _, one in sorted(self._workers.items())],
                "streams": [stream.row(name) for name, stream in sorted(self._streams.items())],
                "ended": self._ended,
                "phase": self._phases[-1] if self._phases else None,
                "phases": list(self._phases),
                "load": dict(self._sums) if self._sums else None,
                "errors": dict(self._errors.most_common(20)),
                "exchanges": dict(self._exchanges),
                "calls": self._calls,
                "cases": dict(self._cases),
                "breaches": dict(self._breaches.most_common(50)),
                "faults": {
                    "active": sorted({*self._active.values(), *self._framed}),
                    "injected": dict(self._injected.most_common(50)),
                },
                "findings": list(self._findings.values()),
                "findings_left_out": self._left_out,
                "trouble": list(self._troubles),
                "probes": list(self._probes.values()),
                "points": points,
            }
        clean: dict[str, Any] = self._run.redactor.json(state)
        return clean

    def text(self) -> str:
        """The figures as Prometheus text."""
        self.fold()
        return self._run.redactor.text(self.metrics.text())
