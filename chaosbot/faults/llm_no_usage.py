"""An answer does not say what it cost, as behind some gateways.

Accounting that divides by tokens, or adds None to a sum, fails after the answer has been paid; Anthropic's stream helpers raise an
AttributeError of their own. A bot must treat a missing usage as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault, prose, said

_USAGE: Final = ("usage", "usageMetadata")


@dataclass(frozen=True)
class LlmNoUsage(AnswerFault):
    """An answer without its usage."""

    null: bool = option("flag", "the usage is null instead of absent", False)

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """An answer like any other."""
        key, text = prose(call, dice)
        return said(call, key, text, change=self._without)

    def _without(self, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        kept = {name: self._without(value) for name, value in document.items() if name not in _USAGE}
        return {name: kept.get(name) for name in document if name in kept or self.null}
