"""The group became a supergroup: 400 with ``parameters.migrate_to_chat_id``.

A bot must use the new id from now on, for this message and for what it stored.
The old id never works again: a bot that only retries loses the group, and one that logs and forgets loses its messages.
With a rate of 1 all groups have migrated, as for a real group every call to the old id fails from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._botapi import call_of, refusal

_FIRST_NEW: Final = 1_000_000_000


@dataclass(frozen=True)
class BotapiMigrate(Fault):
    """400 with parameters.migrate_to_chat_id."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    api: ClassVar[str] = "telegram"
    possible_when: ClassVar[str] = (
        "for calls that name a basic group; private chats, supergroups and channels never migrate"
    )

    chat: int = option(
        "count", "the new chat id without its leading -100; 0 makes one of each group's old id", 0, primary=True
    )

    def possible(self, exchange: Exchange) -> bool:
        """A call to a basic group."""
        call = call_of(exchange)
        return call is not None and call.to_basic_group

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy; a group always gets the same new id."""
        call = call_of(exchange)
        old = abs(call.chat or 0) if call is not None else 0
        return refusal(
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            {"migrate_to_chat_id": -(1_000_000_000_000 + (self.chat or _FIRST_NEW + old))},
        )
