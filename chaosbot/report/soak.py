"""The soak verdict: does memory, latency or throughput drift while the load stays the same?

Rules:

- A series is judged when it covers at least five minutes of steady load, fault windows (and recoveries) left out.
- Memory and descriptors are judged by their troughs, latency and throughput by their medians.
- The budget is what a series may move in an hour: ``budgets`` of the settings, else a twentieth of its level for memory and
  descriptors and a tenth for latency and throughput.
- DRIFT fails a run. INCONCLUSIVE makes a run inconclusive only where a soak was asked for (``soak`` or the profile's name).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core import units
from chaosbot.core.check import History
from chaosbot.core.errors import ConfigError
from chaosbot.core.stats import median
from chaosbot.core.trend import DRIFT, STABLE, Trend, trend
from chaosbot.core.verdict import Assertion, Verdict
from chaosbot.report.slo import profile_name
from chaosbot.report.values import Drift, Second

SHORTEST_S: Final = 300.0
FEWEST: Final = 40
# Second by second the load of a steady run stays within this share of its median.
STEADY: Final = 0.15
_TROUGHS: Final = ("memory", "rss", "descriptor", "fds", "files", "threads", "handles")
_BYTES: Final = ("memory", "rss", "bytes")
# Units of measurement as people read them, with their size in the series' own unit.
SHOWN_IN: Final = {"bytes": (1e6, "MB"), "s": (1e-3, "ms")}
_NO_SERIES: Final = ("circuit", "canary", "health")


@dataclass(frozen=True, slots=True)
class Series:
    """Something that was measured again and again."""

    name: str
    unit: str
    points: tuple[tuple[float, float], ...]
    reduce: Callable[[Sequence[float]], float] = median
    down_is_bad: bool = False
    share: float = 0.1
    """The default budget an hour, as a share of the level."""


def soak_of(
    history: History, seconds: Sequence[Second], away: Sequence[tuple[float, float]], settings: Mapping[str, Any]
) -> tuple[Drift, ...]:
    """The trend of each series that is long enough; `away` are the spans that do not count."""
    budgets, limits = _figures(settings.get("budgets")), _figures(settings.get("limits"))
    found = []
    for series in [*_probes(history), *_of_load(seconds)]:
        points = [(t, value) for t, value in series.points if not any(start <= t < end for start, end in away)]
        if len(points) >= FEWEST and points[-1][0] - points[0][0] >= SHORTEST_S:
            found.append(_drift(series, points, budgets.get(series.name), limits.get(series.name)))
    return tuple(found)


def _figures(raw: object) -> dict[str, float]:
    """Numbers by series, written as numbers, sizes (``5MB``) or durations (``10ms``)."""
    found: dict[str, float] = {}
    for name, text in raw.items() if isinstance(raw, Mapping) else ():
        for read in (float, units.size, units.duration):
            try:
                found[str(name)] = float(read(text))
                break
            except (ConfigError, TypeError, ValueError):
                continue
    return found


def _probes(history: History) -> Iterable[Series]:
    """Every probe that saw numbers, but those that look for states."""
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for probe in history.probes:
        value = probe.value
        if probe.ok and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            seen[probe.probe].append((probe.t, float(value)))
    for name, points in seen.items():
        if not name.startswith(_NO_SERIES):
            troughs = any(word in name for word in _TROUGHS)
            unit = "bytes" if any(word in name for word in _BYTES) else ""
            yield Series(name, unit, tuple(points), min if troughs else median, share=0.05 if troughs else 0.1)


def _of_load(seconds: Sequence[Second]) -> Iterable[Series]:
    """Latency and throughput of the seconds of steady load."""
    busy = [second for second in seconds if second.finished]
    if not busy:
        return
    users, planned = (median([getattr(second, key) for second in busy]) for key in ("active_users", "planned"))
    # Users pace themselves by the target's answers, so where there are some, their number is what must be steady; arrivals
    # scatter like Poisson's.
    key, level, around = ("active_users", users, 0.0) if users else ("planned", planned, 3 * math.sqrt(planned))
    steady = [second for second in busy if abs(getattr(second, key) - level) <= max(STEADY * level, around)]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        points = [(second.at_s, second.response.quantile(share)) for second in steady]
        yield Series(name, "s", tuple((at, value) for at, value in points if value is not None))
    yield Series(
        "throughput", "rps", tuple((second.at_s, float(second.completed)) for second in steady), down_is_bad=True
    )


def _drift(series: Series, points: Sequence[tuple[float, float]], budget: float | None, limit: float | None) -> Drift:
    level = abs(median([value for _, value in points]))
    allowed = budget if budget is not None else max(series.share * level, 1e-9)
    times, values = [t for t, _ in points], [value for _, value in points]
    found = trend(times, values, allowed, reduce=series.reduce, down_is_bad=series.down_is_bad)
    return Drift(
        series=series.name,
        unit=series.unit,
        slope_per_hour=found.slope,
        interval=found.interval,
        minimum_detectable=found.minimum_detectable,
        budget_per_hour=allowed,
        p_value=found.p_value,
        exhaustion_h=_exhaustion(found, limit),
        verdict=found.verdict,
        reason=found.reason,
        points=found.points,
        warmup_s=found.warmup_s,
    )


def _exhaustion(found: Trend, limit: float | None) -> float | None:
    """Hours from the end of the run until a drifting series reaches its limit."""
    if limit is None or found.verdict != DRIFT or found.slope <= 0 or not found.points:
        return None
    return max(0.0, (limit - found.points[-1][1]) / found.slope)


def is_soak(settings: Mapping[str, Any]) -> bool:
    """Whether somebody asked for a soak."""
    return bool(settings.get("soak")) or profile_name(settings) == "soak"


def drift_assertions(drifts: Iterable[Drift], settings: Mapping[str, Any]) -> tuple[Assertion, ...]:
    """Drift as promises: a budget that a series keeps, breaks, or (asked for a soak) cannot be shown to keep."""
    found = []
    for one in drifts:
        verdict = {DRIFT: Verdict.FAIL, STABLE: Verdict.PASS}.get(one.verdict, Verdict.INCONCLUSIVE)
        if verdict is Verdict.INCONCLUSIVE and not is_soak(settings):
            continue
        known = math.isfinite(one.minimum_detectable)
        falls = one.series == "throughput"
        scale, unit = SHOWN_IN.get(one.unit, (1.0, one.unit or "1"))
        target = f"{'> -' if falls else '< '}{one.budget_per_hour / scale:.4g} {unit}/h"
        reason = "" if verdict is Verdict.PASS else _told(one)
        observed = one.slope_per_hour / scale if known else None
        interval = (one.interval[0] / scale, one.interval[1] / scale) if known else None
        found.append(Assertion(f"drift: {one.series}", target, observed, verdict, interval=interval, reason=reason))
    return tuple(found)


def _told(one: Drift) -> str:
    if one.verdict != DRIFT:
        return one.reason
    ends = "" if one.exhaustion_h is None else f"; at this pace its limit is reached in {one.exhaustion_h:.3g} h"
    return f"{one.reason}{ends}"
