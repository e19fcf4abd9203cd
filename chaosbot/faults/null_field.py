"""A field of the update is ``null``.

``{"message": null}`` passes every test for presence. Code that asks only whether a
key is there then reads from nothing. Without one named, one field is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._json import edited, put
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect
from chaosbot.model.exchange import Depth, Exchange, Lane
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class NullField(Fault):
    """A field is null."""

    depth: ClassVar[Depth] = Depth.UPDATE
    lane: ClassVar[Lane | None] = Lane.INBOUND

    field: str = option("text", "JSON path (message.chat.id); empty draws one", "", primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        if exchange.lane is not Lane.INBOUND:
            return ()
        return edited(exchange.body, self.field, dice, lambda holder, key: put(holder, key, None))
