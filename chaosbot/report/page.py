"""report.html: one self-contained file that opens offline."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from chaosbot.model.check import History
from chaosbot.report.values import Report


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("chaosbot.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_html(report: Report, history: History) -> str:
    """The report as a page."""
    return _environment().get_template("report.html.j2").render(report=report, history=history)
