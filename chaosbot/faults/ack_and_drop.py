"""The proxy acknowledges and the upstream never hears of it.

The sender believes that the update was handled; it is lost for good. It is what a gateway does that answers before its queue
is written. Bots cannot notice it in an exchange; only counting deliveries against effects shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class AckAndDrop(Fault):
    """A 2xx by the proxy; the upstream is not asked."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    status: int = option("count", "status of the acknowledgement", 200, primary=True)
    body: str = option("text", "its body", "")

    def __post_init__(self) -> None:
        """Refuses what is no acknowledgement."""
        if not 200 <= self.status <= 299:
            raise ValueError(f"status {self.status} is no acknowledgement; choose one from 200 to 299")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One acknowledgement by the proxy."""
        return (Answer(Point.BEFORE, self.status, (("content-type", "application/json"),), self.body.encode()),)
