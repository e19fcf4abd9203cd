"""Seconds of load: from frames (HdrHistogram, one a second and shard) or, where a run has none, from single requests.

Rules:

- Shards of one second are added up; histograms are merged by count and percentiles read from the sum.
- A frame that cannot be read is no empty second: it is counted, and makes the run inconclusive.
- A request that met its timeout stays in the percentiles with the timeout as its duration.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from hdrh.histogram import HdrHistogram

from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.event import IntervalMeasured, RequestDone
from chaosbot.core.outcome import Fate
from chaosbot.core.stats import Histogram, quantile_interval
from chaosbot.report.values import Load, Quantiles, Second

MICRO = 1e-6
LONGEST_RUN_S = 7 * 24 * 3600
TIMEOUTS = frozenset({Fate.TIMEOUT, Fate.CONNECT_TIMEOUT})


@dataclass(frozen=True, slots=True)
class Seconds:
    """The run's seconds in order, and how many frames could not be read."""

    seconds: tuple[Second, ...] = ()
    unreadable: int = 0
    framed: bool = False


@cache
def _ceilings(lowest: int, highest: int, figures: int) -> tuple[float, ...]:
    """The largest value (in seconds) of each bucket of a histogram of this layout."""
    layout = HdrHistogram(lowest, highest, figures)
    return tuple(
        layout.get_highest_equivalent_value(layout.get_value_from_index(index)) * MICRO
        for index in range(layout.counts_len)
    )


def decode(text: str) -> Histogram | None:
    """Reads a histogram of microseconds as one of seconds; None when it is none."""
    if not text:
        return Histogram()
    try:
        coded = HdrHistogram.decode(text)
        if not coded.total_count:
            return Histogram()
        first, last = (coded.get_counts_array_index(value) for value in (coded.min_value, coded.max_value))
        ceilings = _ceilings(coded.lowest_trackable_value, coded.highest_trackable_value, coded.significant_figures)
        counts = coded.counts[first : last + 1]
        seen = [(value, count) for value, count in zip(ceilings[first : last + 1], counts, strict=True) if count]
        return Histogram(tuple(value for value, _ in seen), tuple(count for _, count in seen))
    except Exception:  # noqa: BLE001 - the library raises a dozen kinds for a damaged text; the caller counts it
        return None


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
        planned=total(lambda frame: frame.planned),
        started=total(lambda frame: frame.started),
        completed=total(lambda frame: frame.completed),
        failed=total(lambda frame: frame.failed),
        timed_out=total(lambda frame: frame.timed_out),
        dropped=total(lambda frame: frame.dropped),
        response=response,
        service=service,
        errors=_summed(frame.errors for frame in shards),
        tasks=_summed(frame.tasks for frame in shards),
        commands=_summed(frame.commands for frame in shards),
        kinds=_summed(frame.kinds for frame in shards),
        active_users=total(lambda frame: frame.active_users),
        in_flight=total(lambda frame: frame.in_flight),
        faults=tuple(sorted({fault for frame in shards for fault in frame.faults})),
        # The worst shard: one late generator process is enough to make its share of the numbers its own.
        lateness_p99_s=max(frame.lateness_p99_s for frame in shards),
        lateness_max_s=max(frame.lateness_max_s for frame in shards),
        cpu=max(frame.cpu for frame in shards),
    )


def _tick(frame: IntervalMeasured) -> int:
    """The whole second of the run's clock that is nearest to a frame's end."""
    return math.floor(frame.t + 0.5)


def of_frames(frames: Iterable[IntervalMeasured]) -> Seconds:
    """Merges the shards' frames into seconds."""
    # `t` is the end of a frame's second; a run that drives load in several stretches begins counting anew in each, so
    # seconds are told apart by the run's clock and not by their number.
    ordered = sorted(frames, key=lambda frame: (_tick(frame), frame.shard))
    found, unreadable = [], 0
    for _, group in groupby(ordered, key=_tick):
        shards = list(group)
        responses = [decode(frame.response) for frame in shards]
        services = [decode(frame.service) for frame in shards]
        unreadable += sum(part is None for part in responses + services)
        merged = [Histogram.merged(part for part in parts if part is not None) for parts in (responses, services)]
        found.append(_second(max(0.0, min(frame.t for frame in shards) - 1), shards, *merged))
    return Seconds(tuple(found), unreadable, framed=True)


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
    """The run's seconds: its frames where there are any, else its single requests."""
    return of_frames(history.frames) if history.frames else of_requests(history.requests)


def load_of(history: History, seconds: tuple[Second, ...], dice: Dice) -> Load | None:
    """The load as a whole; None when nobody drove any."""
    if not seconds:
        return None
    length = max(1.0, seconds[-1].at_s + 1 - seconds[0].at_s)
    completed = sum(second.completed for second in seconds)
    planned = sum(second.planned for second in seconds)
    responses = [second.response for second in seconds]
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
        seconds=seconds,
    )


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first, ties by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
