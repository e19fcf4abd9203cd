"""An answer ends in the middle because its bound of tokens is reached.

Only one word says so (`max_tokens`, `length`), and official SDKs raise nothing: the user gets half a sentence that looks like a whole
answer. A bot must look at the reason to stop and say that something is missing, or ask for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall, Stop
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, prose, said


@dataclass(frozen=True)
class LlmMaxTokens(AnswerFault):
    """An answer cut by its bound."""

    keep: float = option("share", "how much of the answer there is", 0.6, primary=True)

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """An answer without its end."""
        key, text = prose(call, dice)
        return said(call, key, text[: int(len(text) * self.keep)], stop=Stop.LENGTH)
