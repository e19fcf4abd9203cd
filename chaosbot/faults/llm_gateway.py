"""The edge in front of a provider answers with a page of HTML.

Anthropic's Python SDK puts the whole page into the text of its error, both JavaScript SDKs do as well; a bot that shows its users what went
wrong shows them the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.llm import wire
from chaosbot.core.registry import option
from chaosbot.faults._llm import CALLS, call_of


@dataclass(frozen=True)
class LlmGateway(Fault):
    """A page of HTML."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = CALLS

    status: int = option("count", "400 to 599", 502, primary=True)

    def __post_init__(self) -> None:
        """Refuses what is no error."""
        if not 400 <= self.status <= 599:
            raise ValueError(f"status {self.status} is no error; choose one from 400 to 599")

    def possible(self, exchange: Exchange) -> bool:
        """A call."""
        return call_of(exchange) is not None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        headers, page = wire.gateway_page(self.status)
        return (Answer(Point.BEFORE, self.status, headers, page),)
