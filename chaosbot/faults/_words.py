"""Words that several faults of the shelf share in their options."""

from __future__ import annotations

from typing import Final

from chaosbot.model.effect import Direction, Farewell, Point, Shape, Side

POINTS: Final = tuple(str(point) for point in Point)
ENDS: Final = tuple(str(farewell) for farewell in Farewell)
SIDES: Final = tuple(str(side) for side in Side)
SHAPES: Final = tuple(str(shape) for shape in Shape)
DIRECTIONS: Final = ("both", *(str(direction) for direction in Direction))


def direction_of(word: str) -> Direction | None:
    """The direction that an option names; None for ``both``."""
    return None if word == "both" else Direction(word)
