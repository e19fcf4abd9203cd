"""Reads the text of a file that a person wrote into plain tables, lists and values, whatever it holds.

Rules: every way in which a text can be wrong (no such file, another encoding, no TOML, YAML or JSON, too large, nested too deeply,
a number beyond all bounds, an alias that contains itself) is one `ConfigError` that names the file; nothing is executed and
nothing takes longer than its length explains.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from chaosbot.core.errors import MOST_SHOWN, ConfigError, brief
from chaosbot.core.jsontext import read_json
from chaosbot.files import MOST_DEPTH, check_extent, from_yaml, read_text


def exists(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


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
    check_extent(document, where)
    return document


def _one_line(error: Exception) -> str:
    """A parser's reason, without the copy of the text that some of them add."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 4 * MOST_SHOWN else f"{words[: 4 * MOST_SHOWN]}…"


def _from_json(text: str) -> Any:
    """What a JSON document holds; a key that is written twice is an error, as in TOML and YAML, since one of the two would not act."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"the key '{brief(name)}' is written twice")
            found[name] = value
        return found

    return read_json(text, table)


PARSERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    ".toml": ("TOML", tomllib.loads),
    ".yaml": ("YAML", from_yaml),
    ".yml": ("YAML", from_yaml),
    ".json": ("JSON", _from_json),
}
