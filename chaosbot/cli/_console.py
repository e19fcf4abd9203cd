"""The console that verbs print on: as wide as the terminal, and without an end where there is none."""

from __future__ import annotations

import os
import re
from typing import IO, Any, Final, cast

from rich.console import Console

UNWRAPPED: Final = 4000
"""Columns of a file or a pipe: what reads it wants a line to be a line."""


_PADDING: Final = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)


class _Unpadded:
    """A stream that leaves out the spaces with which tables fill their lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes lines as far as they say something."""
        return self._stream.write(_PADDING.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_console(*, stderr: bool = False, **more: Any) -> Console:
    """A console for standard output, or for standard error; ``COLUMNS`` in the environment says how wide, where it is set."""
    made = Console(stderr=stderr, emoji=False, **more)
    if not made.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        made.width = UNWRAPPED
        made.file = cast("IO[str]", _Unpadded(made.file))
    return made
