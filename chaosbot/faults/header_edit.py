"""A header of the request or the answer is set, added or removed.

For everything that a registry cannot foresee: a missing Content-Type, an old API version, a second cookie. A bot experiences a
platform that changed what nobody had promised, a client an answer that its parser was never tried on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetHeader, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import SIDES


@dataclass(frozen=True)
class HeaderEdit(Fault):
    """One header changes."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    header: str = option("text", "the header's name", primary=True)
    value: str = option("text", "its new value", "")
    side: str = option("text", "request or response", "response", choices=SIDES)
    add: bool = option("flag", "keep the one that is there too", False)
    remove: bool = option("flag", "remove it instead", False)

    def __post_init__(self) -> None:
        """Refuses contradictions and names that are none."""
        if self.remove and (self.value or self.add):
            raise ValueError("remove excludes value and add; keep one")
        if not self.header or not set(self.header.lower()) <= set(
            "abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~"
        ):
            raise ValueError(f"{self.header!r} is no header name (RFC 9110, section 5.1)")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One header."""
        return (SetHeader(Side(self.side), self.header, None if self.remove else self.value, self.add),)
