"""Watches a run's calls of language models: what they cost where they are real, and calls that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chaosbot.core.event import Event, ExchangeSeen, ModelCalled
from chaosbot.core.llm import Api
from chaosbot.core.prices import USUAL, Prices, cost_of

_MOST_NAMED: Final = 20


@dataclass
class ModelWatch:
    """Listens to a run's events.

    Args:
        limit: So many US dollars may be spent; infinite where the models are mocked.
        stop: What stops the run.
        note: Tells the report's reader something.
        prices: What tokens cost.
    """

    limit: float
    stop: Callable[[str], None]
    note: Callable[[str, str], None]
    prices: Prices = field(default_factory=lambda: USUAL)
    spent: float = 0.0
    _named: set[str] = field(default_factory=set)

    def notice(self, event: Event) -> None:
        """Adds what a call cost, and names one that no provider would answer."""
        if not isinstance(event, ModelCalled):
            return
        self.spent += cost_of(event, self.prices)
        if self.spent >= self.limit:
            self.stop(
                f"calls of language models have cost ${self.spent:.2f}; the limit is ${self.limit:g} (--llm-spend)"
            )
        if event.api == Api.UNKNOWN and event.model not in self._named and len(self._named) < _MOST_NAMED:
            self._named.add(event.model)
            self.note(
                "models",
                f"the bot called {event.model}, which is none of the endpoints that the mock has; it got a 404",
            )


def misdirected(seen: ExchangeSeen, call: ModelCalled) -> str:
    """What is wrong with the base URL by which a call came, as what to set instead; empty where nothing is.

    Args:
        seen: The exchange.
        call: The call.
    """
    path = seen.path
    if call.provider == "openai" and call.api != Api.UNKNOWN and "/v1" not in path:
        return f"the call came to {path}: OpenAI's SDKs want /v1 at the end of OPENAI_BASE_URL"
    if "/v1/v1" in path:
        return f"the call came to {path}: this SDK appends /v1 itself; leave it out of its base URL"
    return ""
