"""Registries: one entry per file, found by its name, documented by its docstring, configured by its fields.

Rules:

- A file on a registry holds exactly one public class that derives from the registry's base; the file's name is the entry's name.
- The class is a frozen dataclass whose fields carry their unit (`option`); command line, plan files and ``--help`` texts
  derive from that, so an option is described once.
- Third parties add entries through an entry point group of the registry's name (``chaosbot.faults`` …); a name that is
  already taken by a file is refused, so nobody replaces a built-in fault unnoticed.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName, shown

E = TypeVar("E")


def _flag(value: object) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise ConfigError("", f"{shown(value)} is neither true nor false")
    return words[str(value).lower()]


def _count(value: object) -> int:
    if isinstance(value, bool) or not (
        isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+").isdecimal())
    ):
        raise ConfigError("", f"{shown(value)} is not a count; write a whole number of at least 0")
    number = int(value)
    if number < 0:
        raise ConfigError("", f"{shown(value)} is negative; a count is at least 0")
    if number > units.MOST:
        raise ConfigError("", f"{shown(value)} is beyond all bounds; write a smaller count")
    return number


def _number(value: object) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)  # type: ignore[arg-type]
        if not math.isfinite(number):
            raise ValueError
        return number
    except (TypeError, ValueError):
        raise ConfigError("", f"{shown(value)} is not a number") from None


def _text(value: object) -> str:
    if isinstance(value, (dict, list)):
        raise ConfigError("", f"{shown(value)} is not a text")
    return str(value)


KINDS: Final[Mapping[str, Callable[[object], Any]]] = {
    "duration": units.duration,
    "size": units.size,
    "frequency": units.frequency,
    "share": units.share,
    "count": _count,
    "number": _number,
    "flag": _flag,
    "text": _text,
    "json": lambda value: value,
}
"""How each kind of option is read from what a person wrote."""


def option(
    kind: str, help: str, default: Any = dataclasses.MISSING, *, choices: tuple[str, ...] = (), primary: bool = False
) -> Any:
    """Declares one option of a registry entry: a dataclass field that knows its unit and its help line.

    Args:
        kind: One of `KINDS`.
        help: One line: what it does, with its unit where the kind does not say it.
        default: The value in code's units (seconds, bytes, 0..1); without one the option is required.
        choices: The words allowed, for kind ``text``.
        primary: Whether ``name:VALUE`` on the command line sets this option; the second primary takes what follows ``±``.
    """
    if kind not in KINDS:
        raise ValueError(f"option kind {kind!r} is none of {', '.join(KINDS)}")
    metadata = {"kind": kind, "help": help, "choices": choices, "primary": primary}
    return dataclasses.field(default=default, metadata=metadata)


def options_of(entry: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    """The options of a registry entry, in the order of declaration."""
    if not dataclasses.is_dataclass(entry):
        return ()
    return tuple(field for field in dataclasses.fields(entry) if "kind" in field.metadata)


def name_of(entry: type[Any]) -> str:
    """The entry's name: the file that it lives in."""
    return entry.__module__.rpartition(".")[2]


def describe(entry: type[Any]) -> str:
    """The entry's page: the docstring of its file, or else of its class, and when it can happen where it says so."""
    module = inspect.getmodule(entry)
    page = inspect.cleandoc((module.__doc__ if module else None) or entry.__doc__ or "")
    when = getattr(entry, "possible_when", "")
    return f"{page}\n\nPossible {when}." if when else page


def read_options(entry: type[E], values: Mapping[str, object]) -> E:
    """Builds an entry from what a person wrote; values that are texts carry units.

    Raises:
        ConfigError: An unknown option, a missing one, a wrong unit, or a combination that the entry refuses. `where` is the
            option's name.
    """
    fields = {field.name: field for field in options_of(entry)}
    built: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise ConfigError(name_of(entry), f"the option {shown(name)} is no text; put it in quotes")
        key = name.replace("-", "_")
        if key not in fields:
            raise UnknownName.of(f"option of {name_of(entry)}", name, fields, where=name)
        metadata = fields[key].metadata
        try:
            built[key] = KINDS[metadata["kind"]](value)
        except ConfigError as error:
            raise error.inside(name) from None
        except (ValueError, OverflowError):  # a number with more digits than Python reads or writes
            raise ConfigError(name, f"{shown(value)} is beyond all bounds") from None
        if metadata["choices"] and built[key] not in metadata["choices"]:
            raise UnknownName.of(f"choice for {name}", str(value), metadata["choices"], where=name)
    for name, field in fields.items():
        if name not in built and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(
                "", f"{name_of(entry)} lacks its option '{name}' ({field.metadata['help']}); {_remedy(entry, field)}"
            )
    try:
        return entry(**built)
    except ValueError as error:
        raise ConfigError(name_of(entry), str(error)) from None


def _remedy(entry: type[Any], field: dataclasses.Field[Any]) -> str:
    """How an option that lacks is written."""
    value = {"duration": "250ms", "size": "64KiB", "frequency": "100/s", "share": "0.1", "count": "3"}.get(
        field.metadata["kind"], (field.metadata["choices"] or ("VALUE",))[0]
    )
    inline = f"{name_of(entry)}:{value}" if field.metadata["primary"] else f"{name_of(entry)};{field.name}={value}"
    return f"write {inline}, or {field.name} = {value!r} among a file's options"


class Registry(Generic[E]):
    """All entries of one kind.

    Args:
        package: The folder's import name, which is also the entry point group.
        base: What every entry derives from.
        kind: One word for error messages (``fault``).
        skip: Files of the folder that are no entries.
    """

    def __init__(self, package: str, base: type[E], kind: str, *, skip: frozenset[str] = frozenset()) -> None:
        self.package = package
        self.base = base
        self.kind = kind
        self.skip = skip

    @cached_property
    def _files(self) -> tuple[str, ...]:
        names = (info.name for info in pkgutil.iter_modules(importlib.import_module(self.package).__path__))
        return tuple(sorted(name for name in names if not name.startswith("_") and name not in self.skip))

    def _find(self, name: object) -> type[E] | None:
        """The class behind a name; the others are not imported for one of the folder's own."""
        if "_entries" not in vars(self) and isinstance(name, str) and name in self._files:
            return self._class_in(f"{self.package}.{name}")
        return self._entries.get(str(name))

    @cached_property
    def _entries(self) -> dict[str, type[E]]:
        found = {name: self._class_in(f"{self.package}.{name}") for name in self._files}
        from importlib.metadata import entry_points  # noqa: PLC0415 - 2 MB that a byte pipe never needs

        for point in sorted(entry_points(group=self.package), key=lambda point: point.name):
            if point.name in found:
                raise ConfigError(
                    f"entry point {point.value}", f"the {self.kind} '{point.name}' exists already; choose another name"
                )
            loaded = point.load()
            if not (inspect.isclass(loaded) and issubclass(loaded, self.base)):
                raise ConfigError(
                    f"entry point {point.value}", f"is no {self.kind}; it must derive from {self.base.__qualname__}"
                )
            if name_of(loaded) != point.name:
                raise ConfigError(
                    f"entry point {point.value}",
                    f"is called '{point.name}' and its file '{name_of(loaded)}'; an entry is named by its file, so call both alike",
                )
            found[point.name] = loaded
        return found

    def _class_in(self, module_name: str) -> type[E]:
        module = importlib.import_module(module_name)
        classes = [
            value
            for name, value in vars(module).items()
            if inspect.isclass(value)
            and issubclass(value, self.base)
            and value.__module__ == module_name
            and not name.startswith("_")
        ]
        if len(classes) != 1:
            raise TypeError(
                f"{module_name} holds {len(classes)} {self.kind} classes; a file on this registry holds exactly one"
            )
        return classes[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._entries))

    def get(self, name: str) -> type[E]:
        """The class behind a name; hyphens count as underscores.

        Raises:
            UnknownName: With the nearest name and the list of all.
        """
        entry = self._find(name.replace("-", "_"))
        if entry is None:
            raise UnknownName.of(self.kind, name, self._entries)
        return entry

    def build(self, name: str, values: Mapping[str, object] | None = None) -> E:
        """Builds the entry of this name with these options (`read_options`)."""
        return read_options(self.get(name), values or {})
