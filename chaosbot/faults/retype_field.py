"""A field of the update has another JSON type.

Numbers become texts, texts lists, objects numbers: what happens when a platform changes a field, or when somebody forges it.
Without one named, one field is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._json import TYPES, edited, retype
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect
from chaosbot.model.exchange import Depth, Exchange, Lane
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class RetypeField(Fault):
    """A field has another type."""

    depth: ClassVar[Depth] = Depth.UPDATE
    lane: ClassVar[Lane | None] = Lane.INBOUND

    field: str = option("text", "JSON path (message.chat.id); empty draws one", "", primary=True)
    to: str = option("text", "the new type; any draws one that differs", "any", choices=("any", *TYPES))

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        if exchange.lane is not Lane.INBOUND:
            return ()
        return edited(exchange.body, self.field, dice, lambda holder, key: retype(holder, key, self.to, dice))
