"""What may stand in a file: one declaration of each key gives its reader, its errors and its JSON Schema.

Rules:

- A `Table` is a set of named keys; a `Key` has a kind, a help line and a default. What a kind reads and what it says of itself in
  the schema stand side by side, so neither knows a key, a word or a bound that the other does not.
- Nothing is ignored (an unknown key is an error that offers the nearest one) and nothing is changed while it is read.
- A hyphen in a key counts as an underscore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName, shown
from chaosbot.core.registry import Registry, options_of

FILES: Final = (".toml", ".yaml", ".yml", ".json")
NUMBER: Final = r"\s*(\d[\d_ ]*(\.\d+)?|\.\d+)\s*"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key's value may be.

    Args:
        read: Reads the value; gets where it stands, which errors begin with.
        schema: Makes its JSON Schema.
    """

    read: Callable[[Any, str], Any]
    schema: Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    Args:
        kind: What its value may be.
        help: What it does, in one line.
        default: What holds when it is absent.
        required: Whether it must be there, for the schema; the reader of the table says it in its own words.
    """

    kind: Kind
    help: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table of keys.

    Args:
        about: What it is, in one line.
        keys: Its keys.
    """

    about: str
    keys: Mapping[str, Key]

    def read(self, values: object, where: str) -> dict[str, Any]:
        """Every key's value, read; defaults where a key is absent.

        Raises:
            ConfigError: Naming the key, what is wrong with it and what to do.
        """
        given: dict[str, Any] = {}
        for name, value in checked_table(values, where).items():
            key = name.replace("-", "_")
            if key not in self.keys:
                raise UnknownName.of("key", short(name), self.keys, where=at(where, short(name)))
            if key in given:
                raise ConfigError(at(where, key), "is given twice; keep one")
            given[key] = self.keys[key].kind.read(value, at(where, key))
        return {name: given.get(name, key.default) for name, key in self.keys.items()}

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        properties = {name: {**key.kind.schema(), "description": key.help} for name, key in self.keys.items()}
        required = [name for name, key in self.keys.items() if key.required]
        return {
            "description": self.about,
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            **({"required": required} if required else {}),
        }


def at(where: str, key: str) -> str:
    """A key's place below another: ``file.toml: key``, ``file.toml: table.key``."""
    if not where:
        return key
    return f"{where}: {key}" if where.endswith(FILES) or where.startswith("--") else f"{where}.{key}"


def short(name: str) -> str:
    """A key as an error shows it."""
    return name if len(name) <= 60 and name.isprintable() else f"{ascii(name)[1:40]}…"


def checked_table(values: object, where: str, what: str = "write keys with values") -> dict[str, Any]:
    """A table whose keys are texts.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(where, f"is no table but {shown(values)}; {what}")
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(where, f"the key {shown(key)} is no text; put it in quotes")
    return dict(values)


def _leaf(read: Callable[[Any], Any], schema: Mapping[str, Any]) -> Kind:
    def located(value: Any, where: str) -> Any:
        try:
            return read(value)
        except ConfigError as error:
            raise error.inside(where) from None
        except (ValueError, OverflowError) as error:
            raise ConfigError(where, str(error)) from None

    return Kind(located, lambda: dict(schema))


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError("", f"{shown(value)} is no text; put it in quotes")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("", f"{shown(value)} is neither true nor false")
    return value


TEXT: Final = _leaf(_text, {"type": "string"})
FLAG: Final = _leaf(_flag, {"type": "boolean"})


def text_that(read: Callable[[str], Any], **schema: Any) -> Kind:
    """A text that a reader understands; the value is what the reader makes of it."""
    return _leaf(lambda value: read(_text(value)), {"type": "string", **schema})


def whole(least: int = 0, most: int = 2**53, *, from_text: bool = False) -> Kind:
    """A whole number between two bounds; `from_text` takes its digits as text too, as options carry them."""

    def read(value: object) -> int:
        if from_text and isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bound = (
                f"of at least {least}"
                if isinstance(value, bool) or not isinstance(value, int) or value < least
                else f"of at most {most}"
            )
            raise ConfigError("", f"{shown(value)} is no whole number {bound}")
        return value

    number = {"type": "integer", "minimum": least, "maximum": most}
    return _leaf(read, {"anyOf": [number, {"type": "string", "pattern": r"^\s*\d+\s*$"}]} if from_text else number)


def count() -> Kind:
    """A number of matches, at least 1."""

    def read(value: object) -> int:
        digits = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
        if not digits.isdecimal() or not digits.isascii() or len(digits) > 15 or int(digits) < 1:
            raise ConfigError("", f"{shown(value)} is not a count; write a whole number of at least 1")
        return int(digits)

    number = {"type": "integer", "minimum": 1, "maximum": 10**15 - 1}
    return _leaf(read, {"anyOf": [number, {"type": "string", "pattern": r"^\s*0*[1-9]\d*\s*$"}]})


def _unit_schema(names: Iterable[str]) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{NUMBER}({'|'.join(sorted(names, key=len, reverse=True))})"}


DURATION: Final = _leaf(
    units.duration,
    {
        "anyOf": [
            {**_unit_schema(units.DURATION_UNITS), "examples": ["250ms", "1.5s", "1h30m"]},
            {"const": 0},
            {"const": "0"},
        ],
    },
)
FREQUENCY: Final = _leaf(units.frequency, {**_unit_schema(units.FREQUENCY_UNITS), "examples": ["100/s", "30/min"]})
SHARE: Final = _leaf(
    units.share,
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": f"^{NUMBER}%?\\s*$", "examples": ["30%", "0.3"]},
        ]
    },
)


def _statuses(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list) else [value]
    return units.statuses(str(one) if type(one) is int and 0 <= one < 1000 else _text(one) for one in items)


_STATUS: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^[1-5]([0-9]{2}|[xX]{2})$"},
    ]
}
STATUSES: Final = _leaf(_statuses, {"anyOf": [*_STATUS["anyOf"], {"type": "array", "items": _STATUS}]})


def choice(kind: str, words: Sequence[str] | type[StrEnum]) -> Kind:
    """One of some words; an enumeration gives its member."""
    known = [str(word) for word in words]

    def read(value: object) -> Any:
        if not isinstance(value, str) or value not in known:
            raise UnknownName.of(kind, value if isinstance(value, str) else shown(value), known)
        return words(value) if isinstance(words, type) else value

    return _leaf(read, {"enum": known})


def named(registry: Registry[Any]) -> Kind:
    """The name of an entry of a registry."""

    def read(value: object) -> str:
        name = _text(value)
        registry.get(name)
        return name

    located = _leaf(read, {}).read
    return Kind(located, lambda: {"enum": list(registry.names())})


def listed(item: Kind) -> Kind:
    """A list of values, or one value alone."""

    def read(value: object, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            return (item.read(value, where),)
        return tuple(item.read(one, f"{where}[{number}]") for number, one in enumerate(value))

    return Kind(read, lambda: {"anyOf": [item.schema(), {"type": "array", "items": item.schema()}]})


def either(first: Kind, second: Kind, is_first: Callable[[object], bool]) -> Kind:
    """One of two kinds, told apart by the value."""
    return Kind(
        lambda value, where: (first if is_first(value) else second).read(value, where),
        lambda: {"anyOf": [first.schema(), second.schema()]},
    )


def _condition(value: Any, where: str) -> str:
    """A condition's value as a matcher compares it: JSON's own spelling of true, false and null."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, (str, int, float)) or value == "":
        raise ConfigError(where, f"{shown(value)} is not a text")
    try:
        return str(value)
    except ValueError:
        raise ConfigError(where, f"{shown(value)} is not a text") from None


WORD: Final = Kind(
    lambda value, where: None if value is None else _word(value, where),
    lambda: {"type": ["string", "integer", "number", "null"], "minLength": 1},
)
"""A text that may be written as a number, such as a user's id."""
CONDITIONS: Final = Kind(
    lambda value, where: tuple(
        (name, _condition(item, f"{where}.{short(name)}"))
        for name, item in checked_table(value, where, "write name = value for each condition").items()
    ),
    lambda: {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean", "null"], "minLength": 1},
    },
)
"""Names with the values that they must have."""
OPTIONS: Final = Kind(
    lambda value, where: checked_table(value, where, "write options = {name = …}"), lambda: {"type": "object"}
)
"""Options of an entry of a registry, read by that entry (`schema_of_options`)."""


def _word(value: Any, where: str) -> str:
    if isinstance(value, bool):
        raise ConfigError(where, f"{shown(value)} is not a text")
    return _condition(value, where)


def table(content: Table) -> Kind:
    """A table of its own."""
    return Kind(content.read, content.schema)


# ── the options of a registry's entries ──────────────────────────────────────────────────────────────────────────────


_OPTION_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "duration": DURATION.schema(),
    "frequency": FREQUENCY.schema(),
    "share": SHARE.schema(),
    "size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "examples": ["64KiB", "10MB"]}]},
    "count": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\s*\+?\d+\s*$"}]},
    "number": {"type": ["number", "string"]},
    "flag": {"type": ["boolean", "string", "integer"]},
    "text": {"type": ["string", "number", "boolean", "null"]},
    "json": {},
}


def schema_of_options(entry: type[Any]) -> dict[str, Any]:
    """The JSON Schema of the options of one entry of a registry."""
    properties = {}
    for field in options_of(entry):
        kind, choices = field.metadata["kind"], field.metadata["choices"]
        said = {"enum": list(choices)} if choices else dict(_OPTION_SCHEMAS[kind])
        properties[field.name] = {**said, "description": field.metadata["help"]}
    hyphens = {name.replace("_", "-"): value for name, value in properties.items()}
    return {"type": "object", "additionalProperties": False, "properties": {**hyphens, **properties}}
