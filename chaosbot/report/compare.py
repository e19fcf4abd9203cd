"""Two runs side by side: what changed beyond noise.

Rules:

- A change is called one only where the intervals of both runs do not overlap; everything else is "within noise", however
  large it looks. What has no interval is told as a number and called nothing.
- Runs of one seed and one configuration are paired: the same plan met the same arrivals. Seconds are then compared pair by pair
  (the median difference with its bootstrap interval), which sees smaller changes than two separate intervals.
- A finding that is new, or a verdict that got worse, is worse whatever the figures say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.model.dice import Dice
from chaosbot.model.stats import Histogram, Interval, mean_interval, quantile_interval, share_interval
from chaosbot.model.verdict import Finding, Verdict
from chaosbot.report.markdown import MARKS, code, escape
from chaosbot.report.scrub import tame
from chaosbot.report.values import Load, Report, Second

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "within noise", "not comparable"
# Settings that say where and when, not what: they may differ between paired runs.
_INCIDENTAL: Final = frozenset({"command", "out", "target", "pid", "port", "ports", "standin"})


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both runs; `change` is one of ``better``, ``worse``, ``within noise``, ``not comparable``."""

    metric: str
    unit: str
    before: float | None
    after: float | None
    before_interval: Interval | None
    after_interval: Interval | None
    change: str
    difference: Interval | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from the first run to the second."""

    before: Report
    after: Report
    paired: bool
    changes: tuple[Change, ...]
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    kept: tuple[Finding, ...]

    @property
    def worse(self) -> bool:
        """Whether anything got worse beyond noise."""
        order = list(Verdict)
        verdict = order.index(self.after.verdict) > order.index(self.before.verdict)
        return bool(self.new) or verdict or any(change.change == WORSE for change in self.changes)

    @property
    def better(self) -> bool:
        """Whether something got better beyond noise and nothing worse."""
        return not self.worse and (bool(self.gone) or any(change.change == BETTER for change in self.changes))


def compare(a: Report, b: Report) -> Comparison:
    """Compares a run with a later one."""
    first, second = ({finding.id: finding for finding in one.findings} for one in (a, b))
    paired = a.seed == b.seed and a.verb == b.verb and _essence(a) == _essence(b)
    return Comparison(
        a,
        b,
        paired,
        tuple(_load_changes(a, b, paired=paired)) + tuple(_plain_changes(a, b)),
        tuple(finding for key, finding in second.items() if key not in first),
        tuple(finding for key, finding in first.items() if key not in second),
        tuple(finding for key, finding in second.items() if key in first),
    )


def _essence(report: Report) -> dict[str, object]:
    return {key: value for key, value in report.settings.items() if key not in _INCIDENTAL}


def _load_changes(a: Report, b: Report, *, paired: bool) -> list[Change]:
    if a.load is None or b.load is None:
        return []
    one, two, found = a.load, b.load, []
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        read = _quantile_of(share)
        intervals = [
            quantile_interval(
                [second.response for second in load.seconds], share, Dice(report.seed).at("compare", name)
            )
            for report, load in ((a, one), (b, two))
        ]
        found.append(_change(name, "ms", 1e3, _whole(one, share), _whole(two, share), *intervals))
        if paired:
            found[-1] = _paired(found[-1], one, two, read, 1e3, Dice(a.seed).at("paired", name))
    rates = [share_interval(load.failed + load.timed_out, load.finished) for load in (one, two)]
    found.append(_change("error rate", "%", 100, one.error_rate, two.error_rate, *rates))
    paces = [
        mean_interval([float(second.completed) for second in load.seconds], Dice(report.seed).at("compare", "pace"))
        for report, load in ((a, one), (b, two))
    ]
    found.append(_change("goodput", "/s", 1, one.achieved_rps, two.achieved_rps, *paces, more_is_better=True))
    return found


def _whole(load: Load, share: float) -> float | None:
    return Histogram.merged(second.response for second in load.seconds).quantile(share)


def _quantile_of(share: float) -> Callable[[Second], float | None]:
    return lambda second: second.response.quantile(share)


def _paired(
    change: Change, one: Load, two: Load, read: Callable[[Second], float | None], scale: float, dice: Dice
) -> Change:
    """The same change judged by the differences of seconds that met the same arrivals."""
    seconds = {round(second.at_s - one.seconds[0].at_s): second for second in one.seconds}
    differences = []
    for second in two.seconds:
        twin = seconds.get(round(second.at_s - two.seconds[0].at_s))
        before, after = (None, None) if twin is None else (read(twin), read(second))
        if before is not None and after is not None:
            differences.append((after - before) * scale)
    interval = mean_interval(differences, dice)
    if interval is None:
        return change
    verdict = WORSE if interval[0] > 0 else BETTER if interval[1] < 0 else SAME
    return Change(
        change.metric,
        change.unit,
        change.before,
        change.after,
        change.before_interval,
        change.after_interval,
        verdict,
        interval,
    )


def _change(
    metric: str,
    unit: str,
    scale: float,
    before: float | None,
    after: float | None,
    before_interval: Interval | None,
    after_interval: Interval | None,
    *,
    more_is_better: bool = False,
) -> Change:
    verdict = UNKNOWN
    if before is not None and after is not None and before_interval is not None and after_interval is not None:
        if after_interval[0] > before_interval[1]:
            verdict = BETTER if more_is_better else WORSE
        elif after_interval[1] < before_interval[0]:
            verdict = WORSE if more_is_better else BETTER
        else:
            verdict = SAME
    return Change(
        metric,
        unit,
        None if before is None else before * scale,
        None if after is None else after * scale,
        _scaled(before_interval, scale),
        _scaled(after_interval, scale),
        verdict,
    )


def _scaled(interval: Interval | None, scale: float) -> Interval | None:
    return None if interval is None else (interval[0] * scale, interval[1] * scale)


def _plain_changes(a: Report, b: Report) -> list[Change]:
    """Figures of which a run has one only, so that nothing says how noisy they are."""
    after = {one.fault: one.seconds for one in b.recovery}
    found = [
        _change(f"recovery: {one.fault}", "s", 1, one.seconds, after[one.fault], None, None)
        for one in a.recovery
        if one.fault in after
    ]
    if a.deliveries is not None and b.deliveries is not None:
        for name in ("lost", "duplicated"):
            was, now = getattr(a.deliveries, name), getattr(b.deliveries, name)
            if was is not None and now is not None:
                spans = (share_interval(was, a.deliveries.sent), share_interval(now, b.deliveries.sent))
                shares = (was / max(1, a.deliveries.sent), now / max(1, b.deliveries.sent))
                found.append(_change(f"{name} deliveries", "%", 100, *shares, *spans))
    return found


def render_comparison(comparison: Comparison) -> str:
    """The comparison as Markdown, which reads as well in a terminal."""
    comparison = tame(comparison)
    a, b = comparison.before, comparison.after
    if comparison.worse:
        headline = "worse"
    elif comparison.better:
        headline = "better"
    else:
        headline = "no change beyond noise"
    basis = "paired: same seed and settings" if comparison.paired else "not paired: seed or settings differ"
    blocks = [
        f"## {MARKS[a.verdict]} {a.verdict.value} → {MARKS[b.verdict]} {b.verdict.value}: {headline}",
        f"From {escape(a.started) or 'unknown'} (seed {a.seed}) to {escape(b.started) or 'unknown'} (seed {b.seed}); {basis}.",
    ]
    for title, findings in (("New", comparison.new), ("Gone", comparison.gone)):
        if findings:
            lines = [f"- {one.severity.value}: {escape(one.title)} ({code(one.id)})" for one in findings]
            blocks.append("\n".join([f"### {title} findings", "", *lines]))
    if comparison.kept:
        blocks.append(f"{len(comparison.kept)} findings are in both runs.")
    if comparison.changes:
        rows = [_row(change) for change in comparison.changes]
        blocks.append("\n".join(["| figure | before | after | |", "|---|--:|--:|---|", *rows]))
    return "\n\n".join(blocks) + "\n"


def _row(change: Change) -> str:
    sides: Sequence[tuple[float | None, Interval | None]] = (
        (change.before, change.before_interval),
        (change.after, change.after_interval),
    )
    cells = [_figure(value, interval, change.unit) for value, interval in sides]
    verdict = change.change if change.change in (SAME, UNKNOWN) else f"**{change.change}**"
    if change.difference is not None:
        verdict += f" (by {change.difference[0]:+.3g} … {change.difference[1]:+.3g} {change.unit} a second)"
    return f"| {escape(change.metric)} | {' | '.join(cells)} | {verdict} |"


def _figure(value: float | None, interval: Interval | None, unit: str) -> str:
    if value is None:
        return "unknown"
    span = "" if interval is None else f" ({interval[0]:.4g} … {interval[1]:.4g})"
    return f"{value:.4g} {unit}{span}"
