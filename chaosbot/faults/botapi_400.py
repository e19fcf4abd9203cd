"""The Bot API refuses a call: 400 with a description.

"message is not modified" is the everyday one: somebody pressed a button twice. It is no reason to crash, to retry for ever, or to
show the user an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.faults._botapi import refusal
from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect
from chaosbot.model.exchange import Depth, Exchange, Lane
from chaosbot.model.fault import Fault
from chaosbot.model.shelf import option


@dataclass(frozen=True)
class Botapi400(Fault):
    """400 with a description."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    lane: ClassVar[Lane | None] = Lane.OUTBOUND

    description: str = option("text", 'what follows "Bad Request: "', "message is not modified", primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy, on the outbound lane only."""
        return refusal(exchange, 400, f"Bad Request: {self.description}")
