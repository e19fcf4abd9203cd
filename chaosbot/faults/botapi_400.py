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
from chaosbot.faults._botapi import call_of, refusal


@dataclass(frozen=True)
class Botapi400(Fault):
    """400 with a description."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    api: ClassVar[str] = "telegram"
    possible_when: ClassVar[str] = 'for calls of the Bot API; "message is not modified" for edits only'

    description: str = option("text", 'what follows "Bad Request: "', "message is not modified", primary=True)

    def possible(self, exchange: Exchange) -> bool:
        """A call, and an edit where the description speaks of one."""
        call = call_of(exchange)
        return call is not None and ("not modified" not in self.description or call.method.startswith("edit"))

    def elsewhere(self) -> tuple[str, dict[str, object]]:
        """An error of that API's own."""
        return "api_error", {"status": 400}

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        return refusal(400, f"Bad Request: {self.description}")
