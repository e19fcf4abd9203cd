"""Ways in which the bytes of a JSON text can be damaged."""

from __future__ import annotations

from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetBody, Side

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
