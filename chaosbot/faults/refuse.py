"""New connections are turned away before a byte passes; the upstream is never asked.

The peer experiences a service that is down: the connection is made (the proxy listens) and at once reset (`rst`), closed
(`fin`) or left without any answer (`silence`). Connections that exist already go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Farewell, RefuseConnection
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Refuse(Fault):
    """New connections are turned away."""

    depth: ClassVar[Depth] = Depth.BYTES

    farewell: str = option("text", "how they are turned away", "rst", choices=tuple(Farewell), primary=True)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The refusal."""
        return (RefuseConnection(Farewell(self.farewell)),)
