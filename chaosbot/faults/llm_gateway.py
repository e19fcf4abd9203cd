"""The edge in front of a provider answers with a page of HTML.

Anthropic's Python SDK puts the whole page into the text of its error, both JavaScript SDKs do as well; a bot that shows its users what went
wrong shows them the page.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.llm import LlmCall, wire
from chaosbot.core.registry import option
from chaosbot.faults._llm import CallFault


@dataclass(frozen=True)
class LlmGateway(CallFault):
    """A page of HTML."""

    status: int = option("count", "400 to 599", 502, primary=True)

    def __post_init__(self) -> None:
        """Refuses what is no error."""
        if not 400 <= self.status <= 599:
            raise ValueError(f"status {self.status} is no error; choose one from 400 to 599")

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        headers, page = wire.gateway_page(self.status)
        return (Answer(Point.BEFORE, self.status, headers, page),)
