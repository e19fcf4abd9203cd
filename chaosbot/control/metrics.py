"""Prometheus figures of a run: a fold of its events, for `/metrics` of the control API and of the live page.

Rules:

- Only what events say is counted; nothing is measured a second time.
- Labels come from small alphabets (directions, rules, faults, status classes), never from paths or ids.
- Histograms of load arrive decoded (`responses`), since only the report's room reads HdrHistogram.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from chaosbot.core.event import (
    ApiCalled,
    CaseTried,
    Event,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Judged,
    PhaseChanged,
    RuleSwitched,
    Trouble,
)
from chaosbot.core.stats import Histogram

# Seconds; the default buckets of Prometheus' own clients up to their end, then what a webhook sender waits for.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels = tuple[tuple[str, str], ...]


def escape(value: str) -> str:
    """A label's value as the text format wants it."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def family(name: str, kind: str, help_line: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    """The lines of one metric; none without samples."""
    lines = []
    for labels, value in samples:
        inside = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    return [f"# HELP {name} {help_line}", f"# TYPE {name} {kind}", *lines] if lines else []


class _Buckets:
    """A histogram as Prometheus counts one, for each value of a label."""

    def __init__(self) -> None:
        self._below: Counter[tuple[str, float]] = Counter()
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, label: str, seconds: float, count: int = 1) -> None:
        """Counts a duration."""
        self._counts[label] += count
        self._sums[label] += seconds * count  # type: ignore[assignment]  # a Counter adds floats as well
        for bound in _BUCKETS:
            if seconds <= bound:
                self._below[label, bound] += count

    def lines(self, name: str, key: str, help_line: str) -> list[str]:
        """The lines of the metric; none when nothing was counted."""
        lines: list[str] = []
        for label, count in sorted(self._counts.items()):
            own = f'{key}="{escape(label)}",' if key else ""
            after = f"{{{own.rstrip(',')}}}" if key else ""
            lines += [f'{name}_bucket{{{own}le="{bound}"}} {self._below[label, bound]}' for bound in _BUCKETS]
            lines.append(f'{name}_bucket{{{own}le="+Inf"}} {count}')
            lines.append(f"{name}_sum{after} {self._sums[label]}")
            lines.append(f"{name}_count{after} {count}")
        return [f"# HELP {name} {help_line}", f"# TYPE {name} histogram", *lines] if lines else []


_RESULTS: Final = ("completed", "failed", "timed_out", "cancelled")


class _Load:
    """The counters of a load, summed over its frames, and the gauges of each shard's last one."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.last: dict[int, IntervalMeasured] = {}

    def take(self, frame: IntervalMeasured) -> None:
        """Counts a frame."""
        for name in ("planned", "started", "dropped", *_RESULTS):
            self.counts[name] += getattr(frame, name)
        self.errors.update(frame.errors)
        self.last[frame.shard] = frame

    def lines(self) -> list[str]:
        """The lines of all its metrics; none when nobody drives a load."""
        if not self.last:
            return []
        last = self.last.values()
        return [
            *family("chaosbot_load_planned_total", "counter", "Starts that were due.", [({}, self.counts["planned"])]),
            *family("chaosbot_load_started_total", "counter", "Requests started.", [({}, self.counts["started"])]),
            *family(
                "chaosbot_load_dropped_total",
                "counter",
                "Starts that nobody could make; the generator was the limit.",
                [({}, self.counts["dropped"])],
            ),
            *family(
                "chaosbot_load_requests_total",
                "counter",
                "Requests that ended, by how.",
                [({"result": name}, self.counts[name]) for name in _RESULTS],
            ),
            *family(
                "chaosbot_load_errors_total",
                "counter",
                "Requests without a good answer, by kind of error.",
                [({"kind": kind}, count) for kind, count in sorted(self.errors.items())],
            ),
            *family(
                "chaosbot_load_active_users",
                "gauge",
                "Virtual users.",
                [({}, sum(frame.active_users for frame in last))],
            ),
            *family(
                "chaosbot_load_in_flight",
                "gauge",
                "Requests on their way.",
                [({}, sum(frame.in_flight for frame in last))],
            ),
            *family(
                "chaosbot_load_lateness_p99_seconds",
                "gauge",
                "How late the generator started requests in its last second, the worst process.",
                [({}, max(frame.lateness_p99_s for frame in last))],
            ),
            *family(
                "chaosbot_load_generator_cpu",
                "gauge",
                "Share of a core that the busiest generator process took.",
                [({}, max(frame.cpu for frame in last))],
            ),
        ]


class EventMetrics:
    """Counts events as they pass; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: Counter[Labels] = Counter()
        self._injections: Counter[Labels] = Counter()
        self._active: dict[Labels, int] = {}
        self._seconds = _Buckets()
        self._responses = _Buckets()
        self._load = _Load()
        self._calls: Counter[Labels] = Counter()
        self._cases: Counter[Labels] = Counter()
        self._breaches: Counter[Labels] = Counter()
        self._findings: dict[str, str] = {}
        self._phase: dict[str, str] = {}
        self._troubles = 0

    def take(self, event: Event) -> None:
        """Counts an event; of most kinds nothing is counted."""
        with self._lock:
            match event:
                case ExchangeSeen(direction=direction, by=by, status=status, seconds=seconds):
                    self._exchanges[("direction", str(direction)), ("by", by), ("status", _class(status))] += 1
                    self._seconds.add(str(direction), seconds)
                case Injected(rule=rule, fault=fault, direction=direction, stage=stage):
                    labels = (("rule", rule), ("fault", fault), ("direction", str(direction)), ("stage", stage))
                    self._injections[labels] += 1
                case RuleSwitched():
                    self._active[("rule", event.rule), ("fault", event.fault)] = int(event.active)
                case IntervalMeasured():
                    self._load.take(event)
                case ApiCalled(status=status, via=via):
                    self._calls[("via", via), ("status", _class(status))] += 1
                case CaseTried(stage=stage, violations=violations):
                    self._cases[(("stage", stage),)] += 1
                    self._breaches.update((("check", name),) for name in violations)
                case Judged(judgement=judgement):
                    self._findings |= {finding.id: str(finding.severity) for finding in judgement.findings}
                case PhaseChanged(phase=phase, label=label):
                    self._phase = {"phase": phase, "label": label}
                case Trouble():
                    self._troubles += 1
                case _:
                    pass

    def responses(self, histogram: Histogram) -> None:
        """Counts the response times (in seconds) of a load that ended since the last call."""
        with self._lock:
            for value, count in zip(histogram.values, histogram.counts, strict=True):
                self._responses.add("", value, count)

    def text(self) -> str:
        """The figures in Prometheus' text format."""
        with self._lock:
            lines = [
                *self._load.lines(),
                *self._responses.lines(
                    "chaosbot_load_response_seconds", "", "How long answers took, from when their requests were due."
                ),
                *_counter(
                    "chaosbot_exchanges_total",
                    "Exchanges by direction, by who wrote the answer, and by status class.",
                    self._exchanges,
                ),
                *self._seconds.lines(
                    "chaosbot_exchange_seconds", "direction", "How long exchanges took, as the proxy saw them."
                ),
                *_counter(
                    "chaosbot_injections_total",
                    "Faults that met an exchange or a connection, by what became of them.",
                    self._injections,
                ),
                *family(
                    "chaosbot_rule_active",
                    "gauge",
                    "Whether a rule's window is open.",
                    [(dict(labels), state) for labels, state in sorted(self._active.items())],
                ),
                *_counter("chaosbot_api_calls_total", "The bot's calls, by way and status class.", self._calls),
                *_counter("chaosbot_cases_total", "Cases that the fuzzer sent, by stage.", self._cases),
                *_counter("chaosbot_breaches_total", "Cases that failed a check, by check.", self._breaches),
                *family(
                    "chaosbot_findings",
                    "gauge",
                    "Distinct findings so far, by severity.",
                    [({"severity": name}, count) for name, count in sorted(Counter(self._findings.values()).items())],
                ),
                *family("chaosbot_phase", "gauge", "The run's phase.", [(self._phase, 1)] if self._phase else []),
                *family(
                    "chaosbot_troubles_total",
                    "counter",
                    "Parts of chaosbot that failed; above zero the run cannot pass.",
                    [({}, self._troubles)],
                ),
            ]
        return "".join(line + "\n" for line in lines)


def _class(status: int | None) -> str:
    return "none" if status is None else f"{status // 100}xx"


def _counter(name: str, help_line: str, counts: Counter[Labels]) -> list[str]:
    return family(name, "counter", help_line, [(dict(labels), count) for labels, count in sorted(counts.items())])
