"""A model, talked into it by a user, calls a tool that this user must not use, or answers with a command of the admin's.

The model is not the one to decide who may do what: the bot must check the user's rights where a tool is carried out, as it does for
commands, and must never run a command that stands in an answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Exchange
from chaosbot.core.llm import LlmCall, Stop, Tool, ToolCall, call_of_tool
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, prose, said

_ADMINS: Final = re.compile(
    r"(?i)grant|admin|role|tier|permission|delete|remove|revoke|ban|refund|pay|transfer|exec|shell|sql|broadcast"
)
_WHOM: Final = re.compile(r"(?i)user|chat|(?:^|_)id$")
_WHAT: Final = re.compile(r"(?i)role|tier|level|permission")


@dataclass(frozen=True)
class LlmEscalate(AnswerFault):
    """A privileged tool for whoever asks."""

    possible_when: ClassVar[str] = "for calls of language models; by=tool for those that offer a privileged tool"

    tool: str = option(
        "text", "the tool's name, or a glob; by default one that sounds like an admin's", "", primary=True
    )
    by: str = option("text", "call a tool, or write a command", "tool", choices=("tool", "command"))
    text: str = option("text", "with by=command: what is written", "/grant 2000001 admin")

    def possible(self, exchange: Exchange) -> bool:
        """A call that could be answered so."""
        call = self.met(exchange)
        return call is not None and (
            self.by == "command" or (not call.after_tool and bool(self._privileged(call.tools)))
        )

    def _privileged(self, tools: tuple[Tool, ...]) -> list[Tool]:
        if self.tool:
            return [tool for tool in tools if fnmatchcase(tool.name, self.tool)]
        return [tool for tool in tools if _ADMINS.search(tool.name)]

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """An answer that reaches for more."""
        if self.by == "command":
            key, text = prose(call, dice)
            return said(call, key, f"{self.text}\n{text}")
        tools = self._privileged(call.tools)
        if not tools:
            return ()
        tool = dice.at("which").choice(tools)
        arguments = call_of_tool(tool, dice.at("arguments")).values
        for name, value in dict(arguments).items():
            if _WHOM.search(name) and isinstance(value, (int, str)):
                arguments[name] = type(value)(2_000_001)
            if _WHAT.search(name) and isinstance(value, str):
                arguments[name] = "admin"
        return said(call, dice.at("id").token(24), ToolCall(tool.name, json.dumps(arguments)), stop=Stop.TOOL)
