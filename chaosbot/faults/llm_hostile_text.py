"""A model writes what the chat platform refuses: open markup, nothing at all, or more than a message holds.

The Bot API answers 400 ("can't parse entities", "message is too long", "message text is empty") and the reply is lost. A bot must escape
or strip markup and send the text plainly where it was refused, split what is too long, and have a word for an empty answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, prose, said

_LINE: Final = "All of it counts and none of it may be lost. "
_TEXTS: Final = {
    "html": "<h1>Answer</h1> 1 < 2 & 3 > 2 <b>bold <div>box</b>",
    "markdown": "*bold _and soft* `code [link](https://example.com/a_b (open) 1. 2! #3 snake_case_name",
    "entity": "half an entity &amp &#x; **bold",
    "empty": "",
    "blank": " \n\u200b\n ",
    "over4096": _LINE * 92,
    "over20000": _LINE * 450,
}


@dataclass(frozen=True)
class LlmHostileText(AnswerFault):
    """Text that the platform refuses."""

    what: str = option(
        "text",
        "any draws one of the others",
        "any",
        primary=True,
        choices=("any", "html", "markdown", "entity", "empty", "blank", "over4096", "over20000"),
    )

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """One answer."""
        kind = dice.at("kind").choice(list(_TEXTS)) if self.what == "any" else self.what
        key, text = prose(call, dice, _TEXTS[kind])
        return said(call, key, _TEXTS[kind] if kind in ("empty", "blank") else text)
