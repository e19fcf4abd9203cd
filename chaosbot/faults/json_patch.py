"""The update is changed by a JSON Patch (RFC 6902): add, remove, replace, move, copy, test.

For everything that dropping, nulling and retyping cannot say. A patch whose path does not exist in an update leaves it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._json import json_patch, patched
from chaosbot.faults._words import DELIVERIES, is_delivery


@dataclass(frozen=True)
class JsonPatch(Fault):
    """The update is patched."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    patch: object = option(
        "json", "list of operations: {op, path, value} with JSON pointers, or that list as JSON text", primary=True
    )

    def __post_init__(self) -> None:
        """Refuses what is no patch."""
        json_patch(self.patch)

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        return patched(exchange.body, json_patch(self.patch))
