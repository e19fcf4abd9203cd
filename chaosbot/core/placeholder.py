"""Requests that are kept without their secret: placeholders say which piece of it stood where.

A forger's case may carry only the beginning of a secret, or the whole in another letter case; replaying it needs exactly that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_PLACEHOLDER: Final = re.compile(rb"\{\{chaosbot:secret:(\d+):(\d+):(as-is|upper|lower|swap)\}\}")
_SHORTEST_PIECE: Final = 4
_CASES: Final[dict[str, Callable[[str], str]]] = {
    "as-is": str,
    "upper": str.upper,
    "lower": str.lower,
    "swap": str.swapcase,
}


def hide(data: bytes, secret: str) -> bytes:
    """The bytes without the secret and without its beginnings and ends."""
    if not secret:
        return data
    size = len(secret)
    shortest = min(size, max(_SHORTEST_PIECE, size // 2))
    for length in range(size, shortest - 1, -1):
        for start in {0, size - length}:
            for name, change in _CASES.items():
                piece = change(secret[start : start + length]).encode()
                if piece in data:
                    data = data.replace(piece, b"{{chaosbot:secret:%d:%d:%b}}" % (start, start + length, name.encode()))
    return data


def reveal(data: bytes, secret: str) -> bytes:
    """The bytes with the secret's pieces where they belong."""

    def piece(match: re.Match[bytes]) -> bytes:
        return _CASES[match[3].decode()](secret[int(match[1]) : int(match[2])]).encode()

    return _PLACEHOLDER.sub(piece, data)
