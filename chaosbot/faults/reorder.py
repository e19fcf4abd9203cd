"""An update waits until later ones have been answered.

Platforms keep the order within one chat only as long as nothing fails, and not across chats. A bot that keeps a conversation's
state without looking at ids mixes questions and answers up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, HoldForNext
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import DELIVERIES, is_delivery


@dataclass(frozen=True)
class Reorder(Fault):
    """The update is overtaken."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    by: int = option("count", "how many later updates overtake it", 1, primary=True)
    at_most: float = option("duration", "how long it waits for them", 5.0)

    def __post_init__(self) -> None:
        """Refuses being overtaken by nobody."""
        if self.by < 1:
            raise ValueError("by must be at least 1")

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One hold."""
        return (HoldForNext(self.by, self.at_most),)
