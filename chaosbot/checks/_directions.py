"""What the checks over a load run share: calm and troubled times of the outbound direction, and the requests that no fault met."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from chaosbot.checks._outbound import succeeded
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, RequestDone
from chaosbot.core.exchange import Direction

NO_RUN: Final = "no load in this run was recorded request by request"
NEEDS_CALLS: Final = "needs --bot-api: the bot's calls were not seen"


def clean_requests(history: History) -> list[RequestDone]:
    """The requests with a marker that no inbound fault met, so that they reached the bot as they were, and whose calls can be known."""
    if not history.requests:
        return []
    met = history.met_inbound
    proxied = {
        seen.exchange for seen in history.exchanges if seen.direction is Direction.INBOUND and seen.by == "proxy"
    }
    return [
        request
        for request in history.requests
        if request.marker and request.exchange not in met and request.exchange not in proxied and history.joins(request)
    ]


def last_moment(history: History) -> float:
    """When the last event happened."""
    return history.last_s


def outbound_trouble(history: History) -> list[float]:
    """The moments at which a fault met one of the bot's calls, in order."""
    moments = [
        fault.t
        for faults in history.injections.values()
        for fault in faults
        if fault.direction is Direction.OUTBOUND and fault.stage == "applied"
    ]
    return sorted(moments)


def calm_seconds(troubles: Iterable[float], start: float, end: float) -> int:
    """How many whole seconds between two moments no fault met a call."""
    busy = {int(moment) for moment in troubles if start <= moment <= end}
    return sum(1 for second in range(int(start) + 1, int(end)) if second not in busy)


def settled(calls: Iterable[ApiCalled]) -> bool:
    """Whether an update came to something: a call succeeded, or the API refused it for good, which is not the bot's loss."""
    return any(
        succeeded(call) or (call.status is not None and 400 <= call.status < 500 and call.status not in (408, 409, 429))
        for call in calls
    )


def patience_of(history: History) -> float:
    """How long a bot may take before a reply counts as lost: longer than it was ever told to wait."""
    return 10.0 + max((call.retry_after_s or 0.0 for call in history.all(ApiCalled)), default=0.0)
