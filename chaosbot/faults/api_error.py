"""The API that the target calls refuses, in its own words: Slack's ``ok: false``, GitHub's message, Stripe's error object.

429 and 503 say in Retry-After how long to wait. A client must wait that long and must not lose the message meanwhile; one that reads
another API's form of error, or takes any JSON for success (Slack's errors come with a body that is JSON, too), shows it here. Where no
mock knows the API, the body is a short JSON document. Calls of the Bot API have faults of their own (``botapi_429``, ``botapi_400`` …).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._botapi import call_of

_WAITED_FOR: Final = (429, 503)


@dataclass(frozen=True)
class ApiError(Fault):
    """An error of the API's own."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = "for calls of any API but the Bot API"

    status: int = option("count", "400 to 599", 429, primary=True)
    retry_after: float = option("duration", "what 429 and 503 tell the client to wait, in whole seconds", 3.0)

    def __post_init__(self) -> None:
        """Refuses what is no error."""
        if not 400 <= self.status <= 599:
            raise ValueError(f"status {self.status} is no error; choose one from 400 to 599")

    def possible(self, exchange: Exchange) -> bool:
        """A call, and none of the Bot API."""
        return exchange.direction is Direction.OUTBOUND and call_of(exchange) is None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        headers = [("content-type", "application/json")]
        if self.status in _WAITED_FOR:
            headers.append(("retry-after", str(max(1, math.ceil(self.retry_after)))))
        phrase = HTTPStatus(self.status).phrase if self.status in HTTPStatus._value2member_map_ else "error"
        return (Answer(Point.BEFORE, self.status, tuple(headers), f'{{"error":"{phrase}"}}'.encode(), own=True),)
