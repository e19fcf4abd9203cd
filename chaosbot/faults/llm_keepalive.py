"""A gateway keeps a stream open by sending what is no event, or one without content.

Comments are harmless but for one case: after an `id:` line, OpenAI's Python SDK takes the empty line behind a comment for an event
without data and raises a JSONDecodeError. Pseudo-data (`data: : keep-alive`) and empty data break it as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, InsertEvents
from chaosbot.core.exchange import Exchange
from chaosbot.core.registry import option
from chaosbot.faults._llm import COMMENT, PING, StreamFault


@dataclass(frozen=True)
class LlmKeepalive(StreamFault):
    """Signs of life between the events."""

    what: str = option(
        "text",
        "a comment, a comment after an id, pseudo-data, an event without data, Anthropic's ping",
        "comment",
        primary=True,
        choices=("comment", "id", "data", "empty", "ping"),
    )
    apart: int = option("count", "so many events lie between two of them", 2)

    def __post_init__(self) -> None:
        """Refuses what has no end."""
        if self.apart < 1:
            raise ValueError("apart must be at least 1")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """Bytes between the events."""
        sent = {
            "comment": COMMENT,
            "id": b"id: 7\n: keep-alive\n\n",
            "data": b"data: : keep-alive\n\n",
            "empty": b"data:\n\n",
            "ping": PING,
        }
        return (InsertEvents(sent[self.what], self.apart),)
