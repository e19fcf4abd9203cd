"""How every verb is declared: one command, help that is written as Markdown, and no options that are not its own."""

from __future__ import annotations

import typer


def verb() -> typer.Typer:
    """An empty command for one verb."""
    return typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
