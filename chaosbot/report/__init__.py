"""Folds of a run's events: verdict, terminal, JSON, HTML, JUnit, Markdown, SARIF.

`fold` makes the report, a frozen value; everything else shows it.
"""

from chaosbot.report.compare import Comparison, compare, render_comparison
from chaosbot.report.fold import fold
from chaosbot.report.jsonform import to_json
from chaosbot.report.junit import render_junit
from chaosbot.report.live import frame_quantiles, live_seconds
from chaosbot.report.markdown import render_markdown
from chaosbot.report.page import render_html, warm_up
from chaosbot.report.sarif import render_sarif
from chaosbot.report.terminal import render_terminal
from chaosbot.report.values import Report
from chaosbot.report.write import write_all

__all__ = [
    "Comparison",
    "Report",
    "compare",
    "fold",
    "frame_quantiles",
    "live_seconds",
    "render_comparison",
    "render_html",
    "render_junit",
    "render_markdown",
    "render_sarif",
    "render_terminal",
    "to_json",
    "warm_up",
    "write_all",
]
