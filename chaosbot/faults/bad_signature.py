"""The request's proof of origin is wrong: missing, changed, cut short or doubled.

The bot must refuse it (401 or 403) before it does any work. The default header is Telegram's secret token; platforms that sign
bodies use others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetHeader, Side
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option


@dataclass(frozen=True)
class BadSignature(Fault):
    """The secret header is wrong."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = "for requests to the webhook"

    how: str = option(
        "text", "what is wrong with it", "wrong", choices=("wrong", "missing", "prefix", "case", "double"), primary=True
    )
    header: str = option("text", "the header that carries the proof", "x-telegram-bot-api-secret-token")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One header."""
        real = next((value for name, value in exchange.headers if name.lower() == self.header.lower()), "")
        match self.how:
            case "missing":
                return (SetHeader(Side.REQUEST, self.header, None),)
            case "prefix":
                return (SetHeader(Side.REQUEST, self.header, real[:-1]),)
            case "case":
                swapped = real.swapcase()
                return (SetHeader(Side.REQUEST, self.header, swapped),) if swapped != real else ()
            case "double":
                return (SetHeader(Side.REQUEST, self.header, dice.token(24), add=True),)
            case _:
                return (SetHeader(Side.REQUEST, self.header, dice.token(max(8, len(real)))),)
