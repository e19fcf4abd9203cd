"""findings.csv: one row for each finding, for a spreadsheet or an issue tracker's import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.report.reporter import Reporter
from chaosbot.report.scrub import tame
from chaosbot.report.tables import safe, written
from chaosbot.report.values import Report

COLUMNS = ("severity", "title", "check", "threat", "cause", "category", "case", "seen", "reproduce", "id")


@dataclass(frozen=True)
class FindingsReporter(Reporter):
    """findings.csv: one row for each finding."""

    file: ClassVar[str] = "findings.csv"

    def render(self, report: Report) -> str | None:
        """None where there was no finding."""
        if not report.findings:
            return None
        return written(
            COLUMNS,
            (
                (
                    one.severity.value,
                    safe(one.title),
                    one.check,
                    one.threat.value,
                    safe(str(one.cause)),
                    safe(one.category),
                    safe(one.case),
                    one.occurrences,
                    safe(one.reproduce),
                    one.id,
                )
                for one in tame(report).findings
            ),
        )
