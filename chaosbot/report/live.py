"""What live views show of a run before there is a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chaosbot.core.event import IntervalMeasured
from chaosbot.report.frames import decode, of_frames
from chaosbot.report.values import Second


def frame_quantiles(frame: IntervalMeasured, shares: Sequence[float]) -> tuple[float, ...]:
    """The response times at these shares (0..1) of one frame, in seconds; 0 where nothing finished."""
    histogram = decode(frame.response)
    if histogram is None:
        return tuple(0.0 for _ in shares)
    return tuple(histogram.quantile(share) or 0.0 for share in shares)


def live_seconds(frames: Iterable[IntervalMeasured]) -> tuple[Second, ...]:
    """The seconds that these frames tell of, shards of one second added up."""
    return of_frames(frames).seconds
