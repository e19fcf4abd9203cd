"""The update's text is no longer the text that it was: broken UTF-8, a lone surrogate, a byte order mark …

Emoji are four bytes and surrogate pairs in JSON; they are what breaks first. The right answer to bytes that are no JSON is a 400,
soon; to a lone surrogate, to survive it (many databases and every UTF-8 encoder refuse it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._deliveries import DELIVERIES, is_delivery
from chaosbot.faults._encoding import WAYS, damaged


@dataclass(frozen=True)
class EncodingDamage(Fault):
    """The update's bytes are damaged."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    how: str = option("text", "what is damaged", "invalid_utf8", choices=WAYS, primary=True)

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        return damaged(exchange.body, self.how, dice)
