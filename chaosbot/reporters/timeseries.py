"""timeseries.csv: one row for each second of load.

Times are in milliseconds, with the unit in the column's name; a cell without a figure is empty, and seconds without data have no row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.report.reporter import Reporter
from chaosbot.report.tables import TIMES, times, written
from chaosbot.report.values import Quantiles, Report


def render_timeseries(report: Report) -> str:
    """One row for each second of load, from the run's start."""
    load = report.load
    return written(
        ("at_s", "planned", "started", "completed", "failed", "timed_out", "dropped", "users", "in_flight", *TIMES),
        (
            (
                f"{second.at_s:.3f}",
                second.planned,
                second.started,
                second.completed,
                second.failed,
                second.timed_out,
                second.dropped,
                second.active_users,
                second.in_flight,
                *times(Quantiles.of(second.response)),
            )
            for second in (load.seconds if load is not None else ())
        ),
    )


@dataclass(frozen=True)
class TimeseriesReporter(Reporter):
    """timeseries.csv: one row for each second of load."""

    file: ClassVar[str] = "timeseries.csv"

    def render(self, report: Report) -> str | None:
        """None where there was no load."""
        return render_timeseries(report) if report.load is not None else None
