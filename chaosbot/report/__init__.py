"""Folds of a run's events: the verdict, its figures, and how they are shown.

`fold` makes the report, a frozen value; the reporters (`chaosbot.reporters`), the terminal and comparisons show it.
"""

from chaosbot.report.compare import Comparison, compare, render_comparison
from chaosbot.report.fold import fold
from chaosbot.report.intervals import as_one_second, live_seconds
from chaosbot.report.reporter import REPORTERS, Reporter, warm_up, write_all
from chaosbot.report.terminal import render_terminal
from chaosbot.report.values import Report

__all__ = [
    "REPORTERS",
    "Comparison",
    "Report",
    "Reporter",
    "as_one_second",
    "compare",
    "fold",
    "live_seconds",
    "render_comparison",
    "render_terminal",
    "warm_up",
    "write_all",
]
