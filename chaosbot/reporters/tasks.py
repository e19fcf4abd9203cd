"""tasks.csv: one row for each task of the load.

Times are in milliseconds, with the unit in the column's name; a cell without a figure is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.report.reporter import Reporter
from chaosbot.report.tables import TIMES, safe, times, written
from chaosbot.report.values import Report


def render_tasks(report: Report) -> str:
    """One row for each task."""
    load = report.load
    return written(
        ("task", "requests", "failed", "rps", *TIMES, "errors"),
        (
            (
                safe(task.name),
                task.done,
                task.failed,
                f"{task.rps:.3f}",
                *times(task.response),
                safe("; ".join(f"{kind} {count}" for kind, count in task.errors.items())),
            )
            for task in (load.tasks if load is not None else ())
        ),
    )


@dataclass(frozen=True)
class TasksReporter(Reporter):
    """tasks.csv: one row for each task of the load."""

    file: ClassVar[str] = "tasks.csv"

    def render(self, report: Report) -> str | None:
        """None where there was no load."""
        return render_tasks(report) if report.load is not None and report.load.tasks else None
