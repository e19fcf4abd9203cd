"""A field of the update has another JSON type.

Numbers become texts, texts lists, objects numbers: what happens when a platform changes a field, or when somebody forges it.
Without one named, one field is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._json import TYPES, edited, retype
from chaosbot.faults._words import DELIVERIES, is_delivery


@dataclass(frozen=True)
class RetypeField(Fault):
    """A field has another type."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    field: str = option("text", "JSON path (message.chat.id); empty draws one", "", primary=True)
    to: str = option("text", "the new type; any draws one that differs", "any", choices=("any", *TYPES))

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        return edited(exchange.body, self.field, dice, lambda holder, key: retype(holder, key, self.to, dice))
