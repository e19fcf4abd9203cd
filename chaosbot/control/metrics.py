"""Prometheus figures of a run: a fold of its events, for `/metrics` of the control API and of the live page.

Rules:

- Only what events say is counted; nothing is measured a second time.
- Labels come from small alphabets (directions, rules, faults, status classes), never from paths or ids.
- Histograms of a whole second of load arrive merged over its shards (`responses`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from chaosbot.core import stats
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
from chaosbot.core.hdr import decode

if TYPE_CHECKING:
    from chaosbot.control.proxies import ToxicProxy

# Seconds; the default buckets of Prometheus' own clients up to their end, then what a webhook sender waits for.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_RESULTS: Final = ("completed", "failed", "timed_out", "cancelled")


class _Responses:
    """Durations that come as histograms.

    Args:
        labels: The value of the label that tells series apart; none for a single series.
    """

    def __init__(self, labels: tuple[str, ...] = ()) -> None:
        self.labels = labels
        self._below = [0] * len(_BUCKETS)
        self._count = 0
        self._sum = 0.0

    def add(self, histogram: stats.Histogram) -> None:
        """Counts the durations of a histogram, in seconds."""
        for seconds, count in zip(histogram.values, histogram.counts, strict=True):
            self._count += count
            self._sum += seconds * count
            for number, bound in enumerate(_BUCKETS):
                self._below[number] += count if seconds <= bound else 0

    def into(self, family: HistogramMetricFamily) -> None:
        """Adds what was counted, if anything was."""
        if self._count:
            bounds = [*zip(map(str, _BUCKETS), self._below, strict=True), ("+Inf", self._count)]
            family.add_metric(self.labels, bounds, self._sum)


class _Durations:
    """The response times of a load and its tasks, and the gaps of its streams."""

    def __init__(self) -> None:
        self.whole = _Responses()
        self.tasks: dict[str, _Responses] = {}
        self.gaps: dict[str, _Responses] = {}

    def collect(self) -> Iterator[Metric]:
        """The metrics; none of what was not counted."""
        told = (
            ("load_response_seconds", "How long answers took, from when their requests were due.", "", [self.whole]),
            ("load_task_response_seconds", "The same by task.", "task", self.tasks.values()),
            (
                "stream_gap_seconds",
                "From one message of a stream's connection to its next.",
                "stream",
                self.gaps.values(),
            ),
        )
        for name, help_line, label, series in told:
            family = HistogramMetricFamily(f"chaosbot_{name}", help_line, labels=[label] if label else [])
            for one in series:
                one.into(family)
            if family.samples:
                yield family


class EventMetrics:
    """Counts events as they pass; thread-safe."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._last: dict[int, IntervalMeasured] = {}
        self._findings: dict[str, str] = {}
        self._durations = _Durations()
        self._registry.register(self._durations)
        self._planned = self._counter("load_planned", "Starts that were due.")
        self._started = self._counter("load_started", "Requests started.")
        self._dropped = self._counter("load_dropped", "Starts that nothing could make; the generator was the limit.")
        self._requests = self._counter("load_requests", "Requests that ended, by how.", "result")
        self._errors = self._counter("load_errors", "Requests without a good answer, by kind of error.", "kind")
        self._tasks = self._counter("load_task_requests", "Requests that ended, by task and how.", "task", "result")
        self._messages = self._counter("stream_messages", "Messages that stream clients received.", "stream")
        self._connects = self._counter("stream_connects", "Connections of stream clients, by how.", "stream", "result")
        self._open = self._gauge("stream_connected", "Stream clients that are connected.", "stream")
        self._users = self._gauge("load_active_users", "Virtual users.")
        self._in_flight = self._gauge("load_in_flight", "Requests on their way.")
        self._lateness = self._gauge(
            "load_lateness_p99_seconds",
            "How late the generator started requests in its last second, the worst process.",
        )
        self._cpu = self._gauge("load_generator_cpu", "Share of a core that the busiest generator process took.")
        self._exchanges = self._counter(
            "exchanges",
            "Exchanges by direction, by who wrote the answer, and by status class.",
            *("direction", "by", "status"),
        )
        self._seconds = prometheus_client.Histogram(
            "chaosbot_exchange_seconds",
            "How long exchanges took, as the proxy saw them.",
            ["direction"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._injections = self._counter(
            "injections",
            "Faults that met an exchange or a connection, by what became of them.",
            *("rule", "fault", "direction", "stage"),
        )
        self._active = self._gauge("rule_active", "Whether a rule's window is open.", "rule", "fault")
        self._calls = self._counter(
            "api_calls", "The target's calls, by upstream, way and status class.", "upstream", "via", "status"
        )
        self._cases = self._counter("cases", "Cases that the fuzzer sent, by stage.", "stage")
        self._violations = self._counter("breaches", "Cases that failed a check, by check.", "check")
        self._severities = self._gauge("findings", "Distinct findings so far, by severity.", "severity")
        self._phase = self._gauge("phase", "The run's phase.", "phase", "label")
        self._troubles = self._counter("troubles", "Parts of chaosbot that failed; above zero the run cannot pass.")

    def _counter(self, name: str, help_line: str, *labels: str) -> Counter:
        return Counter(f"chaosbot_{name}", help_line, labels, registry=self._registry)

    def _gauge(self, name: str, help_line: str, *labels: str) -> Gauge:
        return Gauge(f"chaosbot_{name}", help_line, labels, registry=self._registry)

    def take(self, event: Event) -> None:
        """Counts an event; of most kinds nothing is counted."""
        match event:
            case ExchangeSeen(direction=direction, by=by, status=status, seconds=seconds):
                self._exchanges.labels(str(direction), by, _class(status)).inc()
                self._seconds.labels(str(direction)).observe(seconds)
            case Injected(rule=rule, fault=fault, direction=direction, stage=stage):
                self._injections.labels(rule, fault, str(direction), stage).inc()
            case RuleSwitched():
                self._active.labels(event.rule, event.fault).set(int(event.active))
            case IntervalMeasured():
                self._take_interval(event)
            case ApiCalled(upstream=upstream, status=status, via=via):
                self._calls.labels(upstream, via, _class(status)).inc()
            case CaseTried(stage=stage, violations=violations):
                self._cases.labels(stage).inc()
                for name in violations:
                    self._violations.labels(name).inc()
            case Judged(judgement=judgement):
                for finding in judgement.findings:
                    if finding.id not in self._findings:
                        self._findings[finding.id] = str(finding.severity)
                        self._severities.labels(str(finding.severity)).inc()
            case PhaseChanged(phase=phase, label=label):
                self._phase.clear()
                self._phase.labels(phase, label).set(1)
            case Trouble():
                self._troubles.inc()
            case _:
                pass

    def _take_interval(self, interval: IntervalMeasured) -> None:
        """Counters are summed over all intervals; gauges show each process's last one."""
        self._planned.inc(interval.planned)
        self._started.inc(interval.started)
        self._dropped.inc(interval.dropped)
        for name in _RESULTS:
            self._requests.labels(name).inc(getattr(interval, name))
        for kind, count in interval.errors.items():
            self._errors.labels(kind).inc(count)
        for task, part in interval.by_task.items():
            failed = sum(part.errors.values())
            self._tasks.labels(task, "failed").inc(failed)
            self._tasks.labels(task, "right").inc(part.done - failed)
        for stream, seen in interval.streams.items():
            self._messages.labels(stream).inc(seen.messages)
            self._connects.labels(stream, "accepted").inc(seen.connects)
            self._connects.labels(stream, "failed").inc(sum(seen.failed.values()))
            self._connects.labels(stream, "broken").inc(seen.broken)
        with self._lock:
            for task, part in interval.by_task.items():
                self._durations.tasks.setdefault(task, _Responses((task,))).add(
                    decode(part.response) or stats.Histogram()
                )
            for stream, seen in interval.streams.items():
                self._durations.gaps.setdefault(stream, _Responses((stream,))).add(
                    decode(seen.gap) or stats.Histogram()
                )
            self._last[interval.shard] = interval
            for stream in interval.streams:
                self._open.labels(stream).set(
                    sum(each.streams[stream].open for each in self._last.values() if stream in each.streams)
                )
            last = self._last.values()
            self._users.set(sum(each.active_users for each in last))
            self._in_flight.set(sum(each.in_flight for each in last))
            self._lateness.set(max(each.lateness_p99_s for each in last))
            self._cpu.set(max(each.cpu for each in last))

    def responses(self, histogram: stats.Histogram) -> None:
        """Counts the response times (in seconds) of a load that ended since the last call."""
        with self._lock:
            self._durations.whole.add(histogram)

    def families(self) -> list[Metric]:
        """The figures as prometheus-client holds them."""
        return list(self._registry.collect())

    def text(self) -> str:
        """The figures in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry).decode()


def _class(status: int | None) -> str:
    return "none" if status is None else f"{status // 100}xx"


# ── the control API's own proxies ────────────────────────────────────────────────────────────────────────────────────


class ProxyMetrics:
    """What flowed through each proxy of the control API, and what its toxics did; the byte counters are named as Toxiproxy names them.

    Args:
        proxies: The proxies.
    """

    def __init__(self, proxies: Sequence[ToxicProxy]) -> None:
        self._proxies = proxies

    def text(self) -> str:
        """The figures in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return prometheus_client.generate_latest(registry).decode()

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        labels = ("stream", "proxy", "listener", "upstream")
        received = CounterMetricFamily("toxiproxy_proxy_received_bytes", "Bytes that came in.", labels=labels)
        sent = CounterMetricFamily("toxiproxy_proxy_sent_bytes", "Bytes that went out.", labels=labels)
        open_now = GaugeMetricFamily("chaosbot_pipe_connections", "Connections that are open.", labels=["proxy"])
        accepted = CounterMetricFamily("chaosbot_pipe_connections", "Connections that were accepted.", labels=["proxy"])
        for proxy in self._proxies:
            for stream, counted in zip(("upstream", "downstream"), proxy.pipe.traffic, strict=True):
                where = (stream, proxy.name, proxy.listen, proxy.upstream)
                received.add_metric(where, counted.received)
                sent.add_metric(where, counted.sent)
            open_now.add_metric([proxy.name], proxy.pipe.connections)
            accepted.add_metric([proxy.name], proxy.pipe.accepted)
        yield from (received, sent, open_now, accepted)
        tallies = [tally for proxy in self._proxies for tally in proxy.pipe.tallied()]
        for name, help_line in (
            ("considered", "Connections that a rule looked at."),
            ("decided", "Connections on which a rule's fault was to act."),
            ("applied", "Connections on which it did."),
            ("failed", "Connections on which it broke."),
        ):
            counted_by_rule = CounterMetricFamily(f"chaosbot_rule_{name}", help_line, labels=("rule", "fault"))
            for tally in tallies:
                counted_by_rule.add_metric((tally.rule, tally.fault), getattr(tally, name))
            yield counted_by_rule
