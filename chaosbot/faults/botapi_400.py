"""The Bot API refuses a call: 400 with a description.

"message is not modified" is the everyday one: somebody pressed a button twice. It is no reason to crash, to retry for ever, or to
show the user an error.
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
class Botapi400(Fault):
    """400 with a description."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND

    description: str = option("text", 'what follows "Bad Request: "', "message is not modified", primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy, on the outbound direction only."""
        return refusal(exchange, 400, f"Bad Request: {self.description}")
