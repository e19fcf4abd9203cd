"""Prints a registry: a table of all entries, or one entry's page with its options."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from chaosbot.cli._console import make_console
from chaosbot.core import units
from chaosbot.core.registry import Registry, describe, options_of


def _first_line(page: str) -> str:
    return page.split("\n\n", maxsplit=1)[0].replace("\n", " ")


def _flowing(page: str) -> str:
    """The page with its paragraphs unwrapped, for the terminal to wrap anew; lists and tables keep their lines."""
    paragraphs = (
        part if "\n- " in f"\n{part}" or part.startswith("|") else part.replace("\n", " ")
        for part in page.split("\n\n")
    )
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


def _described(name: str, entry: type[Any], column: str | None) -> dict[str, Any]:
    """An entry as JSON: what it does and its options; defaults are written as a person would write them."""
    options = [
        {
            "name": field.name,
            "kind": field.metadata["kind"],
            "required": field.default is dataclasses.MISSING,
            "default": None if field.default in (dataclasses.MISSING, None, "") else _default(field),
            "choices": list(field.metadata["choices"] or ()),
            "help": field.metadata["help"],
        }
        for field in options_of(entry)
    ]
    extra = {column: str(getattr(entry, column, ""))} if column else {}
    return {"name": name, **extra, "about": _first_line(describe(entry)), "page": describe(entry), "options": options}


def show_registry(
    registry: Registry[Any], name: str | None, example: str, column: str | None = None, *, as_json: bool = False
) -> None:
    """Prints all entries of a registry, or the page of one.

    Args:
        registry: The registry.
        name: An entry; None for all.
        example: How an entry is used on the command line; ``{name}`` stands for its name.
        column: A class attribute to show beside each name.
        as_json: Print JSON: a list, or one object where `name` says which.
    """
    if as_json:
        one = None if name is None else _described(name, registry.get(name), column)
        every = [_described(each, registry.get(each), column) for each in registry.names()] if one is None else one
        typer.echo(json.dumps(every, indent=2, ensure_ascii=False))
        return
    console = make_console()
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
