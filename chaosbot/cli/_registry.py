"""Prints a registry: a table of all entries, or one entry's page with its options."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chaosbot.core import units
from chaosbot.core.registry import Registry, describe, options_of


def _first_line(page: str) -> str:
    return page.split("\n\n", maxsplit=1)[0].replace("\n", " ")


def _flowing(page: str) -> str:
    """The page with its paragraphs unwrapped, for the terminal to wrap anew; lists keep their lines."""
    paragraphs = (part if "\n- " in f"\n{part}" else part.replace("\n", " ") for part in page.split("\n\n"))
    return "\n\n".join(paragraphs)


SAMPLES: Final = {"duration": "250ms", "size": "64KiB", "frequency": "100/s", "share": "0.1", "count": "3"}


def _usage(name: str, entry: type[Any]) -> str:
    """The entry as a person would write it: its name, with a value where one is required."""
    for field in options_of(entry):
        if field.metadata["primary"]:
            sample = (field.metadata["choices"] or (SAMPLES.get(field.metadata["kind"], "VALUE"),))[0]
            return f"{name}:{sample}" if field.default is dataclasses.MISSING else name
    return name


def _default(field: Any) -> str:
    value = field.default
    kind = field.metadata["kind"]
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value == "":
        return "–"
    if kind == "duration":
        return units.format_duration(value)
    if kind == "size":
        return units.format_size(value)
    return str(value)


def show_registry(registry: Registry[Any], name: str | None, example: str, column: str | None = None) -> None:
    """Prints all entries of a registry, or the page of one.

    Args:
        registry: The registry.
        name: An entry; None for all.
        example: How an entry is used on the command line; ``{name}`` stands for its name.
        column: A class attribute to show beside each name.
    """
    console = Console(emoji=False)
    if name is None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(registry.kind, no_wrap=True)
        if column:
            table.add_column(column, no_wrap=True)
        table.add_column("what it does")
        for entry_name in registry.names():
            entry = registry.get(entry_name)
            cells = [
                entry_name,
                *([str(getattr(entry, column, ""))] if column else []),
                escape(_first_line(describe(entry))),
            ]
            table.add_row(*cells)
        console.print(table)
        return
    entry = registry.get(name)
    console.print(f"[bold]{escape(name)}[/]\n")
    console.print(escape(_flowing(describe(entry))))
    if options := options_of(entry):
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
        for heading in ("option", "kind", "default", "meaning"):
            table.add_column(heading, no_wrap=heading != "meaning")
        for field in options:
            choices = f" ({', '.join(field.metadata['choices'])})" if field.metadata["choices"] else ""
            table.add_row(field.name, field.metadata["kind"], _default(field), escape(field.metadata["help"] + choices))
        console.print()
        console.print(table)
    console.print(f"\nUse it: [bold]{escape(example.format(name=_usage(name, entry)))}[/]")
