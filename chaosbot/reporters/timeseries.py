"""timeseries.csv: one row for each second of load.

Times are in milliseconds, with the unit in the column's name; a cell without a figure is empty, and seconds without data have no row.
The columns of streams are about all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.report.reporter import Reporter
from chaosbot.report.tables import TIMES, in_ms, times, written
from chaosbot.report.values import Quantiles, Report, StreamSecond

_STREAMS: Final = ("open_streams", "stream_messages", "stream_failed", "stream_gap_p95_ms", "stream_latency_p95_ms")


def _streams(seen: StreamSecond | None) -> Sequence[object]:
    """The cells under `_STREAMS`."""
    if seen is None:
        return [""] * len(_STREAMS)
    return [seen.open, seen.messages, seen.failed, in_ms(seen.gap_p95), in_ms(seen.latency_p95)]


def render_timeseries(report: Report) -> str:
    """One row for each second of load, from the run's start."""
    load = report.load
    return written(
        (
            "at_s",
            "planned",
            "started",
            "completed",
            "failed",
            "timed_out",
            "dropped",
            "users",
            "in_flight",
            *TIMES,
            *_STREAMS,
        ),
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
                *_streams(second.streams),
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
