"""streams.csv: one row for each stream of the load.

Times are in milliseconds, with the unit in the column's name; a cell without a figure is empty, as are those of a stream that did not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.report.reporter import Reporter
from chaosbot.report.tables import TIMES, safe, times, written
from chaosbot.report.values import Report, StreamRow

_COUNTS: Final = (
    "connects",
    "failed",
    "broken",
    "quiet",
    "early",
    "dried",
    "messages",
    "messages_per_s",
    "bytes",
    "peak",
)
_TIMES: Final = tuple(f"{what}_{place}" for what in ("gap", "latency", "connect") for place in TIMES)


def _counts(one: StreamRow) -> Sequence[object]:
    """The cells under `_COUNTS`."""
    if one.missing:
        return [""] * len(_COUNTS)
    connects = (one.connects, sum(one.failed.values()), one.broken, one.quiet, one.early, one.dried)
    return [*connects, one.messages, f"{one.messages_per_s:.3f}", one.received, one.peak]


def _kinds(counts: Mapping[str, int]) -> str:
    return safe("; ".join(f"{kind} {count}" for kind, count in counts.items()))


def render_streams(report: Report) -> str:
    """One row for each stream."""
    load = report.load
    return written(
        ("stream", *_COUNTS, *_TIMES, "errors", "closes", "missing"),
        (
            (
                safe(one.name),
                *_counts(one),
                *times(one.gap),
                *times(one.latency),
                *times(one.connect),
                _kinds(one.failed),
                _kinds(one.ends),
                safe(one.missing),
            )
            for one in (load.streams if load is not None else ())
        ),
    )


@dataclass(frozen=True)
class StreamsReporter(Reporter):
    """streams.csv: one row for each stream of the load."""

    file: ClassVar[str] = "streams.csv"

    def render(self, report: Report) -> str | None:
        """None where no stream took part, or should have."""
        return render_streams(report) if report.load is not None and report.load.streams else None
