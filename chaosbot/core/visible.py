"""Foreign text on a terminal: what a target, a client or a file says must not move the cursor, colour lines or turn their direction.

What cannot be seen is written as Python and JSON write it: a backslash and its number. Joiners, which emoji need, stay.
"""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
_BREAKS: Final = re.compile(r"[\t\n]")


def visible(text: str) -> str:
    """The text with its control characters and marks of direction written out; line breaks and tabs stay. In JSON it means the same."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(_written, text)


def one_line(text: str) -> str:
    """The same with line breaks and tabs written out as well, so that nobody else begins a line."""
    return text if text.isascii() and text.isprintable() else _BREAKS.sub(_named, visible(text))


def _written(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}"


def _named(found: re.Match[str]) -> str:
    return "\\n" if found[0] == "\n" else "\\t"
