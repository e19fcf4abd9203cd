"""Promises: what was asked for (target) and what must not happen (alert), against what was observed.

Rules:

- FAIL when the observation, with its whole interval, is past the limit (the alert; the target where there is no alert).
  PASS when it is inside the target and its interval stays inside the limit. Everything between is INCONCLUSIVE, with the
  reason: the target was missed without an alert, or the noise reaches over the limit.
- Promises are about the target and not about what chaosbot did to it: they are judged outside of warm-up, burst and fault windows
  (and of the time until recovery) unless one names a window (``p99/fault<5s``). Each says in words which window it was judged in.
- Without a word from the user the profile's thresholds hold (or, where the run names none, the standard table). Then p99 needs 10 000 samples; a shorter run asserts p95 with p99's
  bounds instead (200 samples; below that only p50, from 20 on), throughput is asserted only where that much was offered, and no
  error in at least 20 requests is enough, although the interval shown beside it says how little that proves.
- A latency promise that fails while the generator itself was late is INVALID, unless the service time fails it too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chaosbot.core import units
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ChaosbotError, ConfigError
from chaosbot.core.event import IntervalMeasured
from chaosbot.core.hdr import CodedHistogram
from chaosbot.core.profile import KNOWN_METRICS, PROFILES, STANDARD, Metric
from chaosbot.core.stats import Histogram, Interval, enough_for, mean_interval, quantile_interval, share_interval
from chaosbot.core.verdict import Assertion, Verdict
from chaosbot.report.intervals import tick_of
from chaosbot.report.values import Circuits, Deliveries, Generator, Recovery, Second

_ALIASES: Final = {
    "median": "p50",
    "errors": "error_rate",
    "rps": "throughput",
    "rate": "throughput",
    "trips": "circuit_trips",
    "recovery_time": "recovery",
}
_BOUND: Final = re.compile(r"(<=|>=|<|>|≤|≥)?\s*(?:[<>]=?\s*)?([^<>\s].*)", re.DOTALL)
_PLAIN: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
GENERATOR_LIMIT: Final = "the load generator was the limit"
_TIMELESS: Final = frozenset({"circuit_trips", "lost", "duplicated", "recovery"})
"""What is observed of the run as a whole and of no part of its time."""
MORE_IS_BETTER: Final = frozenset({"throughput", "stream_messages"})


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit as reports show it: latencies in milliseconds, shares in percent."""

    above: bool  # values above it satisfy it ("> 100 rps")
    strict: bool
    value: float
    text: str

    def holds(self, value: float) -> bool:
        """Whether a value satisfies the bound; a bound of zero ("no trips") includes itself."""
        if value == self.value:
            return not self.strict or value == 0
        return (value > self.value) == self.above


def bounds(metric: str, target: object, alert: object) -> tuple[Bound, Bound | None]:
    """Reads what should hold (``"< 500ms"``) and what must not happen (``"> 1s"``) of a metric.

    The alert lies on the target's far side whatever its own sign says; a plain number is in code's units (seconds, share, 1/s).

    Raises:
        ConfigError: No number, or a unit that the metric has not.
    """
    sign, value, shown = _bound(metric, target)
    above = sign.startswith(">") if sign else Metric.parse(metric).name in MORE_IS_BETTER
    sign = sign or (">=" if above else "<=")
    wanted = Bound(above, "=" not in sign, value, f"{sign} {shown}")
    if alert in (None, ""):
        return wanted, None
    _, value, shown = _bound(metric, alert)
    return wanted, Bound(not above, True, value, f"{'<' if above else '>'} {shown}")


def _bound(metric: str, raw: object) -> tuple[str, float, str]:
    """The sign, the value in the reports' unit, and both as people read them."""
    match = _BOUND.fullmatch(str(raw).strip())
    if match is None or isinstance(raw, bool):
        raise ConfigError(metric, f"'{raw}' is no bound; write for example \"< 2s\"")
    sign, text = (match[1] or "").replace("≤", "<=").replace("≥", ">="), match[2]
    plain = float(text) if _PLAIN.fullmatch(text) else None
    known = Metric.parse(metric)
    if known.source:
        value, unit = (plain if plain is not None else units.duration(text)) * 1e3, " ms"
    elif metric == "recovery":
        value, unit = plain if plain is not None else units.duration(text), " s"
    elif known.read is units.share:
        value, unit = (plain if plain is not None else units.share(text)) * 100, " %"
    elif known.read is units.frequency:
        value, unit = plain if plain is not None else units.frequency(text), "/s" if known.streams else " rps"
    elif plain is not None:
        value, unit = plain, ""
    else:
        raise ConfigError(metric, f"'{text}' is no number")
    value = round(value, 9)
    return sign, value, f"{value:g}{unit}"


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the table; `asked` says that the user asked for it, so that it cannot be dropped silently."""

    metric: str
    target: object
    alert: object = ""
    window: str = ""
    asked: bool = True


def profile_name(settings: Mapping[str, Any]) -> str:
    """The load profile that a run's settings name; empty when they name none."""
    workload = settings.get("workload")
    nested = workload.get("profile") if isinstance(workload, Mapping) else None
    return str(settings.get("profile") or nested or "")


def _usual(settings: Mapping[str, Any]) -> tuple[Promise, ...]:
    """What holds without a word from the user."""
    name = profile_name(settings)
    try:
        thresholds = PROFILES.get(name).thresholds if name else STANDARD
    except (ChaosbotError, TypeError):
        thresholds = STANDARD
    return tuple(Promise(one.metric, one.write(one.target), one.write(one.alert), asked=False) for one in thresholds)


def promises_of(settings: Mapping[str, Any], *, loaded: bool) -> tuple[Promise, ...]:
    """The table of a run: the usual one where there was load, overridden by metric by what the settings carry."""
    table: dict[str, Promise] = {promise.metric: promise for promise in _usual(settings)} if loaded else {}
    for key in ("assertions", "slo", "thresholds"):
        for promise in _entries(settings.get(key)):
            table[f"{promise.metric}/{promise.window}" if promise.window else promise.metric] = promise
    return tuple(table.values())


def _entries(raw: Any) -> Iterable[Promise]:
    """Reads a list of objects, or an object of metrics; anything else has no promises in it."""
    if isinstance(raw, Mapping):
        raw = [
            {"metric": name, **value} if isinstance(value, Mapping) else {"metric": name, "target": value}
            for name, value in raw.items()
        ]
    if not isinstance(raw, list | tuple):
        return
    for entry in raw:
        if isinstance(entry, Mapping) and entry.get("metric"):
            name, brace, scope = str(entry["metric"]).partition("{")
            name = name.lower().replace("-", "_")
            yield Promise(
                _ALIASES.get(name, name) + brace + scope,
                entry.get("target"),
                entry.get("alert"),
                str(entry.get("window") or ""),
            )


@dataclass(frozen=True, slots=True)
class Observed:
    """What a metric came to; `note` says what a reader must know of it, `short` why it cannot be judged."""

    value: float | None
    interval: Interval | None = None
    short: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything that promises are judged by.

    Args:
        windows: Seconds by window name; ``""`` holds those outside of faults and burst, ``all`` every one.
        words: The windows' names in words, where these differ.
        generator: Its health.
        circuits: What the probe saw.
        deliveries: The ledger.
        recovery: The recoveries.
        dice: For intervals.
        faulted: Whether any fault happened; circuits are then meant to trip.
        intervals: The run's intervals, for promises about tasks and streams; they may be read from disk.
    """

    windows: Mapping[str, Sequence[Second]]
    words: Mapping[str, str]
    generator: Generator | None
    circuits: Circuits | None
    deliveries: Deliveries | None
    recovery: Sequence[Recovery]
    dice: Dice
    faulted: bool = False
    intervals: Sequence[IntervalMeasured] = ()

    def observe(self, promise: Promise, *, latency: str = "response") -> Observed:
        """What the promise's metric came to."""
        metric, seconds = Metric.parse(promise.metric), self.windows.get(promise.window, ())
        if metric.source:
            return self._time(metric, seconds, latency)
        if metric.name in ("error_rate", "stream_errors"):
            finished, bad = self._share(metric, seconds)
            low, high = share_interval(bad, finished)
            return Observed(bad / finished * 100 if finished else None, (low * 100, high * 100))
        if metric.name == "throughput" and not metric.of:
            return Observed(sum(second.completed for second in seconds) / _loaded(seconds) if seconds else None)
        if metric.name == "throughput":
            done = sum(part.done - sum(part.errors.values()) for _, part in self._parts(metric, seconds))
            return Observed(done / _loaded(seconds) if done else None, short=f"no task '{metric.of}' in this run")
        if metric.name == "stream_messages":
            streams = [part for _, part in self._parts(metric, seconds)]
            return Observed(
                sum(one.messages for one in streams) / len(seconds) if streams else None, short=_no_stream(metric)
            )
        single: dict[str, Callable[[], float | None]] = {
            "circuit_trips": lambda: self.circuits.trips if self.circuits else None,
            "lost": lambda: self.deliveries.lost if self.deliveries else None,
            "duplicated": lambda: self.deliveries.duplicated if self.deliveries else None,
            "dropped": lambda: sum(second.dropped for second in seconds) if seconds else None,
            "recovery": self._slowest_recovery,
        }
        if promise.metric not in single:
            return Observed(None, short=f"no such metric; there are {KNOWN_METRICS}, {', '.join(sorted(single))}")
        return Observed(single[promise.metric]())

    def _share(self, metric: Metric, seconds: Sequence[Second]) -> tuple[int, int]:
        """How many ended, and how many of them badly."""
        if metric.streams:
            streams = [part for _, part in self._parts(metric, seconds)]
            failed = sum(sum(one.failed.values()) for one in streams)
            bad = failed + sum(one.broken for one in streams)
            # Connections that were open before may break here as well.
            return max(sum(one.connects for one in streams) + failed + self._open_before(metric, seconds), bad), bad
        if metric.of:
            parts = [part for _, part in self._parts(metric, seconds)]
            return sum(part.done for part in parts), sum(sum(part.errors.values()) for part in parts)
        return sum(second.finished for second in seconds), sum(second.bad for second in seconds)

    def _open_before(self, metric: Metric, seconds: Sequence[Second]) -> int:
        """How many connections of the metric's streams were open when these seconds began."""
        before = min((math.floor(second.at_s + 1.5) for second in seconds), default=0) - 1
        return sum(
            part.open
            for interval in self.intervals
            if tick_of(interval) == before
            for name, part in interval.streams.items()
            if metric.of in ("", name)
        )

    def streams_of(self, promise: Promise) -> list[str]:
        """The streams that were seen in a promise's window."""
        ticks = {math.floor(second.at_s + 1.5) for second in self.windows.get(promise.window, ())}
        return sorted({name for one in self.intervals if tick_of(one) in ticks for name in one.streams})

    def _parts(self, metric: Metric, seconds: Sequence[Second]) -> Iterator[tuple[int, Any]]:
        """What the metric's tasks or streams did in these seconds, each with its second's number."""
        ticks = {math.floor(second.at_s + 1.5) for second in seconds}
        for interval in self.intervals:
            if (tick := tick_of(interval)) in ticks:
                for name, part in (interval.streams if metric.streams else interval.by_task).items():
                    if metric.about(name) if not metric.streams else metric.of in ("", name):
                        yield tick, part

    def _histograms(self, metric: Metric, seconds: Sequence[Second], latency: str) -> list[Histogram]:
        """The metric's times, one histogram a second, in order."""
        if metric.source == "response" and not metric.of:
            return [getattr(second, latency) for second in seconds]
        found: dict[int, list[str]] = {math.floor(second.at_s + 1.5): [] for second in seconds}
        for tick, part in self._parts(metric, seconds):
            found[tick].append(getattr(part, metric.source))
        return [CodedHistogram(texts) for texts in found.values()]

    def faultless(self, promise: Promise) -> bool:
        """Whether a promise of the usual table is about errors of which a small run saw none."""
        finished = sum(second.finished for second in self.windows.get(promise.window, ()))
        return promise.metric == "error_rate" and finished >= enough_for(0.5) and not self.observe(promise).value

    def _slowest_recovery(self) -> float | None:
        if not self.recovery:
            return None
        return max(one.watched_s if one.seconds is None else one.seconds for one in self.recovery)

    def _time(self, metric: Metric, seconds: Sequence[Second], latency: str) -> Observed:
        parts = self._histograms(metric, seconds, latency)
        merged, share = Histogram.merged(parts), metric.share
        if not merged.total:
            missing = _no_stream(metric) if metric.streams else f"no task '{metric.of}' in this run"
            return Observed(None, short=missing if metric.of or metric.streams else "")
        place = self.dice.at("slo", metric.name, *filter(None, [metric.of]))
        if share is None:
            means = [part.mean for part in parts if part.total]
            interval = mean_interval([mean for mean in means if mean is not None], place)
            value = merged.mean or 0.0
        else:
            value = merged.quantile(share) or 0.0
            interval = None if share == 1 else quantile_interval(parts, share, place)
        shown = None if interval is None else (interval[0] * 1e3, interval[1] * 1e3)
        enough = enough_for(share) if share is not None and share < 1 else 1
        if merged.total < enough:
            short = f"too few samples: {merged.total} of the {enough} that {metric.name} needs"
            return Observed(value * 1e3, shown, short)
        return Observed(value * 1e3, shown)


def _loaded(seconds: Sequence[Second]) -> int:
    """How many seconds there were until nothing became due any more: waiting for the last answers lowers no throughput."""
    return max((place for place, second in enumerate(seconds, 1) if second.planned), default=len(seconds))


def _no_stream(metric: Metric) -> str:
    which = f" '{metric.of}'" if metric.of else ""
    aged = " (no message that carries its time as ts)" * metric.name.startswith("stream_latency_")
    return f"no stream{which} was seen, or it sent nothing of that kind{aged}"


def judge(promises: Iterable[Promise], evidence: Evidence) -> tuple[Assertion, ...]:
    """Judges every promise; those of the default table that cannot apply vanish."""
    found, promises = [], tuple(promises)
    for promise in promises:
        fitted = promise if promise.asked else _fitted(promise, evidence)
        if fitted is None:
            continue
        each = _each_stream(fitted, promises, evidence)
        if fitted.asked or not each:
            found.append(_assertion(fitted, evidence))
        found += each
    return tuple(found)


def _each_stream(promise: Promise, promises: Sequence[Promise], evidence: Evidence) -> list[Assertion]:
    """What a promise about the errors of all streams comes to for each with errors, where there are several: one whose connections all fail
    must not hide among the many of another. Where it was asked for, those alone that break it.
    """
    if promise.metric != "stream_errors" or len(names := evidence.streams_of(promise)) < 2:
        return []
    narrowed = [replace(promise, metric=f"stream_errors{{{name}}}", asked=False) for name in names]
    asked = {one.metric for one in promises}
    judged = [_assertion(one, evidence) for one in narrowed if one.metric not in asked]
    return [one for one in judged if (one.verdict is Verdict.FAIL if promise.asked else one.observed)]


def _fitted(promise: Promise, evidence: Evidence) -> Promise | None:
    """A default promise as this run can judge it; None when it cannot."""
    seconds = evidence.windows.get("", ())
    if promise.metric == "throughput":
        offered = sum(second.planned for second in seconds) / _loaded(seconds) if seconds else 0.0
        return promise if offered >= bounds("throughput", promise.target, "")[0].value else None
    if promise.metric == "circuit_trips":
        return promise if evidence.circuits is not None and not evidence.faulted else None
    if promise.metric == "stream_errors":
        # Few connections that all went well prove no share; one that failed must not hide among many requests.
        return promise if evidence.observe(promise).value else None
    samples = sum(second.response.total for second in seconds)
    if promise.metric == "p99" and samples < enough_for(0.99):
        promise = Promise("p95", promise.target, promise.alert, promise.window, asked=False)
    share = Metric.parse(promise.metric).share
    return promise if share is None or samples >= enough_for(share) else None


def _assertion(promise: Promise, evidence: Evidence) -> Assertion:
    name = f"{promise.metric}/{promise.window}" if promise.window else promise.metric
    try:
        target, alert = bounds(promise.metric, promise.target, promise.alert)
    except ConfigError as error:
        asked = str(promise.target or "")
        return Assertion(
            name, asked, None, Verdict.INCONCLUSIVE, str(promise.alert or ""), None, f"unreadable: {error}"
        )
    observed = evidence.observe(promise)
    verdict, reason = _compare(observed, target, alert)
    if verdict is Verdict.INCONCLUSIVE and not promise.asked and evidence.faultless(promise):
        verdict, reason = Verdict.PASS, ""
    if evidence.generator is not None and not evidence.generator.valid:
        verdict, reason = _without_generator(promise, evidence, target, alert, verdict, reason)
    shown = alert.text if alert is not None else ""
    window = "" if promise.metric in _TIMELESS else evidence.words.get(promise.window, promise.window)
    return Assertion(name, target.text, observed.value, verdict, shown, observed.interval, reason, window)


def _compare(observed: Observed, target: Bound, alert: Bound | None) -> tuple[Verdict, str]:
    if observed.value is None:
        return Verdict.INCONCLUSIVE, observed.short or "nothing was observed"
    ends = observed.interval or (observed.value, observed.value)

    def past(value: float) -> bool:
        """Past the limit: what the alert speaks of, or outside of the target where there is no alert."""
        return alert.holds(value) if alert is not None else not target.holds(value)

    limit = f"the alert ({alert.text})" if alert is not None else f"the target ({target.text})"
    if all(past(end) for end in (*ends, observed.value)):
        return Verdict.FAIL, f"past {limit}"
    if observed.short:
        return Verdict.INCONCLUSIVE, observed.short
    if any(past(end) for end in (*ends, observed.value)):
        return Verdict.INCONCLUSIVE, f"the interval reaches over {limit}: more requests would tell"
    if not target.holds(observed.value):
        return Verdict.INCONCLUSIVE, f"missed the target ({target.text}) without reaching {limit}"
    return Verdict.PASS, ""


def _without_generator(
    promise: Promise, evidence: Evidence, target: Bound, alert: Bound | None, verdict: Verdict, reason: str
) -> tuple[Verdict, str]:
    """The verdict of a run whose generator was the limit: only what would fail with a faultless one too stays a failure."""
    if verdict is Verdict.FAIL:
        metric = Metric.parse(promise.metric)
        if metric.source == "response" and (
            _compare(evidence.observe(promise, latency="service"), target, alert)[0] is Verdict.FAIL
        ):
            return verdict, f"{reason}, in service time too"
        if not metric.source and metric.name != "throughput":
            return verdict, reason
    return Verdict.INVALID, GENERATOR_LIMIT
