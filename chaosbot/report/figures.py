"""Figures as people read them, the same in every renderer."""

from __future__ import annotations

import re
from typing import Final

from chaosbot.core.verdict import Assertion

_UNIT: Final = re.compile(r"[<>]?=?\s*[-+]?[\d.,]+(?:e[-+]?\d+)?\s*(?P<unit>\S.*)?", re.IGNORECASE | re.DOTALL)


def shown(value: float | None) -> str:
    """A figure as people read it."""
    if value is None:
        return "unknown"
    # Adding 0.0 turns a minus zero into a plain one.
    return f"{value + 0.0:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def measured(assertion: Assertion) -> str:
    """What was observed, in the unit of its bound."""
    if assertion.observed is None:
        return "unknown"
    match = _UNIT.fullmatch(assertion.target.strip())
    return f"{shown(assertion.observed)} {match['unit'] if match and match['unit'] else ''}".strip()
