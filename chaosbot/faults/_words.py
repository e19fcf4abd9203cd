"""Words that several faults of the registry share in their options."""

from __future__ import annotations

from typing import Any, Final

from chaosbot.core.effect import Farewell, Point, Shape, Side, StreamDirection
from chaosbot.core.exchange import Direction, Exchange
from chaosbot.core.registry import option

POINTS: Final = tuple(str(point) for point in Point)
ENDS: Final = tuple(str(farewell) for farewell in Farewell)
SIDES: Final = tuple(str(side) for side in Side)
SHAPES: Final = tuple(str(shape) for shape in Shape)
STREAMS: Final = ("both", *(str(stream) for stream in StreamDirection))


def stream_of(word: str) -> StreamDirection | None:
    """The direction that an option names; None for ``both``."""
    return None if word == "both" else StreamDirection(word)


def stream_option(default: str = "down") -> Any:
    """The option `stream` of a byte fault."""
    help_line = "which bytes: up (to the server), down (to the client) or both"
    return option("text", help_line, default, choices=("up", "down", "both"))


def streams_of(word: str) -> tuple[StreamDirection, ...]:
    """The directions that a word stands for."""
    return (StreamDirection.UP, StreamDirection.DOWN) if word == "both" else (StreamDirection(word),)


DELIVERIES: Final = (
    "for deliveries to the webhook (POST requests); health checks and other requests are never sent again or changed"
)


def is_delivery(exchange: Exchange) -> bool:
    """Whether a platform's sender could have sent it: platforms deliver by POST."""
    return exchange.direction is Direction.INBOUND and exchange.method.upper() == "POST"
