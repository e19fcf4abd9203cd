"""The charts of report.html, as plain SVG paths with their axes in HTML.

Rules:

- A chart is a `Panel` of frozen values; the page's template turns it into markup. Shapes stand in a box of 1000 × 1000 units that is
  stretched to whatever width there is; texts stand outside of it as HTML, placed in percent, so that they are never stretched.
- Gaps stay gaps: a line and the area below it end where a second has no value, and a lone value is a dot.
- Long runs are thinned to at most `MOST_POINTS` points by merging seconds, never by leaving some out.
- Colours are classes; the page's style gives them their values in light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.core.stats import Histogram
from chaosbot.report.soak import SHOWN_IN
from chaosbot.report.timeline import TOGETHER_S
from chaosbot.report.values import Drift, Report, Second

MOST_POINTS: Final = 600
SIZE: Final = 1000.0
BARS_A_DECADE: Final = 10


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault's band in the timeline, with the number that stands above it."""

    number: int
    fault: str
    from_s: float
    to_s: float
    recovered_s: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Some neighbouring seconds as one point; None where nothing ended in them."""

    at_s: float
    width_s: float
    offered: float
    right: float
    error_share: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    users: int


@dataclass(frozen=True, slots=True)
class Line:
    """One series: SVG paths of its line, of its lone points and, where it has one, of the area below it."""

    name: str
    tone: str
    path: str
    dots: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside the plot, so many percent from its left or its top; `minor` ones are left out where there is no room."""

    at: float
    text: str
    minor: bool = False
    tone: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart.

    Args:
        title: What it shows.
        says: The same in a sentence with its main figures, for those who do not see it.
        lines: Its series.
        across: Labels of the horizontal axis.
        up: Labels of the vertical axis, each with a grid line.
        bands: Left edge and width of each shaded time, in units.
        ticks: Where dashed upright lines stand, in units.
        marks: Labels above the plot.
        height: In CSS pixels.
    """

    title: str
    says: str
    lines: tuple[Line, ...]
    across: tuple[Label, ...] = ()
    up: tuple[Label, ...] = ()
    bands: tuple[tuple[float, float], ...] = ()
    ticks: tuple[float, ...] = ()
    marks: tuple[Label, ...] = ()
    height: int = 150

    @property
    def grid(self) -> str:
        """The grid lines as one path."""
        return "".join(f"M0 {label.at * SIZE / 100:.0f}h{SIZE:.0f}" for label in self.up)

    @property
    def above(self) -> int:
        """How many rows of labels stand above the plot."""
        return max((label.level + 1 for label in self.marks), default=0)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to units: 0 at the start of an axis, `SIZE` at its end."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The value's place; values outside stand at the edge."""
        if self.log:
            value, low, high = (math.log10(max(one, 1e-12)) for one in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low) if high > low else 0.5
        return min(1.0, max(0.0, share)) * SIZE

    def share(self, value: float) -> float:
        """The same in percent from the start."""
        return self(value) / SIZE * 100


def bins_of(seconds: Sequence[Second]) -> list[Bin]:
    """The seconds of a run, merged until they are few enough to draw."""
    if not seconds:
        return []
    first, last = seconds[0].at_s, seconds[-1].at_s
    width = max(1, math.ceil((last - first + 1) / MOST_POINTS))
    groups: dict[int, list[Second]] = {}
    for second in seconds:
        groups.setdefault(int((second.at_s - first) // width), []).append(second)
    found = []
    for place, group in sorted(groups.items()):
        finished, bad = sum(second.finished for second in group), sum(second.bad for second in group)
        response = Histogram.merged(second.response for second in group)
        found.append(
            Bin(
                first + place * width,
                float(width),
                sum(second.planned for second in group) / len(group),
                (finished - bad) / len(group),
                bad / finished * 100 if finished else None,
                response.quantile(0.5),
                response.quantile(0.95),
                response.quantile(0.99),
                max(second.active_users for second in group),
            )
        )
    return found


def marks_of(report: Report) -> list[Mark]:
    """The fault bands, numbered in order of time; episodes of one fault that touch share a number."""
    back = [(one.ended_s, one.ended_s + one.seconds) for one in report.recovery if one.seconds is not None]
    found: list[Mark] = []
    for episode in report.episodes:
        end = report.duration_s if episode.to_s is None else episode.to_s
        recovered = next((at for ended, at in back if 0 <= ended - end < TOGETHER_S), None)
        found.append(Mark(len(found) + 1, episode.fault, episode.from_s, end, recovered))
    return found


def timeline(report: Report, bins: Sequence[Bin]) -> tuple[Panel, ...]:
    """Rate, response time, errors and users over the run, with the fault windows shaded; nothing without load."""
    if not bins:
        return ()
    # What ran before and after the load (a fuzz campaign) has nothing to show here.
    span = Scale(bins[0].at_s, bins[-1].at_s + bins[-1].width_s)
    bands, ticks, marks = _bands(marks_of(report), span)
    step = bins[0].width_s
    places: list[Bin | None] = []
    for one in bins:
        # Where seconds are missing altogether there is a gap as well.
        if places and (before := places[-1]) is not None and one.at_s - before.at_s > 1.5 * step:
            places.append(None)
        places.append(one)

    def series(name: str, tone: str, y: Scale, of: Callable[[Bin], float | None], *, area: bool = False) -> Line:
        points = [(0.0, None) if one is None else (span(one.at_s + step / 2), _y(y, of(one))) for one in places]
        return _line(name, tone, points, area=area)

    across = _clock_labels(span)
    busiest = max(max(one.offered, one.right) for one in bins)
    rate = Scale(0, max(1.0, busiest * 1.08))
    worst = max((one.error_share or 0.0 for one in bins), default=0.0)
    share = Scale(0, max(1.0, worst * 1.08))
    times = _time_scale([value for one in bins for value in (one.p50, one.p95, one.p99) if value])
    every = "each second" if step == 1 else f"each {step:g} seconds"
    panels = [
        Panel(
            "Requests a second",
            f"Requests a second, {every}: at most {_figure(busiest)} offered or answered right",
            (
                series("offered", "muted dash", rate, lambda one: one.offered),
                series("answered right", "rate", rate, lambda one: one.right, area=True),
            ),
            up=_linear_labels(rate, ""),
            marks=marks,
        ),
        Panel(
            "Response time",
            f"Response time, {every}, on a logarithmic scale: p50, p95 and p99; the highest p99 is "
            f"{_tick(max((one.p99 or 0.0 for one in bins), default=0.0))}",
            tuple(
                series(name, name, times, lambda one, name=name: getattr(one, name))  # type: ignore[misc]
                for name in ("p50", "p95", "p99")
            ),
            up=_log_labels(times),
            height=200,
        ),
        Panel(
            "Errors",
            f"Share of requests that failed, {every}: at most {_figure(worst)} percent",
            (series("errors", "errors", share, lambda one: one.error_share, area=True),),
            up=_linear_labels(share, "\u202f%"),
            height=100,
        ),
    ]
    if any(one.users for one in bins):
        most = max(one.users for one in bins)
        users = Scale(0, max(1.0, most * 1.08))
        panels.append(
            Panel(
                "Users",
                f"Virtual users at work, {every}: at most {most}",
                (series("users", "users", users, lambda one: float(one.users)),),
                up=_linear_labels(users, ""),
                height=90,
            )
        )
    last = len(panels) - 1
    return tuple(
        Panel(
            panel.title,
            panel.says,
            panel.lines,
            across if number == last else (),
            panel.up,
            bands,
            ticks,
            panel.marks,
            panel.height,
        )
        for number, panel in enumerate(panels)
    )


def distribution(report: Report) -> Panel | None:
    """How often which response time was seen, in bars of a tenth of a decade; None without load."""
    if report.load is None:
        return None
    response = Histogram.merged(second.response for second in report.load.seconds)
    counts: dict[int, int] = {}
    for value, count in zip(response.values, response.counts, strict=True):
        place = math.floor(math.log10(max(value, 1e-6)) * BARS_A_DECADE)
        counts[place] = counts.get(place, 0) + count
    if not counts:
        return None
    low, high = min(counts), max(counts) + 1
    across = Scale(10 ** (low / BARS_A_DECADE), 10 ** (high / BARS_A_DECADE), log=True)
    total, tallest = response.total, max(counts.values())
    up = Scale(0, tallest / total * 100 * 1.08)
    path = "".join(
        f"M{across(10 ** (place / BARS_A_DECADE)):.1f} {SIZE:.0f}V{_y(up, count / total * 100):.1f}"
        f"H{across(10 ** ((place + 1) / BARS_A_DECADE)):.1f}V{SIZE:.0f}z"
        for place, count in sorted(counts.items())
    )
    loads = report.load.response
    ends = [(name, value) for name, value in (("p50", loads.p50), ("p99", loads.p99)) if value]
    return Panel(
        "Latency distribution",
        f"Share of requests by response time, on a logarithmic scale; half of them took at most {_tick(loads.p50 or 0.0)}",
        (Line("requests", "rate", "", area=path),),
        across=tuple(Label(across.share(value), _tick(value)) for value in _log_steps(across)),
        up=_linear_labels(up, "\u202f%"),
        ticks=tuple(across(value) for _, value in ends),
        marks=tuple(Label(across.share(value), name, tone=name) for name, value in ends),
    )


def drift(one: Drift) -> Panel | None:
    """Block values of a soak series with the fitted slope; None when there is nothing to draw."""
    if len(one.points) < 2:
        return None
    scale, unit = SHOWN_IN.get(one.unit, (1.0, one.unit))
    at, values = [point[0] for point in one.points], [point[1] / scale for point in one.points]
    middle_x, middle_y = sorted(at)[len(at) // 2], sorted(values)[len(values) // 2]
    # A series that hardly moves is drawn as one that hardly moves: at least a tenth of its level is in view.
    spread = max(max(values) - min(values), abs(middle_y) * 0.1, 1e-9)
    centre = (max(values) + min(values)) / 2
    span, up = Scale(at[0], at[-1]), Scale(centre - 0.75 * spread, centre + 0.75 * spread)
    fitted = [middle_y + one.slope_per_hour / scale * (x - middle_x) / 3600 for x in (at[0], at[-1])]
    slope = _line(
        "slope",
        "errors" if one.verdict == "drift" else "muted",
        [(span(x), _y(up, y)) for x, y in zip((at[0], at[-1]), fitted, strict=True)],
    )
    dots = "".join(f"M{span(x):.1f} {_y(up, y):.1f}h0" for x, y in zip(at, values, strict=True))
    return Panel(
        one.series,
        f"{one.series} over the run: {_figure(values[0])} {unit} at first, {_figure(values[-1])} {unit} at last",
        (slope, Line("blocks", "rate", "", dots)),
        across=_clock_labels(span),
        up=_linear_labels(up, f" {unit}" if unit else ""),
    )


def _y(scale: Scale, value: float | None) -> float | None:
    """A value's distance from the top, in units."""
    return None if value is None else SIZE - scale(value)


def _line(name: str, tone: str, points: Iterable[tuple[float, float | None]], *, area: bool = False) -> Line:
    """The path through the points; it breaks where there is no value."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    runs = [run for run in runs if run]
    long = [run for run in runs if len(run) > 1]
    return Line(
        name,
        tone,
        "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run) for run in long),
        "".join(f"M{run[0][0]:.1f} {run[0][1]:.1f}h0" for run in runs if len(run) == 1),
        "".join(
            f"M{run[0][0]:.1f} {SIZE:.0f}L" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run) + f"V{SIZE:.0f}z"
            for run in long
        )
        if area
        else "",
    )


def _bands(
    marks: Sequence[Mark], span: Scale
) -> tuple[tuple[tuple[float, float], ...], tuple[float, ...], tuple[Label, ...]]:
    """The fault windows, the moments of recovery, and the labels above them."""
    bands: list[tuple[float, float]] = []
    ticks: list[float] = []
    labels: list[Label] = []
    for mark in marks:
        # Windows of the same time share band and label; those that only overlap stack their labels.
        twins = [one for one in marks if _same_time(one, mark)]
        if twins[0] is mark and mark.to_s > span.low and mark.from_s < span.high:
            left, right = span(mark.from_s), span(mark.to_s)
            bands.append((left, right - left))
            below = sum(one.number < mark.number and one.from_s < mark.to_s and mark.from_s < one.to_s for one in marks)
            numbers = ", ".join(str(one.number) for one in twins)
            labels.append(Label((left + right) / 2 / SIZE * 100, numbers, level=below))
        if mark.recovered_s is not None and span.low <= mark.recovered_s <= span.high:
            ticks.append(span(mark.recovered_s))
            labels.append(Label(span.share(mark.recovered_s), "✓", tone="back"))
    return tuple(bands), tuple(ticks), tuple(labels)


def _same_time(one: Mark, other: Mark) -> bool:
    return abs(one.from_s - other.from_s) < TOGETHER_S and abs(one.to_s - other.to_s) < TOGETHER_S


def _clock_labels(span: Scale) -> tuple[Label, ...]:
    """At most eight round moments of the run's clock."""
    length = span.high - span.low
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
    step = next((one for one in steps if length / one <= 8), 86400 * math.ceil(length / 8 / 86400))
    first = math.ceil(span.low / step)
    found = []
    for number in range(first, math.floor(span.high / step) + 1):
        at = span.share(number * step)
        if 0 <= at <= 97:
            found.append(Label(at, _clock(number * step, long=step >= 60), minor=(number - first) % 2 == 1))
    return tuple(found)


def _clock(seconds: float, *, long: bool) -> str:
    if not long:
        return f"{seconds:g}\u202fs"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _linear_labels(scale: Scale, unit: str) -> tuple[Label, ...]:
    """Round values, three to five of them."""
    raw = (scale.high - scale.low) / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first = math.ceil(scale.low / step - 1e-9)
    values = [number * step for number in range(first, math.floor(scale.high / step + 1e-9) + 1)]
    return tuple(Label(100 - scale.share(value), f"{_figure(value)}{unit}") for value in values)


def _time_scale(values: Sequence[float]) -> Scale:
    known = [value for value in values if value > 0]  # a damaged journal can hold anything
    low, high = (min(known), max(known)) if known else (1e-3, 1.0)
    # At least a decade, so that calm latencies do not look like a storm.
    floor, ceiling = math.log10(low) - 0.15, math.log10(high) + 0.15
    if ceiling - floor < 1:
        middle = (floor + ceiling) / 2
        floor, ceiling = middle - 0.5, middle + 0.5
    return Scale(10**floor, 10**ceiling, log=True)


def _log_steps(scale: Scale) -> list[float]:
    """Round values on a logarithmic axis: whole decades, with steps between them where there are two decades or less."""
    floor, ceiling = math.log10(scale.low), math.log10(scale.high)
    steps = (1, 2, 5) if ceiling - floor < 2 else (1,)
    ticks = [step * 10.0**decade for decade in range(math.floor(floor), math.ceil(ceiling) + 1) for step in steps]
    return [tick for tick in ticks if floor <= math.log10(tick) <= ceiling]


def _log_labels(scale: Scale) -> tuple[Label, ...]:
    return tuple(Label(100 - scale.share(tick), _tick(tick)) for tick in _log_steps(scale))


def _tick(seconds: float) -> str:
    """A latency on an axis, in the unit that people use."""
    if seconds >= 1:
        return f"{seconds:.3g}\u202fs"
    return f"{seconds * 1e3:.3g}\u202fms" if seconds >= 1e-4 else f"{seconds * 1e6:.3g}\u202fµs"


def _figure(value: float) -> str:
    """A plain number: thousands apart, no noise behind the point."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value + 0.0:.3g}"
