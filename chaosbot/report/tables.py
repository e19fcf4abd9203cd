"""Reports as comma-separated values, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from chaosbot.report.values import Quantiles

TIMES: Final = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")


def in_ms(seconds: float | None) -> str:
    """Milliseconds; empty where there is none."""
    return "" if seconds is None else f"{seconds * 1e3:.3f}"


def safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def written(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The table as text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def times(found: Quantiles) -> list[str]:
    """The cells under `TIMES`."""
    return [in_ms(value) for value in (found.p50, found.p90, found.p95, found.p99, found.p999, found.max)]
