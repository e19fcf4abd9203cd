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
from chaosbot.faults._botapi import call_of, refusal


@dataclass(frozen=True)
class BotapiBlocked(Fault):
    """403, the user blocked the bot."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    api: ClassVar[str] = "telegram"
    possible_when: ClassVar[str] = "for calls that send or edit a message in a private chat"

    def possible(self, exchange: Exchange) -> bool:
        """A message to a person."""
        call = call_of(exchange)
        return call is not None and call.writes and call.to_person

    def elsewhere(self) -> tuple[str, dict[str, object]]:
        """An error of that API's own."""
        return "api_error", {"status": 403}

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        return refusal(403, "Forbidden: bot was blocked by the user")
