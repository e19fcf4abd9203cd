"""Reads JSON that others wrote with one kind of error, however it is wrong.

The standard parser recurses: a text of brackets alone ends in a `RecursionError`, which nobody expects of a text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def read_json(text: str | bytes, table: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text holds; numbers of any size, NaN and halves of characters are taken, as most readers take them.

    Args:
        text: The text.
        table: Makes an object of its members, in their order; by default a dictionary.

    Raises:
        ValueError: It is no JSON, is nested too deeply to be read, or holds an integer with more digits than are read.
    """
    try:
        return json.loads(text, object_pairs_hook=table)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
