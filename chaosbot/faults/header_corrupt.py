"""A header's value becomes bytes that are no ASCII.

HTTP allows them (RFC 9110, section 5.5, "obs-text") and many programs decode them as if they were UTF-8. A secret header with a
non-ASCII byte made one framework answer 500 before it checked who was asking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetHeader, Side
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import SIDES

_MOST: Final = 1 << 20


@dataclass(frozen=True)
class HeaderCorrupt(Fault):
    """A header's value becomes noise."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    header: str = option("text", "the header's name", "content-type", primary=True)
    side: str = option("text", "request or response", "response", choices=SIDES)
    size: int = option("count", "length of the new value", 12)

    def __post_init__(self) -> None:
        """Refuses a value that no server would hold."""
        if self.size > _MOST:
            raise ValueError(f"size must be at most {_MOST} bytes; a body of any length is huge_body's")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One header of high bytes, drawn from the dice."""
        noise = "".join(chr(0x80 | byte) for byte in dice.data(max(1, self.size)))
        return (SetHeader(Side(self.side), self.header, noise),)
