"""An update of a while ago is delivered again beside a new one.

A queue that was restored, or somebody who recorded the traffic. Messages are good for 24 hours, callbacks for 150 seconds; whoever
checks neither age nor id acts on a wish that nobody has any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SendEarlier
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import DELIVERIES, is_delivery


@dataclass(frozen=True)
class ReplayStale(Fault):
    """An old update comes again."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    back: int = option("count", "how many updates back", 1, primary=True)
    age: float = option("duration", "it must be at least this old", 0.0)

    def __post_init__(self) -> None:
        """Refuses the update itself and what nobody remembers."""
        if not 1 <= self.back <= 64:
            raise ValueError("back must be from 1 to 64; that many updates are remembered")

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One old update."""
        return (SendEarlier(self.back, self.age),)
