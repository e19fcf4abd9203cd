"""A model calls a tool that there is not, or with arguments that do not fit.

Programs fail on a name they do not know, on arguments that are no JSON (OpenAI hands them on as they are), on `{}` where a bound cut them
(Anthropic's SDK makes that of them, quietly). Worse is what stays: a call without its result in the history makes every further call of that
conversation a 400. A bot must answer each call of a tool, with an error where it must, and go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Exchange
from chaosbot.core.llm import LlmCall, Stop, ToolCall, call_of_tool
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, said


@dataclass(frozen=True)
class LlmBadTool(AnswerFault):
    """A tool call that cannot be carried out."""

    possible_when: ClassVar[str] = "for calls of language models that offer tools"

    what: str = option(
        "text",
        "a name that is not there, arguments that are no JSON, arguments cut by the bound, arguments of the wrong types",
        "unknown",
        primary=True,
        choices=("unknown", "broken", "cut", "wrong"),
    )

    def possible(self, exchange: Exchange) -> bool:
        """A call that offers tools and does not bring the result of one."""
        return (call := self.met(exchange)) is not None and bool(call.tools) and not call.after_tool

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """A call of a tool, and nothing else."""
        if not call.tools:
            return ()
        made = call_of_tool(dice.at("which").choice(call.tools), dice.at("arguments"))
        half = made.arguments[: max(1, len(made.arguments) // 2)]
        made, stop = {
            "unknown": (ToolCall(f"{made.name}_v2", made.arguments), Stop.TOOL),
            "broken": (ToolCall(made.name, f"{{'a': {made.arguments}"), Stop.TOOL),
            "cut": (ToolCall(made.name, half), Stop.LENGTH),
            "wrong": (ToolCall(made.name, '{"unexpected": [1, 2], "id": {"a": null}}'), Stop.TOOL),
        }[self.what]
        return said(call, dice.at("id").token(24), made, stop=stop)
