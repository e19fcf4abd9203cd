"""What calls of language models cost, in US dollars a million tokens.

`USUAL` are examples, list prices as of November 2026, and no offer: providers change them, and contracts have their own. People's own
prices stand in an experiment's table ``prices``, or in a file that ``--llm-prices`` names, and come before them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from chaosbot.core.errors import ConfigError
from chaosbot.core.event import ModelCalled

Prices = Mapping[str, tuple[float, float]]
"""Globs over models' names with what a million tokens cost that are sent and that are written; the first that fits counts."""

USUAL: Final[Prices] = {
    "claude-opus-*": (5.0, 25.0),
    "claude-sonnet-*": (3.0, 15.0),
    "claude-haiku-*": (1.0, 5.0),
    "gpt-5*-nano*": (0.05, 0.4),
    "gpt-5*-mini*": (0.25, 2.0),
    "gpt-*": (1.75, 14.0),
    "gemini-*-flash*": (0.3, 2.5),
    "gemini-*": (2.0, 12.0),
    "text-embedding-*": (0.02, 0.0),
    "*": (3.0, 15.0),
}


def cost_of(call: ModelCalled, prices: Prices = USUAL) -> float:
    """What a call costs, in US dollars; one that was refused costs nothing, one of which nothing came back what was sent."""
    if call.status is not None and call.status >= 400:
        return 0.0
    given, written = price_of(call.model, prices)
    return (call.input_tokens * given + call.output_tokens * written) / 1e6


def price_of(model: str, prices: Prices = USUAL) -> tuple[float, float]:
    """What a million tokens of a model cost that are sent and that are written; zero where no entry fits."""
    return next((price for glob, price in prices.items() if fnmatchcase(model, glob)), (0.0, 0.0))


def prices_with(own: Prices, others: Prices = USUAL) -> dict[str, tuple[float, float]]:
    """People's own prices before others."""
    return {**own, **others, **own}  # the first that fits counts, at its own price where both have it


def prices_in(settings: Mapping[str, Any]) -> Prices:
    """The prices of a run, by its settings."""
    told = settings.get("prices")
    return prices_with(prices_of(told) if isinstance(told, Mapping) else {})


def prices_of(document: Mapping[str, Any], where: str = "prices") -> dict[str, tuple[float, float]]:
    """A table of prices as people write it: ``"claude-haiku-*" = [1.0, 5.0]``.

    Raises:
        ConfigError: An entry is no pair of prices.
    """
    found = {}
    for glob, price in document.items():
        pair = price if isinstance(price, (list, tuple)) else ()
        if len(pair) != 2 or not all(
            isinstance(one, (int, float)) and type(one) is not bool and 0 <= one < math.inf for one in pair
        ):
            raise ConfigError(where, f"'{glob}' must be [price sent, price written], dollars a million tokens")
        found[glob] = (float(pair[0]), float(pair[1]))
    return found
