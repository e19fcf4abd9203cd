"""The Bot API says "too many requests", with ``parameters.retry_after``.

A bot must wait that long before it calls again, for this chat at least, and must not lose the message meanwhile. About 30 messages a
second overall, 1 a second to a chat and 20 a minute to a group are allowed; waits from 1 s to some minutes are seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._botapi import call_of, page, refusal


@dataclass(frozen=True)
class Botapi429(Fault):
    """429 with parameters.retry_after."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    api: ClassVar[str] = "telegram"
    possible_when: ClassVar[str] = "for calls of the Bot API"

    retry_after: float = option("duration", "what the bot is told to wait, in whole seconds", 3.0, primary=True)
    gateway: bool = option(
        "flag", "a gateway before the API refuses: a page of HTML that does not say how long to wait", False
    )

    def possible(self, exchange: Exchange) -> bool:
        """A call."""
        return call_of(exchange) is not None

    def elsewhere(self) -> tuple[str, dict[str, object]]:
        """An error of that API's own."""
        return "api_error", {"status": 429, "retry_after": f"{self.retry_after}s"}

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        if self.gateway:
            return page(429)
        return refusal(429, f"Too Many Requests: retry after {self.seconds}", {"retry_after": self.seconds})

    @property
    def seconds(self) -> int:
        """The wait as the Bot API says it."""
        return max(1, math.ceil(self.retry_after))
