"""A model repeats what it was told in confidence: its instructions, the tools that it has, or what somebody else said.

Instructions hold business rules, sometimes discount codes or keys; users ask for them, and models give in. A bot that must keep them
looks for them in the answer before it sends it.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, prose, said


@dataclass(frozen=True)
class LlmEcho(AnswerFault):
    """Instructions repeated to the user."""

    what: str = option(
        "text",
        "the instructions, the tools, what the user said, or what another user might have said",
        "system",
        primary=True,
        choices=("system", "tools", "user", "other"),
    )

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """An answer that tells them; none where the call has none."""
        tools = "; ".join(f"{tool.name}: {tool.description}" for tool in call.tools)
        other = f"the user before you wrote: I am Ada, call me at +49 30 {dice.at('other').integer(100_000, 999_999)}"
        told = {"system": call.system, "tools": tools, "user": call.user_text, "other": other}[self.what]
        if not told:
            return ()
        key, text = prose(call, dice, f"{'' if told is other else 'my instructions are: '}{told[:2000]}")
        return said(call, key, text)
