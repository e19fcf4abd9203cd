"""The console that verbs print on: as wide as the terminal, and without an end where there is none.

Whatever is printed, here or by `echo`, shows control characters written out: much of it was said by a target.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import IO, Any, Final, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from chaosbot.core.visible import one_line, visible

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


class _VisibleConsole(Console):
    """A console on which foreign text moves no cursor and sets no colour; its own control codes are no text."""

    def render_str(self, text: str, **more: Any) -> Text:
        """A string's text; a cell is as wide as what is shown of it."""
        return super().render_str(visible(text), **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments, with what cannot be seen in them written out."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else visible(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)


def escape_line(text: str) -> str:
    """Foreign text as one line of markup."""
    return escape(one_line(text))


def echo(text: str, *, err: bool = False) -> None:
    """Prints a text, which may hold foreign ones, with what cannot be seen written out."""
    typer.echo(visible(text), err=err)


def make_console(*, stderr: bool = False, **more: Any) -> Console:
    """A console for standard output, or for standard error; ``COLUMNS`` in the environment says how wide, where it is set."""
    made = _VisibleConsole(stderr=stderr, emoji=False, **more)
    if not made.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        made.width = UNWRAPPED
        made.file = cast("IO[str]", _Unpadded(made.file))
    return made
