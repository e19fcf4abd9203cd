"""The update's text is no longer the text that it was: broken UTF-8, a lone surrogate, a byte order mark …

Emoji are four bytes and surrogate pairs in JSON; they are what breaks first. The right answer to bytes that are no JSON is a 400,
soon; to a lone surrogate, to survive it (many databases and every UTF-8 encoder refuse it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetBody, Side
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import DELIVERIES, is_delivery

WAYS: Final = ("invalid_utf8", "cut_character", "lone_surrogate", "bom", "latin1", "utf16", "nul")


def damaged(body: bytes, how: str, dice: Dice) -> tuple[Effect, ...]:
    """The body, damaged in this way; nothing when it has no place for it (no JSON string, no text)."""
    # A place inside a JSON string: right after a quotation mark that opens a value.
    places = [at + 2 for at in range(len(body) - 1) if body[at : at + 2] == b':"']
    spaced = [at + 3 for at in range(len(body) - 2) if body[at : at + 3] == b': "']
    places += spaced
    match how:
        case "bom":
            return (SetBody(Side.REQUEST, b"\xef\xbb\xbf" + body),)
        case "latin1" | "utf16":
            try:
                text = body.decode()
            except UnicodeDecodeError:
                return ()
            new = text.encode("utf-16") if how == "utf16" else text.encode("latin-1", "replace")
            return (SetBody(Side.REQUEST, new),) if new != body else ()
        case _:
            if not places:
                return ()
            place = dice.choice(places)
            piece = {
                "invalid_utf8": b"\xff\xfe",
                "cut_character": "🦀".encode()[:3],
                "lone_surrogate": b"\\ud83e",
                "nul": b"\\u0000",
            }[how]
            return (SetBody(Side.REQUEST, body[:place] + piece + body[place:]),)


@dataclass(frozen=True)
class EncodingDamage(Fault):
    """The update's bytes are damaged."""

    depth: ClassVar[Depth] = Depth.UPDATE
    direction: ClassVar[Direction | None] = Direction.INBOUND
    possible_when: ClassVar[str] = DELIVERIES

    how: str = option("text", "what is damaged", "invalid_utf8", choices=WAYS, primary=True)

    def possible(self, exchange: Exchange) -> bool:
        """A delivery."""
        return is_delivery(exchange)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The request with another body."""
        return damaged(exchange.body, self.how, dice)
