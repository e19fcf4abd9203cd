"""The report in the terminal: verdict and reasons first, then what a person would ask next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chaosbot.core.units import format_duration
from chaosbot.core.verdict import Finding, Severity, Verdict
from chaosbot.report.figures import dollars, measured, shown
from chaosbot.report.scrub import tame
from chaosbot.report.values import Coverage, Load, ModelUse, Report

STYLES: Final = {
    Verdict.PASS: "bold green",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.INVALID: "bold magenta",
    Verdict.FAIL: "bold red",
}
SEVERITIES: Final = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
}
# More findings than this are a list for the HTML page, not for a terminal.
FINDINGS_SHOWN: Final = 20
_LEFT: Final = (0, 0, 0, 2)
TASKS_SHOWN: Final = 20
UNREACHED_SHOWN: Final = 6


def render_terminal(report: Report, console: Console) -> None:
    """Prints the report. All texts of the run are printed as plain texts, never as markup or control."""
    for part in _parts(tame(report)):
        if isinstance(part, _Command):
            # Whoever copies a command needs it on one line, however narrow the terminal is.
            console.print(part.line, soft_wrap=True)
        else:
            console.print(part)


@dataclass(frozen=True, slots=True)
class _Command:
    """A line to type."""

    line: Text


def _parts(report: Report) -> list[RenderableType | _Command]:
    parts: list[RenderableType | _Command] = [Text(), _headline(report)]
    parts += [Padding(Text(f"• {reason}"), _LEFT, expand=False) for reason in report.reasons]
    if report.findings:
        parts.append(_heading("Findings"))
        for finding in report.findings[:FINDINGS_SHOWN]:
            parts += _finding(finding)
        if len(report.findings) > FINDINGS_SHOWN:
            parts.append(Text(f"  … and {len(report.findings) - FINDINGS_SHOWN} more in report.html", style="dim"))
    if report.assertions:
        parts += [_heading("Promises", report.promised_window), _assertions(report)]
    if report.coverage is not None and report.coverage.operators:
        parts += [_heading("Mutations"), _mutations(report.coverage)]
    if report.coverage is not None and (report.coverage.code or report.coverage.blocked):
        parts += [_heading("The target's code"), _code(report.coverage)]
    if report.load is not None:
        parts += [_heading("Load", report.load_window), _load(report.load)]
        if report.load.tasks:
            parts += [_heading("Tasks", report.load_window), _tasks(report.load)]
        if report.load.streams:
            parts += [_heading("Streams"), _streams(report.load)]
        if report.load.slowest or report.load.slowest_lacks:
            parts += [_heading("Slowest requests"), _slowest(report.load)]
    if report.windows:
        parts += [_heading("Windows"), _windows(report)]
    if report.faults:
        parts += [_heading("Faults"), _faults(report)]
    if report.recovery:
        parts += [_heading("Recovery"), _recovery(report)]
    if report.deliveries is not None:
        parts += [_heading("Deliveries"), _deliveries(report)]
    if report.models is not None:
        parts += [_heading("Language models"), _models(report.models)]
    if report.soak:
        parts += [_heading("Soak"), _soak(report)]
    return parts


def _headline(report: Report) -> Text:
    head = Text(report.verdict.value.upper(), style=STYLES[report.verdict])
    head.append(f"  {report.verb} {report.target}", style="default")
    return head.append(f"  seed {report.seed} · {format_duration(report.duration_s)}", style="dim")


def _mutations(coverage: Coverage) -> Padding:
    """How much of the product of operators and places was tried."""
    operators, places = coverage.operators.values(), coverage.places.values()
    done, planned = sum(share.done for share in operators), sum(share.planned for share in operators)
    reached = " · ".join(
        f"{sum(bool(share.done) for share in shares)} of {len(shares)} {what}"
        for what, shares in (("operators", operators), ("places", places))
    )
    return Padding(Text(f"{done} of {planned} pairs tried · {reached} (each in report.html)"), (0, 0, 0, 2))


def _code(coverage: Coverage) -> Padding:
    """How much of the target's own code had run after each stage, what was never reached, and what held its event loop."""
    table = _table("after", "lines", "sides of jumps", text=1)
    before = None
    for one in coverage.code:
        if before is None or (one.lines, one.sides) != before or one is coverage.code[-1]:
            _row(table, one.stage, *(f"{share.done} of {share.planned}" for share in (one.lines, one.sides)))
        before = (one.lines, one.sides)
    lines: list[RenderableType] = [table] if coverage.code else []
    lines += [
        Text(f"not reached: {gap.file} {gap.function}: {', '.join(map(str, gap.lines))}", style="dim")
        for gap in coverage.unreached[:UNREACHED_SHOWN]
    ]
    lines += [
        Text(f"held the event loop {held.times}×, up to {held.longest_s:.1f} s: {held.function}", style="yellow")
        for held in coverage.blocked
    ]
    return Padding(Group(*lines), _LEFT, expand=False)


def _heading(text: str, window: str = "") -> Group:
    return Group(Text(), Text(text, style="bold").append(f"  {window}" if window else "", style="not bold dim"))


def _finding(finding: Finding) -> Iterator[RenderableType | _Command]:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=8, no_wrap=True)
    table.add_column(overflow="fold")
    title = Text(finding.title).append(f"  {finding.check} × {finding.occurrences}", style="dim")
    table.add_row(Text(finding.severity.value, style=SEVERITIES[finding.severity]), title)
    yield Padding(table, _LEFT, expand=False)
    if finding.reproduce:
        yield _Command(Text(f"           {finding.reproduce}", style="dim"))


@dataclass(frozen=True)
class _Figures:
    """A quiet table; the first `text` columns are texts, which fold where there is no room, the others figures, which never do.

    Where the terminal is too narrow for the figures side by side, each row becomes a line of named figures, which wraps between them.
    """

    columns: tuple[str, ...]
    text: int
    rows: list[tuple[Text, ...]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or its rows as lines."""
        yield from self._parts(console, options)

    def _parts(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
        for place, column in enumerate(self.columns):
            left = place < self.text
            # A text column narrower than this is no text to read.
            least = min(12, max((len(row[place]) for row in self.rows), default=0)) if left else None
            table.add_column(
                column, justify="left" if left else "right", overflow="fold", no_wrap=not left, min_width=least
            )
        for row in self.rows:
            table.add_row(*row)
        if Measurement.get(console, options.update(max_width=10_000), table).minimum <= options.max_width:
            yield table
            return
        for row in self.rows:
            line = Text()
            for column, cell in zip(self.columns, row, strict=False):
                if not cell:
                    continue
                name = f"{column} " if self.columns.index(column) >= self.text else ""
                part = Text(name.replace("\n", " "), style="dim").append_text(cell)
                if line and len(line) + 2 + len(part) > options.max_width:
                    yield line
                    line = Text("  ")
                line = Text("  ").join([line, part]) if line.plain.strip() else line.append_text(part)
            yield line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as its widest line."""
        widest = max((console.measure(part).maximum for part in self._parts(console, options)), default=1)
        return Measurement(1, min(widest, options.max_width))


def _table(*columns: str, text: int = 1) -> _Figures:
    return _Figures(columns, text, [])


def _indented(table: _Figures) -> Padding:
    return Padding(table, _LEFT, expand=False)


def _row(table: _Figures, *cells: str | Text) -> None:
    table.rows.append(tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells))


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _assertions(report: Report) -> Padding:
    table = _table("", "promise", "target", "observed", "interval", "alert", text=3)
    for one in report.assertions:
        interval = "" if one.interval is None else f"{shown(one.interval[0])} … {shown(one.interval[1])}"
        verdict = Text(one.verdict.value, style=STYLES[one.verdict])
        _row(table, verdict, one.name, one.target, measured(one), interval, one.alert)
    return _indented(table)


def _load(load: Load) -> Padding:
    table = _table("", "p50", "p90", "p95", "p99", "p99.9", "max")
    for name, found in (("response", load.response), ("service", load.service)):
        _row(table, name, *map(_time, (found.p50, found.p90, found.p95, found.p99, found.p999, found.max)))
    counts = (
        f"{load.planned} planned · {load.completed} completed · {load.failed} failed · {load.timed_out} timed out · "
        f"{load.dropped} dropped · {load.offered_rps:.1f}/s offered · {load.achieved_rps:.1f}/s achieved"
    )
    errors = ", ".join(f"{kind} {count}" for kind, count in list(load.errors.items())[:8])
    lines: Sequence[RenderableType] = [Text(counts), table, *([Text(f"errors: {errors}")] if errors else [])]
    return Padding(Group(*lines), _LEFT, expand=False)


def _tasks(load: Load) -> Padding:
    table = _table("task", "requests", "rate", "failed", "p50", "p90", "p95", "p99", "p99.9", "max")
    for task in load.tasks[:TASKS_SHOWN]:
        found = task.response
        times = map(_time, (found.p50, found.p90, found.p95, found.p99, found.p999, found.max))
        _row(table, task.name, str(task.done), f"{task.rps:.1f}/s", str(task.failed), *times)
    left = len(load.tasks) - TASKS_SHOWN
    more = [Text(f"… and {left} more in tasks.csv", style="dim")] if left > 0 else []
    return Padding(Group(table, *more), _LEFT, expand=False)


def _streams(load: Load) -> Padding:
    table = _table("stream", "connects", "failed", "broken", "messages", "rate")
    times = _table("stream", "gap p50", "p95", "p99", "age p50", "p95", "p99", "shake p50", "p99")
    for one in load.streams:
        counts = map(str, (one.connects, sum(one.failed.values()), one.broken, one.messages))
        _row(table, one.name, *(["not run", *4 * "–"] if one.missing else [*counts, f"{one.messages_per_s:.1f}/s"]))
        if one.connects:
            parts = (getattr(part, share) for part in (one.gap, one.latency) for share in ("p50", "p95", "p99"))
            _row(times, one.name, *map(_time, (*parts, one.connect.p50, one.connect.p99)))
    # Why one did not run stands below the verdict.
    told = [Text(f"{one.name}: {one.trouble}", style="dim") for one in load.streams if one.trouble and not one.missing]
    return Padding(Group(table, *told, *[times] * bool(times.rows)), (0, 0, 0, 2))


def _slowest(load: Load) -> Padding:
    table = _table("task", "at", "response", "status", "trace id", text=1)
    for one in load.slowest:
        _row(table, one.task, f"{one.at_s:.1f}s", _time(one.response), str(one.status or "–"), one.trace)
    lines: list[RenderableType] = [table] if load.slowest else []
    lines += [Text(load.slowest_lacks, style="dim")] if load.slowest_lacks else []
    return Padding(Group(*lines), _LEFT, expand=False)


def _windows(report: Report) -> Padding:
    table = _table("window", "from", "to", "p50", "p99", "errors", "rate")
    for one in report.windows:
        name = f"{one.name} {one.label}".strip()
        times = (f"{one.from_s:.0f}s", f"{one.to_s:.0f}s", _time(one.p50), _time(one.p99))
        _row(table, name, *times, _share(one.error_rate), f"{one.rps:.1f}/s")
    return _indented(table)


def _faults(report: Report) -> Padding:
    table = _table("rule", "fault", "applied", "failed of\ntouched", "p99", "failed of\nclean", "p99", text=2)
    for row in report.faults:
        cells: list[str] = []
        for fates in (row.touched, row.clean):
            cells += ["–", "–"] if fates is None else [f"{fates.errors} of {fates.requests}", _time(fates.p99)]
        _row(table, row.rule, row.fault, str(row.applied), *cells)
    return _indented(table)


def _recovery(report: Report) -> Padding:
    table = _table("after", "all as before", "backlog gone", "answers missed", "")
    watched = [one for one in report.recovery if not one.brief]
    for one in watched:
        back = "not seen" if one.seconds is None else _time(one.seconds)
        state = Text("metastable", style="bold red") if one.metastable else Text()
        _row(table, one.fault, back, _time(one.drained_s), f"{one.deficit:.0f}", state)
    brief = ", ".join(one.fault for one in report.recovery if one.brief)
    parts: list[RenderableType] = [table] if watched else []
    parts += [Text(f"watched too briefly to tell: {brief}", style="dim")] if brief else []
    return Padding(Group(*parts), _LEFT, expand=False)


def _deliveries(report: Report) -> Padding:
    found = report.deliveries
    if found is None:
        return Padding(Text(), 0)
    names = ("sent", "acknowledged", "lost", "duplicated", "unexpected", "redelivered")
    parts = [f"{getattr(found, name)} {name}" for name in names if getattr(found, name) is not None]
    if found.reply is not None:
        parts.append(f"reply p50 {_time(found.reply.p50)}, p99 {_time(found.reply.p99)}")
    return Padding(Text(" · ".join(parts)), _LEFT, expand=False)


def _models(use: ModelUse) -> Padding:
    table = _table(
        "updates that met", "updates", "calls", "failed", "calls per\nupdate", "ampli-\nfied", "tokens per\nupdate", "cost per\nupdate",
        "cost", "first token\np50", "p95", "first sight\np50", "p95",
    )  # fmt: skip
    for row in use.rows:
        times = (found for one in (row.first_token, row.first_sight) for found in (_time(one.p50), _time(one.p95)))
        figures = (row.calls_per_update, use.amplification(row), row.tokens_per_update)
        each, amplified, tokens = ("–" if one is None else shown(one) for one in figures)
        counts = (str(row.updates), str(row.calls), str(row.failed))
        _row(table, row.name, *counts, each, amplified, tokens, dollars(row.cost_per_update), dollars(row.cost), *times)
    prices = ", ".join(f"{name} ${sent:g} and ${written:g}" for name, (sent, written) in use.prices.items())
    lead = Text(f"US dollars a million tokens sent and written: {prices}", style="dim")
    return Padding(Group(table, lead), _LEFT, expand=False)


def _soak(report: Report) -> Padding:
    table = _table("series", "verdict", "slope/h", "interval", "detectable", text=2)
    for one in report.soak:
        interval = f"{shown(one.interval[0])} … {shown(one.interval[1])}"
        cells = (f"{shown(one.slope_per_hour)} {one.unit}", interval, shown(one.minimum_detectable))
        _row(table, one.series, one.verdict, *cells)
    return _indented(table)
