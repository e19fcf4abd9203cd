"""Seconds of load: from intervals (HdrHistogram, one a second and shard) or, where a run has none, from single requests.

Rules:

- Shards of one second are added up; histograms are merged by count and percentiles read from the sum.
- A interval that cannot be read is no empty second: it is counted, and makes the run inconclusive.
- A request that met its timeout stays in the percentiles with the timeout as its duration.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import chain, groupby
from typing import TypeAlias

from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.event import IntervalMeasured, Noted, RequestDone, StreamInterval, without_parts
from chaosbot.core.hdr import CodedHistogram, decode
from chaosbot.core.outcome import Fate
from chaosbot.core.stats import Histogram, quantile, quantile_interval
from chaosbot.report.values import Generator, Load, Quantiles, Second, SlowRequest, StreamRow, StreamSecond, TaskRow

# Requests that were cut off at the end are counted in intervals and written by nobody.
WHOLE = 0.9
SLOWEST = 10
LONGEST_RUN_S = 7 * 24 * 3600
TIMEOUTS = frozenset({Fate.TIMEOUT, Fate.CONNECT_TIMEOUT})


@dataclass(frozen=True, slots=True)
class Seconds:
    """The run's seconds in order, and how many intervals could not be read."""

    seconds: tuple[Second, ...] = ()
    unreadable: int = 0
    measured: bool = False


def _summed(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _second(at_s: float, shards: list[IntervalMeasured], response: Histogram, service: Histogram) -> Second:
    def total(field: Callable[[IntervalMeasured], int]) -> int:
        return sum(map(field, shards))

    return Second(
        at_s=at_s,
        planned=total(lambda interval: interval.planned),
        started=total(lambda interval: interval.started),
        completed=total(lambda interval: interval.completed),
        failed=total(lambda interval: interval.failed),
        timed_out=total(lambda interval: interval.timed_out),
        dropped=total(lambda interval: interval.dropped),
        response=response,
        service=service,
        errors=_summed(interval.errors for interval in shards),
        tasks=_summed(interval.tasks for interval in shards),
        commands=_summed(interval.commands for interval in shards),
        kinds=_summed(interval.kinds for interval in shards),
        active_users=total(lambda interval: interval.active_users),
        in_flight=total(lambda interval: interval.in_flight),
        faults=tuple(sorted({fault for interval in shards for fault in interval.faults})),
        # The worst shard: one late generator process is enough to make its share of the numbers its own.
        lateness_p99_s=max(interval.lateness_p99_s for interval in shards),
        lateness_max_s=max(interval.lateness_max_s for interval in shards),
        cpu=max(interval.cpu for interval in shards),
    )


def tick_of(interval: IntervalMeasured) -> int:
    """The whole second of the run's clock that is nearest to a interval's end."""
    return math.floor(interval.t + 0.5)


def of_intervals(intervals: Iterable[IntervalMeasured]) -> Seconds:
    """Merges the shards' intervals into seconds."""
    # `t` is the end of a interval's second; a run that drives load in several stretches begins counting anew in each, so
    # seconds are told apart by the run's clock and not by their number.
    light = (without_parts(interval) for interval in intervals)
    ordered = sorted(light, key=lambda interval: (tick_of(interval), interval.shard))
    found, unreadable = [], 0
    for _, group in groupby(ordered, key=tick_of):
        shards = list(group)
        responses = [interval.response for interval in shards]
        services = [interval.service for interval in shards]
        unreadable += sum(decode(text) is None for text in responses + services)
        coded = CodedHistogram(responses), CodedHistogram(services)
        found.append(_second(max(0.0, min(interval.t for interval in shards) - 1), shards, *coded))
    return Seconds(tuple(found), unreadable, measured=True)


def of_requests(requests: Iterable[RequestDone]) -> Seconds:
    """Builds seconds from single requests, by the second in which they ended."""
    buckets: dict[int, list[RequestDone]] = defaultdict(list)
    for request in requests:
        if request.outcome.fate is not Fate.CANCELLED:
            buckets[math.floor(request.t)].append(request)
    if not buckets:
        return Seconds()
    # Seconds in which nothing ended count as well, unless the gap is one that no run has.
    span = range(min(buckets), max(buckets) + 1)
    found = []
    for at in span if len(span) <= LONGEST_RUN_S else sorted(buckets):
        done = buckets.get(at, [])
        kinds = [request.outcome.error_kind for request in done]
        timed_out = sum(request.outcome.fate in TIMEOUTS for request in done)
        lateness = Histogram.of(Counter(max(0.0, request.started - request.due) for request in done))
        found.append(
            Second(
                at_s=float(at),
                planned=len(done),
                started=len(done),
                completed=kinds.count(None),
                failed=len(kinds) - kinds.count(None) - timed_out,
                timed_out=timed_out,
                response=Histogram.of(Counter(response_of(request) for request in done)),
                service=Histogram.of(Counter(request.outcome.total_s for request in done)),
                errors=Counter(kind for kind in kinds if kind),
                tasks=Counter(request.task for request in done if request.task),
                commands=Counter(request.command for request in done if request.command),
                kinds=Counter(request.kind for request in done if request.kind),
                lateness_p99_s=lateness.quantile(0.99) or 0.0,
                lateness_max_s=lateness.maximum or 0.0,
            )
        )
    return Seconds(tuple(found))


def response_of(request: RequestDone) -> float:
    """Response time: from when the request was due, not from when it got its turn."""
    return max(0.0, request.started - request.due) + request.outcome.total_s


def seconds_of(history: History) -> Seconds:
    """The run's seconds: its intervals where there are any, else its single requests."""
    return of_intervals(history.intervals) if history.intervals else of_requests(history.requests)


def load_of(history: History, seconds: tuple[Second, ...], dice: Dice) -> Load | None:
    """The load as a whole; None when nobody drove any."""
    if not seconds:
        return None
    length = max(1.0, seconds[-1].at_s + 1 - seconds[0].at_s)
    completed = sum(second.completed for second in seconds)
    planned = sum(second.planned for second in seconds)
    responses = [second.response for second in seconds]
    parts = _stream_parts(history)
    tiers: dict[str, Counter[float]] = defaultdict(Counter)
    for request in history.requests:
        if request.tier and request.outcome.fate is not Fate.CANCELLED:
            tiers[request.tier][response_of(request)] += 1
    return Load(
        planned=planned,
        started=sum(second.started for second in seconds),
        completed=completed,
        failed=sum(second.failed for second in seconds),
        timed_out=sum(second.timed_out for second in seconds),
        dropped=sum(second.dropped for second in seconds),
        offered_rps=planned / length,
        achieved_rps=completed / length,
        response=Quantiles.of(Histogram.merged(responses)),
        service=Quantiles.of(Histogram.merged(second.service for second in seconds)),
        p99_interval=quantile_interval(responses, 0.99, dice.at("report", "p99")),
        errors=_ordered(_summed(second.errors for second in seconds)),
        by_task=_ordered(_summed(second.tasks for second in seconds)),
        by_tier={tier: Quantiles.of(Histogram.of(counts)) for tier, counts in sorted(tiers.items())},
        peak_users=max(second.active_users for second in seconds),
        seconds=_with_streams(seconds, parts),
        tasks=_tasks_of(history, length),
        streams=_streams_of(history, parts, length),
        slowest=_slowest_of(history),
        slowest_lacks=_slowest_lacks(history),
    )


def recorded_whole(history: History) -> bool:
    """Whether the single requests are all of the run's, and not just its failures."""
    finished = sum(one.completed + one.failed + one.timed_out for one in history.intervals)
    return bool(history.requests) and len(history.requests) >= WHOLE * finished


class _Task:
    """What one task came to so far."""

    def __init__(self) -> None:
        self.done = 0
        self.errors: Counter[str] = Counter()
        self.counts: Counter[float] = Counter()

    def row(self, name: str, length_s: float) -> TaskRow:
        response = Quantiles.of(Histogram.of(self.counts))
        return TaskRow(name, self.done, self.errors.total(), _ordered(self.errors), self.done / length_s, response)


def _tasks_of(history: History, length_s: float) -> tuple[TaskRow, ...]:
    """One row a task, the most frequent first: from the intervals, else from the requests where all were recorded."""
    found: dict[str, _Task] = defaultdict(_Task)
    for interval in history.intervals:
        for name, part in interval.by_task.items():
            task = found[name]
            task.done += part.done
            task.errors.update(part.errors)
            histogram = decode(part.response) or Histogram()
            for value, count in zip(histogram.values, histogram.counts, strict=True):
                task.counts[value] += count
    if not found and recorded_whole(history):
        for request in history.requests:
            if request.task and request.outcome.fate is not Fate.CANCELLED:
                task = found[request.task]
                task.done += 1
                task.errors.update([kind] if (kind := request.outcome.error_kind) else [])
                # As exact as a histogram, so that a long run's rows stay small.
                task.counts[float(f"{response_of(request):.3g}")] += 1
    ordered = sorted(found.items(), key=lambda item: (-item[1].done, item[0]))
    return tuple(task.row(name, length_s) for name, task in ordered)


StreamParts: TypeAlias = Mapping[str, Sequence[tuple[int, StreamInterval]]]
"""What each stream's clients told, each with its second's number."""


def _stream_parts(history: History) -> StreamParts:
    parts: dict[str, list[tuple[int, StreamInterval]]] = {}
    for interval in history.intervals:
        for name, part in interval.streams.items():
            parts.setdefault(name, []).append((tick_of(interval), part))
    return parts


def _with_streams(seconds: tuple[Second, ...], parts: StreamParts) -> tuple[Second, ...]:
    """The seconds with what the clients of all streams saw in each."""
    told: dict[int, list[StreamInterval]] = defaultdict(list)
    for tick, part in chain.from_iterable(parts.values()):
        told[tick].append(part)

    def seen(found: list[StreamInterval]) -> StreamSecond:
        return StreamSecond(
            sum(part.open for part in found),
            sum(part.messages for part in found),
            sum(sum(part.failed.values()) + part.broken for part in found),
            CodedHistogram(part.gap for part in found).quantile(0.95),
            CodedHistogram(part.latency for part in found).quantile(0.95),
        )

    ticks = (math.floor(second.at_s + 1.5) for second in seconds)
    return tuple(
        replace(second, streams=seen(told[tick])) if tick in told else second
        for second, tick in zip(seconds, ticks, strict=True)
    )


def _streams_of(history: History, parts: StreamParts, length_s: float) -> tuple[StreamRow, ...]:
    """One row a stream, by name."""
    missing = {
        note.data["name"]: note.data.get("why", note.text)
        for note in history.all(Noted)
        if note.area == "stream-missing"
    }

    def peak(name: str) -> int:
        open_at: Counter[int] = Counter()
        for tick, part in parts.get(name, ()):
            open_at[tick] += part.open
        return max(open_at.values(), default=0)

    def times(told: Sequence[StreamInterval], source: str) -> Quantiles:
        return Quantiles.of(Histogram.merged(decode(getattr(part, source)) or Histogram() for part in told))

    return tuple(
        StreamRow(
            name,
            sum(part.connects for part in told),
            _ordered(_summed(part.failed for part in told)),
            _ordered(_summed(part.ends for part in told)),
            sum(part.broken for part in told),
            messages := sum(part.messages for part in told),
            messages / length_s,
            sum(part.received for part in told),
            peak(name),
            times(told, "connect"),
            times(told, "gap"),
            times(told, "latency"),
            missing.get(name, ""),
            sum(part.quiet for part in told),
            sum(part.early for part in told),
            sum(part.finished for part in told),
            sum(part.dried for part in told),
        )
        for name in sorted(parts.keys() | missing)
        for told in [[part for _, part in parts.get(name, ())]]
    )


def _slowest_of(history: History) -> tuple[SlowRequest, ...]:
    """The slowest requests where traces were asked for, so that they are found in the target's tracing."""
    traced = (request for request in history.requests if request.trace and request.outcome.fate is not Fate.CANCELLED)
    return tuple(
        SlowRequest(one.due, one.task, response_of(one), one.outcome.status, one.exchange, one.trace)
        for one in nlargest(SLOWEST, traced, key=response_of)
    )


def _slowest_lacks(history: History) -> str:
    settings = history.start.settings if history.start is not None else {}
    workload = settings.get("workload")
    asked = settings.get("traceparent") or (isinstance(workload, Mapping) and workload.get("traceparent"))
    if not asked or recorded_whole(history):
        return ""
    finished = sum(one.completed + one.failed + one.timed_out for one in history.intervals)
    return (
        f"only {len(history.requests)} of {finished} requests were recorded one by one, so the slowest are not known: a load of more than "
        "1500/s records failures alone, and each process at most 100000 requests; use a lower rate or fewer users"
    )


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first, ties by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def live_seconds(intervals: Iterable[IntervalMeasured]) -> tuple[Second, ...]:
    """The seconds that these intervals tell of, shards of one second added up."""
    return of_intervals(intervals).seconds


def as_one_second(intervals: Sequence[IntervalMeasured]) -> Second:
    """These intervals, at least one, taken for one second: each process's latest, of which some are a second behind."""
    coded = (CodedHistogram([getattr(one, times) for one in intervals]) for times in ("response", "service"))
    return _second(0.0, list(intervals), *coded)


LATENESS_S = 0.1
BUSY, BUSY_SHARE = 0.95, 0.1
DROPPED_SHARE = 0.01


def generator_of(history: History, seconds: Sequence[Second], *, measured: bool) -> Generator | None:
    """The generator's health; None when nothing was generated.

    A late, saturated or overrun driver measures itself, and its numbers are INVALID. A driver that finished has judged itself (a note
    of area ``generator``), from figures that are exact. Where it could not, because it was killed, these bounds hold, each over the
    whole run:

    - lateness: 1 of 100 arrivals may start up to 100 ms late (a run whose p99 bound is wider than a second: a tenth of it);
    - CPU: no more than a tenth of the seconds above 95 % of the one core that a generator process has;
    - arrivals that nobody could start: at most 1 %.
    """
    if not seconds:
        return None
    # Single requests tell lateness exactly; intervals carry each second's p99, of which the weighted p99 is a close bound.
    single = [max(0.0, request.started - request.due) for request in history.requests]
    weighted = Histogram.of(_by_weight(seconds))
    p99 = (weighted.quantile(0.99) if measured else quantile(single, 0.99)) or 0.0
    cpu = quantile([second.cpu for second in seconds], 1 - BUSY_SHARE) or 0.0
    planned, dropped = sum(second.planned for second in seconds), sum(second.dropped for second in seconds)
    reasons = []
    if p99 > LATENESS_S:
        reasons.append(
            f"1 % of the arrivals started more than {p99 * 1e3:.0f} ms late (bound {LATENESS_S * 1e3:.0f} ms)"
        )
    if cpu > BUSY:
        reasons.append(f"the generator used {cpu:.0%} of its core in a tenth of the seconds (bound {BUSY:.0%})")
    if planned and dropped > DROPPED_SHARE * planned:
        reasons.append(f"{dropped} of {planned} arrivals could not be started (bound {DROPPED_SHARE:.0%})")
    said = [note for note in history.all(Noted) if note.area == "generator" and "valid" in note.data]
    if said:
        reasons = [note.text for note in said if note.data["valid"] is False]
        exact = [note.data.get("lateness_p99_s") for note in said]
        p99 = max((one for one in exact if isinstance(one, float)), default=p99)
    return Generator(
        lateness_p50=quantile(single, 0.5),
        lateness_p99=p99,
        lateness_max=max(second.lateness_max_s for second in seconds),
        cpu=cpu,
        valid=not reasons,
        reasons=tuple(reasons),
    )


def _by_weight(seconds: Sequence[Second]) -> dict[float, int]:
    weights: dict[float, int] = {}
    for second in seconds:
        weights[second.lateness_p99_s] = weights.get(second.lateness_p99_s, 0) + max(1, second.started)
    return weights
