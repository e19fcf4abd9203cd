"""Two runs side by side: what changed, beyond noise and so much that it matters.

Rules:

- A change is called one only where the intervals of both runs do not overlap; everything else is "within noise", however
  large it looks. What has no interval is told as a number and called nothing.
- Runs of one seed and one configuration are paired: the same plan met the same arrivals. Seconds are then compared pair by pair
  (the mean difference with its bootstrap interval), which sees smaller changes than two separate intervals.
- An interval knows how much the seconds of one run differ, not how much the machine differs from one run to the next. So a time
  or a pace has changed only when the whole interval of its difference lies beyond a fifth of what it was (and beyond a
  millisecond, for times); what is less is "too small to matter". Measured: two runs of one program on a shared machine lie up
  to 17 % apart (p50 of 3.5 and 4.1 ms) while each run's own interval is below 5 %.
- Where the generator was the limit its times and its pace are not the target's: they are not compared, and such a run
  is no worse for being invalid.
- A finding that is new, or a verdict that got worse, is worse whatever the figures say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.stats import Histogram, Interval, mean_interval, quantile_interval, share_interval
from chaosbot.core.verdict import Finding, Verdict
from chaosbot.report.figures import MARKS, code, escape
from chaosbot.report.scrub import tame
from chaosbot.report.values import Load, Report

BETTER, WORSE, SAME, SMALL, UNKNOWN = "better", "worse", "within noise", "too small to matter", "not comparable"
MATTERS: Final = 0.2
"""The share of what it was by which a time or a pace must have changed."""
MATTERS_S: Final = 0.001
"""The seconds by which a time must have changed as well: nobody who writes to a bot notices a millisecond."""
_MOST_SHOWN: Final = 60
# Settings that say where and when, not what: they may differ between paired runs.
_INCIDENTAL: Final = frozenset({"command", "out", "target", "pid", "port", "ports", "mock"})


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both runs; `change` is one of ``better``, ``worse``, ``within noise``, ``too small to matter``,
    ``not comparable``.
    """

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
    def unlike(self) -> str:
        """In what the runs are of different kinds, so that their figures say little beside each other; empty where they are alike."""
        pairs: dict[str, tuple[Any, Any]] = {"verb": (self.before.verb, self.after.verb)}
        for key in ("profile", "platform", "experiment", "mode"):
            pairs[key] = (self.before.settings.get(key), self.after.settings.get(key))
        told = (f"{key} {_short(one)} and {_short(other)}" for key, (one, other) in pairs.items() if one != other)
        return ", ".join(told)

    @property
    def worse(self) -> bool:
        """Whether anything got worse beyond noise."""
        order = list(Verdict)
        verdict = order.index(self.after.verdict) > order.index(self.before.verdict)
        verdict = verdict and self.after.verdict is not Verdict.INVALID
        return bool(self.new) or verdict or any(change.change == WORSE for change in self.changes)

    @property
    def unsure(self) -> bool:
        """Whether nothing got worse as far as one can see, but the generator was the limit in one of the runs."""
        return not self.worse and Verdict.INVALID in {self.before.verdict, self.after.verdict}

    @property
    def blind(self) -> bool:
        """Whether the run before says nothing that the later one can be held against."""
        compared = self.changes or self.kept or self.gone or self.new
        return self.before.verdict is Verdict.INCONCLUSIVE and not compared

    @property
    def better(self) -> bool:
        """Whether something got better beyond noise and nothing worse."""
        return (
            not self.worse
            and not self.unsure
            and (bool(self.gone) or any(change.change == BETTER for change in self.changes))
        )

    @property
    def exit_code(self) -> int:
        """What the command line returns for it."""
        return 1 if self.worse else 3 if self.unsure or self.blind else 0


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
    one, two = a.load, b.load
    found = _timed_changes(a, one, b, two, paired=paired)
    rates = [share_interval(load.failed + load.timed_out, load.finished) for load in (one, two)]
    return [*found[:-1], _change("error rate", "%", 100, one.error_rate, two.error_rate, *rates), found[-1]]


def _timed_changes(a: Report, one: Load, b: Report, two: Load, *, paired: bool) -> list[Change]:
    """Percentiles and pace, which are the target's only where the generator was not the limit."""
    valid = all(report.generator is None or report.generator.valid for report in (a, b))
    runs, found = ((a, one), (b, two)), []
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        before, after = _whole(one, share), _whole(two, share)
        least = max(MATTERS * (before or 0.0), MATTERS_S)
        intervals = [
            quantile_interval(
                [second.response for second in load.seconds], share, Dice(report.seed).at("compare", name)
            )
            if valid
            else None
            for report, load in runs
        ]
        change = _change(name, "ms", 1e3, before, after, *intervals, least=least)
        if paired and valid:
            change = _paired(change, _differences(one, two, share), least, 1e3, Dice(a.seed).at("paired", name))
        found.append(change)
    paces = [
        mean_interval([float(second.completed) for second in load.seconds], Dice(report.seed).at("compare", "pace"))
        if valid
        else None
        for report, load in runs
    ]
    least = MATTERS * one.achieved_rps
    pace = _change("goodput", "/s", 1, one.achieved_rps, two.achieved_rps, *paces, least=least, more_is_better=True)
    return [*found, pace]


def _whole(load: Load, share: float) -> float | None:
    return Histogram.merged(second.response for second in load.seconds).quantile(share)


def _differences(one: Load, two: Load, share: float) -> list[float]:
    """How much longer each second of the second run took than its twin, which met the same arrivals."""
    twins = {round(second.at_s - one.seconds[0].at_s): second.response.quantile(share) for second in one.seconds}
    found = []
    for second in two.seconds:
        before = twins.get(round(second.at_s - two.seconds[0].at_s))
        after = second.response.quantile(share)
        if before is not None and after is not None:
            found.append(after - before)
    return found


def _paired(change: Change, differences: Sequence[float], least: float, scale: float, dice: Dice) -> Change:
    """The same change judged by the differences of paired seconds."""
    interval = mean_interval(differences, dice)
    if interval is None:
        return change
    return replace(change, change=_judged(interval, least), difference=_scaled(interval, scale))


def _judged(difference: Interval, least: float, *, more_is_better: bool = False) -> str:
    """What a difference comes to, of which only an interval is known."""
    low, high = difference
    if low <= 0 <= high:
        return SAME
    if low <= least and high >= -least:
        return SMALL
    return BETTER if (low > 0) is more_is_better else WORSE


def _change(
    metric: str,
    unit: str,
    scale: float,
    before: float | None,
    after: float | None,
    before_interval: Interval | None,
    after_interval: Interval | None,
    *,
    least: float = 0.0,
    more_is_better: bool = False,
) -> Change:
    verdict = UNKNOWN
    if before is not None and after is not None and before_interval is not None and after_interval is not None:
        difference = (after_interval[0] - before_interval[1], after_interval[1] - before_interval[0])
        verdict = _judged(difference, least, more_is_better=more_is_better)
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
    elif comparison.unsure:
        headline = "cannot tell, the load generator was the limit"
    elif comparison.blind:
        headline = "cannot tell, the run before says nothing that can be compared"
    else:
        headline = "no change that matters"
    basis = "paired: same seed and settings" if comparison.paired else "not paired: seed or settings differ"
    blocks = [
        f"## {MARKS[a.verdict]} {a.verdict.value} → {MARKS[b.verdict]} {b.verdict.value}: {headline}",
        f"From {escape(a.started) or 'unknown'} (seed {a.seed}) to {escape(b.started) or 'unknown'} (seed {b.seed}); {basis}.",
    ]
    if comparison.unlike:
        blocks.append(
            f"**These runs are of different kinds: {escape(comparison.unlike)}.** What differs may be the kind, not the target."
        )
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
    verdict = f"**{change.change}**" if change.change in (BETTER, WORSE) else change.change
    if change.difference is not None:
        verdict += f" (by {change.difference[0]:+.3g} … {change.difference[1]:+.3g} {change.unit} a second)"
    return f"| {escape(change.metric)} | {' | '.join(cells)} | {verdict} |"


def _figure(value: float | None, interval: Interval | None, unit: str) -> str:
    if value is None:
        return "unknown"
    span = "" if interval is None else f" ({interval[0]:.4g} … {interval[1]:.4g})"
    return f"{value:.4g} {unit}{span}"


def _short(setting: Any) -> str:
    """A setting in a few words: that of a platform may hold whole bodies."""
    text = str(setting or "none")
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
