"""The group became a supergroup: 400 with ``parameters.migrate_to_chat_id``.

A bot must use the new id from now on, for this message and for what it stored.
The old id never works again: a bot that only retries loses the group, and one that logs and forgets loses its messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._botapi import refusal


@dataclass(frozen=True)
class BotapiMigrate(Fault):
    """400 with parameters.migrate_to_chat_id."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND

    chat: int = option("count", "the new chat id without its leading -100", 1234567890, primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy, on the outbound direction only."""
        return refusal(
            exchange,
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            {"migrate_to_chat_id": -(1_000_000_000_000 + self.chat)},
        )
