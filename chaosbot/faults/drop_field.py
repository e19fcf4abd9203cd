"""A field of the update is missing.

Platforms leave optional fields out and rename what they call stable. Code that reads ``update["message"]["chat"]`` without a
look raises; what then happens to the update, and to those behind it, is the question. Without one named, one field is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._json import edited, remove
from chaosbot.faults._words import DELIVERIES, is_delivery


@dataclass(frozen=True)
class DropField(Fault):
    """A field is missing."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    field: str = option("text", "JSON path (message.chat.id); empty draws one", "", primary=True)

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        return edited(exchange.body, self.field, dice, remove)
