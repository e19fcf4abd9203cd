"""Which way a byte fault acts, as people write it."""

from __future__ import annotations

from typing import Any, Final

from chaosbot.core.effect import StreamDirection
from chaosbot.core.registry import option

WORDS: Final = ("up", "down", "both")


def stream_option(default: str = "down") -> Any:
    """The option `stream` of a byte fault."""
    help_line = "which bytes: up (to the server), down (to the client) or both"
    return option("text", help_line, default, choices=WORDS)


def streams_of(word: str) -> tuple[StreamDirection, ...]:
    """The directions that a word stands for."""
    return (StreamDirection.UP, StreamDirection.DOWN) if word == "both" else (StreamDirection(word),)
