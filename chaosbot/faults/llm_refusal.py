"""A model refuses to answer, or a filter stops it: status 200, and no text, or half of one.

A bot that sends what it got sends an empty message, which the Bot API refuses, or half an answer. It must look at the reason to stop
(`refusal`, `content_filter`, `SAFETY`) and say something of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall, Stop
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, prose, said


@dataclass(frozen=True)
class LlmRefusal(AnswerFault):
    """A refusal with status 200."""

    keep: float = option("share", "how much of an answer comes before", 0.0, primary=True)

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """An answer that is none."""
        key, text = prose(call, dice)
        return said(call, key, text[: int(len(text) * self.keep)], stop=Stop.REFUSAL)
