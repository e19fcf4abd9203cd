"""The same update is delivered more than once.

Platforms promise "at least once", never "exactly once". The copies carry the same ``update_id``; a bot that does not remember it
does everything twice. ``concurrent`` sends them beside the original, which finds what is looked up before it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SendAgain
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import DELIVERIES, is_delivery


@dataclass(frozen=True)
class Duplicate(Fault):
    """The update comes again."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    copies: int = option("count", "how many more times", 1, primary=True)
    concurrent: bool = option("flag", "beside the original instead of after its answer", False)
    pause: float = option("duration", "pause before each copy", 0.0)

    def __post_init__(self) -> None:
        """Refuses no copy and floods."""
        if not 1 <= self.copies <= 100:
            raise ValueError("copies must be from 1 to 100")

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """Copies."""
        return (SendAgain((self.pause,) * self.copies, self.concurrent),)
