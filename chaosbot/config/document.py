"""Reads the text of a file that a person wrote into plain tables, lists and values, whatever it holds.

Rules: every way in which a text can be wrong (no such file, another encoding, no TOML, YAML or JSON, too large, nested too deeply,
a number beyond all bounds, an alias that contains itself) is one `ConfigError` that names the file; nothing is executed and
nothing takes longer than its length explains.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from chaosbot.core.errors import MOST_SHOWN, ConfigError, UsageError

MOST_BYTES: Final = 4 << 20
"""Plans and experiments are written by people; a larger file is a mistake."""
MOST_DEPTH: Final = 64
"""No key of ours stands deeper than a few levels; a body's own value may."""


def exists(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """A file's text.

    Raises:
        UsageError: It cannot be read.
        ConfigError: It is too large, or no UTF-8.
    """
    name = str(path) if len(str(path)) <= MOST_SHOWN * 4 else f"{str(path)[:MOST_SHOWN]}…"
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{name}: cannot be read ({why}); name a file that exists") from None
    if len(data) > most:
        raise ConfigError(name, f"is larger than {most >> 20} MB; that is no file of chaosbot's")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(name, "is no UTF-8 text; save it as UTF-8") from None


def read_document(path: Path) -> Mapping[str, Any]:
    """Reads a TOML, YAML or JSON file as the table that it must be.

    Raises:
        UsageError: It cannot be read, or is no such file; the message begins with its path.
    """
    if path.suffix not in PARSERS:
        # What is not there is said first.
        read_text(path)
        raise ConfigError(str(path), f"'{path.suffix}' is no known kind of file; name it .toml, .yaml or .json")
    return parsed(read_text(path), path.suffix, str(path))


def parsed(text: str, suffix: str, where: str) -> Mapping[str, Any]:
    """Parses a text of the kind that a file's ending names.

    Raises:
        ConfigError: It is none, or holds no table; the message begins with `where`.
    """
    kind, parse = PARSERS[suffix]
    try:
        document = parse(text)
    except RecursionError:
        raise ConfigError(where, f"is nested too deeply; {MOST_DEPTH} levels are more than any key needs") from None
    except Exception as error:  # noqa: BLE001 - parsers raise many kinds for one reason: the text is wrong
        raise ConfigError(where, f"is no {kind}: {_one_line(error)}") from None
    if not isinstance(document, dict):
        raise ConfigError(where, 'holds no table; a plan has a list of "rules"')
    _check_depth(document, where)
    return document


def _one_line(error: Exception) -> str:
    """A parser's reason, without the copy of the text that some of them add."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 4 * MOST_SHOWN else f"{words[: 4 * MOST_SHOWN]}…"


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML  # noqa: PLC0415 - most files are TOML, and this takes a tenth of a second

    return YAML(typ="safe", pure=True).load(text)


PARSERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    ".toml": ("TOML", tomllib.loads),
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
    ".json": ("JSON", json.loads),
}


def _check_depth(document: object, where: str) -> None:
    """Refuses documents that are nested deeper than `MOST_DEPTH`, or that contain themselves."""
    deepest: dict[int, int] = {}
    waiting: list[tuple[object, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise ConfigError(where, f"is nested too deeply; {MOST_DEPTH} levels are more than any key needs")
        if not isinstance(value, (dict, list)) or deepest.get(id(value), -1) >= depth:
            continue
        deepest[id(value)] = depth
        waiting += [(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
