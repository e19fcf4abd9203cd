"""The proxy answers with an error status itself.

Placed ``before``, the upstream is never asked: an outage. Placed ``after``, the upstream has acted and its answer is replaced:
the sender believes in a failure that was none and repeats. Senders of webhooks redeliver after anything but a 2xx and
honour ``Retry-After`` (Telegram caps it at 3600 s); bots must survive 500, 502, 503 and 504 from the APIs that they call.
Placed ``after``, an answer that streams is held until it has ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import POINTS


@dataclass(frozen=True)
class Abort(Fault):
    """An error status instead of the answer."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    status: int = option("count", "status of the answer", 503, primary=True)
    retry_after: float = option("duration", "value of Retry-After, in whole seconds; 0 leaves the header out", 0.0)
    body: str = option("text", "body of the answer", "")
    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)

    def __post_init__(self) -> None:
        """Refuses what is no final status."""
        if not 200 <= self.status <= 599:
            raise ValueError(f"status {self.status} is no final HTTP status; choose one from 200 to 599")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        headers = [("content-type", "text/plain; charset=utf-8")]
        if self.retry_after:
            headers.append(("retry-after", str(math.ceil(self.retry_after))))
        return (Answer(Point(self.point), self.status, tuple(headers), self.body.encode()),)
