"""The platform missed the acknowledgement and delivers again, with its own back-off, until it sees a 2xx.

Telegram's Bot API server repeats at once, then after 2, 4, 8 … seconds up to a random cap between 60 and 120 s
(``WebhookActor.cpp``). The first answer counts as lost, so the bot handles the update at least twice.
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
class Redeliver(Fault):
    """The platform's own redelivery."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    attempts: int = option("count", "deliveries after the first", 3, primary=True)
    wait: float = option("duration", "pause before the first redelivery", 0.0)
    base: float = option("duration", "pause before the second; it doubles from there", 2.0)
    until_ack: bool = option("flag", "stop at the first 2xx of a redelivery", True)

    def __post_init__(self) -> None:
        """Refuses no redelivery and floods."""
        if not 1 <= self.attempts <= 20:
            raise ValueError("attempts must be from 1 to 20")

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """Deliveries with growing pauses."""
        cap = dice.uniform(60.0, 120.0)
        later = tuple(min(self.base * 2**step, cap) for step in range(self.attempts - 1))
        return (SendAgain((self.wait, *later), until_ack=self.until_ack),)
