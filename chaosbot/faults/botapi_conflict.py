"""Somebody else polls with the same token: 409.

It is what two running copies of a bot get from ``getUpdates``, and what polling gets while a webhook is set.
A bot that restarts itself at once in a loop makes it worse; one that waits, or gives up loudly, is right.
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
class BotapiConflict(Fault):
    """409, terminated by other getUpdates request."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy, on the outbound direction only."""
        return refusal(
            exchange,
            409,
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
        )
