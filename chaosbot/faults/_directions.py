"""Which way a byte fault acts, as people write it."""

from __future__ import annotations

from typing import Any, Final

from chaosbot.model.effect import Direction
from chaosbot.model.shelf import option

WORDS: Final = ("up", "down", "both")


def direction_option(default: str = "down") -> Any:
    """The option `direction` of a byte fault."""
    help_line = "which bytes: up (to the server), down (to the client) or both"
    return option("text", help_line, default, choices=WORDS)


def directions(word: str) -> tuple[Direction, ...]:
    """The directions that a word stands for."""
    return (Direction.UP, Direction.DOWN) if word == "both" else (Direction(word),)
