"""The charts of report.html, as plotly figures.

Rules:

- Colours are CSS variables of the page (``var(--p99)``); the page's script puts the values of the current theme in, so that one
  figure serves light, dark and print.
- Texts of the run are escaped here: plotly reads a subset of HTML in its labels.
- Long runs are thinned to at most `MOST_POINTS` points by merging seconds, never by leaving some out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from chaosbot.core.stats import Histogram
from chaosbot.report.soak import SHOWN_IN
from chaosbot.report.timeline import TOGETHER_S
from chaosbot.report.values import Drift, Report, Second

MOST_POINTS: Final = 600


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
    """Some neighbouring seconds as one point."""

    at_s: float
    offered: float
    right: float
    error_share: float | None
    p50: float | None
    p99: float | None


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
                first + (place + 0.5) * width,
                sum(second.planned for second in group) / len(group),
                (finished - bad) / len(group),
                bad / finished * 100 if finished else None,
                response.quantile(0.5),
                response.quantile(0.99),
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


def warm_up() -> None:
    """Lets plotly load what it loads with the first chart."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True)
    figure.add_trace(_line([0.0, 1.0], [0.0, 1.0], "", "var(--rate)"), row=1, col=1)
    figure.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1)
    _titles(figure, ("",))
    figure.update_yaxes(_axis(""), row=1, col=1)
    figure.update_xaxes(_axis(""))
    figure.update_layout(**_layout(100))
    _plain(figure)


def timeline(report: Report) -> dict[str, Any] | None:
    """Rate, latency and errors over the run, with the fault windows shaded and recoveries marked; None without load."""
    if report.load is None:
        return None
    bins = bins_of(report.load.seconds)
    at = [one.at_s for one in bins]
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.09, row_heights=[0.3, 0.45, 0.25])
    figure.add_trace(_line(at, [one.offered for one in bins], "offered", "var(--muted)", dash="dot"), row=1, col=1)
    answered = _line(at, [one.right for one in bins], "answered right", "var(--rate)")
    figure.add_trace(answered.update(fill="tozeroy", fillcolor="var(--rate-fill)"), row=1, col=1)
    hover = "%{y:.3~s}s<extra>%{fullData.name}</extra>"
    for name, colour in (("p50", "var(--p50)"), ("p99", "var(--p99)")):
        line = _line(at, [getattr(one, name) for one in bins], name, colour)
        figure.add_trace(line.update(hovertemplate=hover), row=2, col=1)
    errors = _line(at, [one.error_share for one in bins], "errors", "var(--errors)")
    errors.update(fill="tozeroy", fillcolor="var(--errors-fill)", hovertemplate="%{y:.1f} %<extra>errors</extra>")
    figure.add_trace(errors, row=3, col=1)
    _titles(figure, ("Requests a second", "Response time", "Errors"))
    _bands(figure, marks_of(report))
    worst = max((one.error_share or 0.0 for one in bins), default=0.0)
    busiest = max((max(one.offered, one.right) for one in bins), default=0.0)
    figure.update_yaxes(_axis(""), range=[0, max(1.0, busiest * 1.12)], nticks=5, row=1, col=1)
    figure.update_yaxes(_axis(""), **_log_axis(bins), row=2, col=1)
    figure.update_yaxes(_axis(""), ticksuffix=" %", range=[0, max(1.0, worst * 1.1)], nticks=4, row=3, col=1)
    # What ran before and after the load (a fuzz campaign) has nothing to show here.
    first, last = report.load.seconds[0].at_s, report.load.seconds[-1].at_s + 1
    figure.update_xaxes(_axis(""), range=[first, last], ticksuffix=" s", showgrid=False)
    figure.update_layout(**_layout(540))
    return _plain(figure)


def _line(
    at: Sequence[float], values: Sequence[float | None], name: str, colour: str, dash: str = "solid"
) -> go.Scatter:
    # A lone second has no line; without its marker it would vanish.
    mode = "lines" if len(at) > 1 else "markers"
    rounded = [None if value is None else float(f"{value:.4g}") for value in values]
    style = {"color": colour, "width": 1.6, "dash": dash}
    return go.Scatter(
        x=[round(one, 2) for one in at],
        y=rounded,
        name=name,
        mode=mode,
        line=style,
        marker={"color": colour},
        hovertemplate="%{y:.4~g}<extra>%{fullData.name}</extra>",
    )


def _log_axis(bins: Sequence[Bin]) -> dict[str, Any]:
    values = [value for one in bins for value in (one.p50, one.p99) if value and value > 0]
    low, high = (min(values), max(values)) if values else (1e-3, 1.0)
    # At least a decade, so that calm latencies do not look like a storm.
    floor, ceiling = math.log10(low) - 0.15, math.log10(high) + 0.15
    if ceiling - floor < 1:
        middle = (floor + ceiling) / 2
        floor, ceiling = middle - 0.5, middle + 0.5
    decades = range(math.floor(floor), math.ceil(ceiling) + 1)
    # Two decades or less need steps between them to be read.
    steps = (1, 2, 5) if ceiling - floor < 2 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    ticks = [tick for tick in ticks if floor <= math.log10(tick) <= ceiling]
    return {"type": "log", "range": [floor, ceiling], "tickvals": ticks, "ticktext": [_tick(tick) for tick in ticks]}


def _tick(seconds: float) -> str:
    """A latency on the axis, in the unit that people use; plotly would write 0.001 and 1000."""
    if seconds >= 1:
        return f"{seconds:g} s"
    return f"{seconds * 1e3:g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:g} µs"


def _titles(figure: go.Figure, titles: Sequence[str]) -> None:
    """Names each row above its left corner, where a phone has room for it and the scales do not run into it."""
    for row, title in enumerate(titles, 1):
        figure.add_annotation(
            x=0,
            y=figure.layout["yaxis" if row == 1 else f"yaxis{row}"].domain[1],
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            # The first row leaves room for the numbers of the fault windows.
            yshift=18 if row == 1 else 2,
            text=title,
            showarrow=False,
            font={"size": 12, "color": "var(--muted)"},
        )


def _bands(figure: go.Figure, marks: Sequence[Mark]) -> None:
    """Shades the fault windows through all rows, and marks the moment of each recovery."""
    for mark in marks:
        # Windows of the same time share band and label; those that only overlap stack their labels.
        twins = [one for one in marks if _same_time(one, mark)]
        if twins[0] is mark:
            figure.add_shape(
                type="rect",
                xref="x",
                yref="paper",
                x0=mark.from_s,
                x1=mark.to_s,
                y0=0,
                y1=1,
                fillcolor="var(--band)",
                line={"width": 0},
                layer="below",
            )
            below = [
                one for one in marks if one.number < mark.number and one.from_s < mark.to_s and mark.from_s < one.to_s
            ]
            middle, numbers = (mark.from_s + mark.to_s) / 2, ", ".join(str(one.number) for one in twins)
            _label(figure, middle, numbers, "var(--ink)", 14 * len(below))
        if mark.recovered_s is not None:
            figure.add_shape(
                type="line",
                xref="x",
                yref="paper",
                x0=mark.recovered_s,
                x1=mark.recovered_s,
                y0=0,
                y1=1,
                line={"color": "var(--pass)", "width": 1.5, "dash": "dash"},
            )
            _label(figure, mark.recovered_s, "✓", "var(--pass)", 0)


def _same_time(one: Mark, other: Mark) -> bool:
    return abs(one.from_s - other.from_s) < TOGETHER_S and abs(one.to_s - other.to_s) < TOGETHER_S


def _label(figure: go.Figure, at: float, text: str, colour: str, shift: int) -> None:
    figure.add_annotation(
        x=at,
        y=1,
        xref="x",
        yref="paper",
        text=text,
        showarrow=False,
        # Above the plot: left to itself, plotly hangs a text at the top edge into it.
        yanchor="bottom",
        yshift=shift,
        font={"size": 12, "color": colour},
    )


def drift(one: Drift) -> dict[str, Any] | None:
    """Block values of a soak series with the fitted slope; None when there is nothing to draw."""
    if len(one.points) < 2:
        return None
    scale, unit = SHOWN_IN.get(one.unit, (1.0, one.unit))
    at, values = [point[0] / 60 for point in one.points], [point[1] / scale for point in one.points]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(x=at, y=values, mode="markers", name="blocks", marker={"color": "var(--rate)", "size": 5})
    )
    middle_x, middle_y = sorted(at)[len(at) // 2], sorted(values)[len(values) // 2]
    fitted = [middle_y + one.slope_per_hour / scale * (x - middle_x) / 60 for x in (at[0], at[-1])]
    colour = "var(--fail)" if one.verdict == "drift" else "var(--muted)"
    figure.add_trace(
        go.Scatter(x=[at[0], at[-1]], y=fitted, mode="lines", name="slope", line={"color": colour, "width": 1.6})
    )
    figure.update_xaxes(_axis(""), ticksuffix=" min", showgrid=False)
    # A series that hardly moves is drawn as one that hardly moves: at least a tenth of its level is in view.
    spread = max(max(values) - min(values), abs(middle_y) * 0.1, 1e-9)
    centre = (max(values) + min(values)) / 2
    figure.update_yaxes(_axis(escape(unit)), range=[centre - 0.75 * spread, centre + 0.75 * spread], tickformat="~s")
    figure.update_layout(**{**_layout(200), "showlegend": False, "margin": {"l": 56, "r": 8, "t": 8, "b": 28}})
    return _plain(figure)


def _axis(title: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 11, "color": "var(--muted)"}, "standoff": 8} if title else None,
        "gridcolor": "var(--grid)",
        "zeroline": False,
        "linecolor": "var(--line)",
        "tickfont": {"size": 11, "color": "var(--muted)"},
        "fixedrange": False,
    }


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 56, "r": 8, "t": 48, "b": 56},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "color": "var(--ink)"},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--line)", "font": {"color": "var(--ink)"}},
        "legend": {"orientation": "h", "x": 0, "y": -0.08, "yanchor": "top", "font": {"size": 12}},
        "template": "none",
    }


def _plain(figure: go.Figure) -> dict[str, Any]:
    """The figure as JSON, without plotly's own template."""
    plain: dict[str, Any] = figure.to_plotly_json()
    plain["layout"].pop("template", None)
    return plain
