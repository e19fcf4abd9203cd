"""A model refuses to answer, or a filter stops it: status 200, and no text, or half of one.

A bot that sends what it got sends an empty message, which the Bot API refuses, or half an answer. It must look at the reason to stop
(`refusal`, `content_filter`, `SAFETY`) and say something of its own.
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
class LlmRefusal(Fault):
    """A refusal with status 200."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = ANSWERS

    keep: float = option("share", "how much of an answer comes before", 0.0, primary=True)

    def possible(self, exchange: Exchange) -> bool:
        """A call to which a model answers."""
        return generating(exchange) is not None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """An answer that is none."""
        call = generating(exchange)
        if call is None:
            return ()
        key, text = prose(call, dice)
        return said(call, key, text[: int(len(text) * self.keep)], stop=Stop.REFUSAL)
