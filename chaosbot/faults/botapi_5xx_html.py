"""A gateway before the Bot API answers 5xx with a page of HTML.

The body is no JSON; a client that parses before it looks at the status raises an error of the wrong kind, which the bot's handling
for API errors does not catch. 500, 502 and 504 are seen during every larger outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._botapi import page


@dataclass(frozen=True)
class Botapi5xxHtml(Fault):
    """5xx with HTML."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = "for everything that runs through the gateway: calls and downloads"

    status: int = option("count", "500 to 599", 502, primary=True)

    def __post_init__(self) -> None:
        """Refuses what is no server error."""
        if not 500 <= self.status <= 599:
            raise ValueError(f"status {self.status} is no server error; choose one from 500 to 599")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        return page(self.status)
