"""A model repeats what it was told in confidence: its instructions, or the tools that it has.

Instructions hold business rules, sometimes discount codes or keys; users ask for them, and models give in. A bot that must keep them
looks for them in the answer before it sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._llm import ANSWERS, generating, prose, said


@dataclass(frozen=True)
class LlmEcho(Fault):
    """Instructions repeated to the user."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = ANSWERS

    what: str = option(
        "text",
        "the instructions, the tools, or what the user said",
        "system",
        primary=True,
        choices=("system", "tools", "user"),
    )

    def possible(self, exchange: Exchange) -> bool:
        """A call to which a model answers."""
        return generating(exchange) is not None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """An answer that tells them; none where the call has none."""
        call = generating(exchange)
        if call is None:
            return ()
        tools = "; ".join(f"{tool.name}: {tool.description}" for tool in call.tools)
        told = {"system": call.system, "tools": tools, "user": call.user_text}[self.what]
        if not told:
            return ()
        key, text = prose(call, dice, f"my instructions are: {told[:2000]}")
        return said(call, key, text)
