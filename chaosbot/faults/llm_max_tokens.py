"""An answer ends in the middle because its bound of tokens is reached.

Only one word says so (`max_tokens`, `length`), and official SDKs raise nothing: the user gets half a sentence that looks like a whole
answer. A bot must look at the reason to stop and say that something is missing, or ask for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.llm import Stop
from chaosbot.core.registry import option
from chaosbot.faults._llm import ANSWERS, generating, prose, said


@dataclass(frozen=True)
class LlmMaxTokens(Fault):
    """An answer cut by its bound."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = ANSWERS

    keep: float = option("share", "how much of the answer there is", 0.6, primary=True)

    def possible(self, exchange: Exchange) -> bool:
        """A call to which a model answers."""
        return generating(exchange) is not None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """An answer without its end."""
        call = generating(exchange)
        if call is None:
            return ()
        key, text = prose(call, dice)
        return said(call, key, text[: int(len(text) * self.keep)], stop=Stop.LENGTH)
