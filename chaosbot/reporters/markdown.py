"""report.md: the report as a comment on a pull request, short enough to be read there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.units import format_duration
from chaosbot.core.verdict import Assertion, Finding
from chaosbot.report.figures import MARKS, code, dollars, escape, shown
from chaosbot.report.reporter import Reporter
from chaosbot.report.scrub import tame
from chaosbot.report.values import NO_FAULT, ModelRow, ModelUse, Report

FINDINGS_SHOWN: Final = 10


def render_markdown(report: Report) -> str:
    """The report as Markdown: verdict, reasons, findings, promises and the key figures."""
    report = tame(report)
    foot = f"{escape(report.target)} · seed {report.seed} · {format_duration(report.duration_s)}"
    blocks = [
        f"## {MARKS[report.verdict]} chaosbot {escape(report.verb)}: {report.verdict.value}",
        "\n".join(f"- {escape(reason)}" for reason in report.reasons),
        _findings(report),
        _assertions(report),
        _figures(report),
        f"<sub>{foot} · chaosbot {escape(report.version)}</sub>",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _findings(report: Report) -> str:
    if not report.findings:
        return ""
    rows = [_finding(finding) for finding in report.findings[:FINDINGS_SHOWN]]
    more = len(report.findings) - FINDINGS_SHOWN
    table = "\n".join(["| severity | finding | seen | reproduce |", "|---|---|--:|---|", *rows])
    return f"### Findings\n\n{table}" + (f"\n\n… and {more} more in report.html" if more > 0 else "")


def _finding(finding: Finding) -> str:
    title = f"{escape(finding.title)} ({code(finding.check)})"
    return f"| {finding.severity.value} | {title} | {finding.occurrences} | {code(finding.reproduce)} |"


def _assertions(report: Report) -> str:
    rows = [_assertion(assertion) for assertion in report.assertions]
    head = ["| | promise | window | target | observed | interval |", "|---|---|---|---|--:|---|"]
    return "### Promises\n\n" + "\n".join([*head, *rows]) if rows else ""


def _assertion(one: Assertion) -> str:
    interval = "" if one.interval is None else f"{shown(one.interval[0])} … {shown(one.interval[1])}"
    cells = (MARKS[one.verdict], escape(one.name), one.window, escape(one.target), shown(one.observed), interval)
    return f"| {' | '.join(cells)} |"


def _figures(report: Report) -> str:
    lines = []
    if (load := report.load) is not None:
        p50, p99 = (_time(value) for value in (load.response.p50, load.response.p99))
        rate = "unknown" if load.error_rate is None else f"{load.error_rate:.2%}"
        lines.append(
            f"**Load** {load.completed} of {load.planned} answered right, {load.achieved_rps:.1f}/s; "
            f"p50 {p50}, p99 {p99}; errors {rate}{f' ({window})' if (window := report.load_window) else ''}"
        )
    if report.recovery:
        parts = [
            f"{escape(one.fault)} {'not seen' if one.seconds is None else _time(one.seconds)}"
            for one in report.recovery
        ]
        lines.append(f"**Recovery** {', '.join(parts)}")
    if (found := report.deliveries) is not None:
        names = ("sent", "acknowledged", "lost", "duplicated")
        parts = [f"{getattr(found, name)} {name}" for name in names if getattr(found, name) is not None]
        lines.append(f"**Deliveries** {', '.join(parts)}")
    if (use := report.models) is not None:
        lines += [_models(use, row) for row in use.rows]
    return "\n".join(f"- {line}" for line in lines)


def _models(use: ModelUse, row: ModelRow) -> str:
    amplified = use.amplification(row)
    parts = [
        f"{row.calls} calls for {row.updates} update{'' if row.updates == 1 else 's'}",
        f"{row.failed} failed",
        f"{dollars(row.cost)}",
    ]
    parts += [f"{dollars(row.cost_per_update)} an update"] if row.updates else []
    parts += [f"{amplified:.2g} times the usual calls"] if amplified is not None and row.name != NO_FAULT else []
    times = (("first token", row.first_token), ("first sight", row.first_sight))
    parts += [f"{what} p50 {_time(found.p50)}, p95 {_time(found.p95)}" for what, found in times if found.count]
    return f"**Models, {escape(row.name)}** {'; '.join(parts)}"


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else format_duration(seconds)


@dataclass(frozen=True)
class MarkdownReporter(Reporter):
    """A comment on a pull request."""

    file: ClassVar[str] = "report.md"

    def render(self, report: Report) -> str:
        """The whole report."""
        return render_markdown(report)
