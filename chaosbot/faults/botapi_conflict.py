"""Somebody else polls with the same token: 409.

It is what two running copies of a bot get from ``getUpdates``, and what polling gets while a webhook is set.
A bot that restarts itself at once in a loop makes it worse; one that waits, or gives up loudly, is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.faults._botapi import call_of, refusal

_CONFLICTS: Final = {
    "getupdates": "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    "setwebhook": "Conflict: terminated by other setWebhook",
    "deletewebhook": "Conflict: terminated by other setWebhook",
}


@dataclass(frozen=True)
class BotapiConflict(Fault):
    """409, terminated by other getUpdates request."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    api: ClassVar[str] = "telegram"
    possible_when: ClassVar[str] = "for getUpdates, setWebhook and deleteWebhook"

    def possible(self, exchange: Exchange) -> bool:
        """A call that takes or gives up the bot's updates."""
        call = call_of(exchange)
        return call is not None and call.method in _CONFLICTS

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy, with what the Bot API says to this method."""
        call = call_of(exchange)
        return refusal(409, _CONFLICTS.get(call.method if call is not None else "", _CONFLICTS["getupdates"]))
