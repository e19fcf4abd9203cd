"""The user has blocked the bot: 403.

No retry will ever help; a bot must stop writing to that chat and go on with the
others. Every bot with users meets it daily; broadcasts that end at the first one are the classic defect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.faults._botapi import refusal


@dataclass(frozen=True)
class BotapiBlocked(Fault):
    """403, the user blocked the bot."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy, on the outbound direction only."""
        return refusal(exchange, 403, "Forbidden: bot was blocked by the user")
