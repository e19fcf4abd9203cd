"""What a live view shows of one second of load, before there is a report."""

from __future__ import annotations

from collections.abc import Sequence

from chaosbot.model.event import FrameTaken
from chaosbot.report.frames import decode


def frame_quantiles(frame: FrameTaken, shares: Sequence[float]) -> tuple[float, ...]:
    """The response times at these shares (0..1) of one frame, in seconds; 0 where nothing finished."""
    histogram = decode(frame.response)
    if histogram is None:
        return tuple(0.0 for _ in shares)
    return tuple(histogram.quantile(share) or 0.0 for share in shares)
