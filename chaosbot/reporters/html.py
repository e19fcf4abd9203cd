"""report.html: one self-contained file that opens offline, verdict first.

Rules:

- Everything is inline: style, script and the charts, which are SVG. jinja2 is imported with the first page.
- Every text of the run is escaped by the template; the page's policy (CSP) lets exactly its own script run, by its hash, and loads
  nothing from anywhere.
- The script only copies lines and opens what is folded before printing; without it the page says and draws everything as well.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

from chaosbot.core.units import format_duration, format_size
from chaosbot.core.verdict import Finding, Severity, Verdict
from chaosbot.report import charts
from chaosbot.report.figures import dollars, measured, shown
from chaosbot.report.guidance import guidance
from chaosbot.report.reporter import Reporter
from chaosbot.report.scrub import tame
from chaosbot.report.values import Drift, Report

HEADLINES: Final = {
    Verdict.PASS: "Everything that was tested held.",
    Verdict.FAIL: "The target broke under test.",
    Verdict.INCONCLUSIVE: "This run cannot tell.",
    Verdict.INVALID: "The load generator was the limit, not the target.",
}
_UNIT: Final = re.compile(r"(\d)([a-zµ])")
# The bytes of a request that the page shows; the whole of it lies in the finding's directory.
REQUEST_SHOWN: Final = 1200


def _time(seconds: float | None) -> str:
    """A duration with a thin space before its unit."""
    return "–" if seconds is None else _UNIT.sub("\\1\u202f\\2", format_duration(seconds))


def _share(value: float | None) -> str:
    if value is None:
        return "–"
    return "0 %" if value == 0 else f"{value * 100:.2g} %" if value < 0.1 else f"{value * 100:.1f} %"


def _clock(seconds: float) -> str:
    """A place on the run's clock, no more exact than anybody cares."""
    return f"{seconds:.1f}\u202fs".replace(".0\u202f", "\u202f")


def _breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores and slashes."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with jinja2

    return Markup(re.sub(r"([_/])", r"\1<wbr>", str(escape(name))))  # noqa: S704 - escaped first


def _count(value: float | None) -> str:
    """A number with thin spaces between thousands."""
    return "–" if value is None else f"{round(value):,}".replace(",", "\u202f")


def _request(data: bytes) -> str:
    """The start of a request as text; bytes that are no text are shown as escapes."""
    text = data[:REQUEST_SHOWN].decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    visible = "".join(one if one.isprintable() or one in "\n\t" else f"\\x{ord(one):02x}" for one in text)
    more = len(data) - REQUEST_SHOWN
    return visible + (f"\n… and {format_size(more)} more" if more > 0 else "")


def _measure(value: float, unit: str) -> str:
    """A soak figure in its own unit."""
    if abs(value) == float("inf"):
        return "–"
    sign = "-" if value < 0 else ""
    if unit == "bytes":
        return sign + format_size(round(abs(value)))
    if unit == "s":
        return sign + _time(abs(value))
    return f"{shown(value)} {unit}".strip()


def _interval(drift: Drift) -> str:
    return f"{_measure(drift.interval[0], drift.unit)} … {_measure(drift.interval[1], drift.unit)}"


def _heat(count: int, counts: Mapping[str, int]) -> int:
    """How strongly a tile is coloured, from 0 (never) to 4 (among the most frequent)."""
    most = max(counts.values(), default=0)
    return 0 if count <= 0 else 1 + min(3, int(4 * (count / most) ** 0.5 - 1e-9))


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most commands make no page

    environment = Environment(
        loader=PackageLoader("chaosbot.reporters"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "time": _time,
        "share": _share,
        "count": _count,
        "clock": _clock,
        "breakable": _breakable,
        "shown": shown,
        "measured": measured,
        "dollars": dollars,
        "request": _request,
        "measure": _measure,
        "interval": _interval,
        "heat": _heat,
        "pretty": _pretty,
    }
    return environment


def _source(name: str) -> str:
    loader = _environment().loader
    if loader is None:  # pragma: no cover - set above
        raise RuntimeError(name)
    return loader.get_source(_environment(), name)[0]


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def _groups(findings: Sequence[Finding]) -> list[tuple[str, list[tuple[str, list[Finding]]]]]:
    """The findings by severity, then by what sets them off: the place of the root cause, or what the target did."""
    found: list[tuple[str, list[tuple[str, list[Finding]]]]] = []
    for severity in Severity:
        causes: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.severity is severity:
                causes.setdefault(finding.cause.place or str(finding.cause), []).append(finding)
        # Where one cause shows in many ways, that is what to look at first.
        ordered = sorted(causes.items(), key=lambda item: -len(item[1]))
        if ordered:
            found.append((severity.value, ordered))
    return found


def _guidance(check: str) -> Markup:
    """What a check's findings mean and how to fix them; written by us, or by the plug-in that the check is from."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - most commands make no page
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    text = re.sub(r"^## ", "### ", guidance(check), flags=re.MULTILINE)
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))  # noqa: S704 - without HTML of its own


def render_html(report: Report) -> str:
    """The report as a page."""
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    report = tame(report)
    bins = charts.bins_of(report.load.seconds if report.load is not None else ())
    script = _source("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=HEADLINES[report.verdict],
            timeline=charts.timeline(report, bins),
            bins=bins,
            groups=_groups(report.findings),
            distribution=charts.distribution(report),
            marks=charts.marks_of(report),
            soak=[(one, charts.drift(one)) for one in report.soak],
            events=report.events,
            guidance=[(check, _guidance(check)) for check in dict.fromkeys(one.check for one in report.findings)],
            severities=[
                (severity.value, sum(one.severity is severity for one in report.findings)) for severity in Severity
            ],
            style=Markup(_source("report.css")),  # noqa: S704 - the package's own file
            script=Markup(script),  # noqa: S704 - the package's own file
            policy=_hash(script),
        )
    )


def render_comparison_page(markdown: str) -> str:
    """A comparison (of `chaosbot.report.compare`) as a page of its own, which opens offline as well."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - most commands make no page
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return (
        _environment().get_template("comparison.html.j2").render(style=Markup(_source("report.css")), body=Markup(body))  # noqa: S704 - ours, and without HTML of its own
    )


@dataclass(frozen=True)
class HtmlReporter(Reporter):
    """One page that opens offline."""

    file: ClassVar[str] = "report.html"

    def render(self, report: Report) -> str:
        """The whole report."""
        return render_html(report)

    def warm_up(self) -> None:
        """Imports the template engine and compiles the page."""
        _environment().get_template("report.html.j2")
