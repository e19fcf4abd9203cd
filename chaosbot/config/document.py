"""Reads what people write key by key, so that every error names file, key, rule and remedy.

Rules: nothing is ignored (an unknown key is an error that offers the nearest known one) and nothing is changed while it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

from chaosbot.core.errors import ConfigError, UnknownName

T = TypeVar("T")


class Section:
    """A mapping that is read key by key; what is left over at the end is an error.

    Use it as a context manager: leaving the block without an error checks that every key was read.

    Args:
        values: The mapping.
        where: The file and key that it stands at.
    """

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(where, f"{values!r} is no mapping; write keys with values")
        self.where = where
        self._values = {str(key): value for key, value in values.items()}
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None:
            self.finish()

    def _at(self, name: str) -> str:
        separator = ": " if self.where.endswith((".toml", ".yaml", ".yml", ".json")) else "."
        return f"{self.where}{separator}{name}" if self.where else name

    def _find(self, name: str) -> tuple[bool, Any]:
        self._known.add(name)
        for spelling in (name, name.replace("_", "-")):
            if spelling in self._values:
                return True, self._values[spelling]
        return False, None

    def has(self, name: str) -> bool:
        """Whether the key is there."""
        return self._find(name)[0]

    def take(self, name: str, reader: Callable[[Any], T], default: T) -> T:
        """The key's value, read; the default when it is absent."""
        there, value = self._find(name)
        if not there:
            return default
        try:
            return reader(value)
        except ConfigError as error:
            raise error.inside(self._at(name)) from None
        except ValueError as error:
            raise ConfigError(self._at(name), str(error)) from None

    def section(self, name: str) -> Section:
        """The mapping below this key; empty when it is absent."""
        there, value = self._find(name)
        return Section(value if there else {}, self._at(name))

    def rest(self) -> dict[str, Any]:
        """All keys that nobody has read yet; they count as read now."""
        left = {key: value for key, value in self._values.items() if key.replace("-", "_") not in self._known}
        self._known |= {key.replace("-", "_") for key in left}
        return left

    def items(self, name: str) -> Iterator[tuple[str, Any]]:
        """The list below this key, each item with where it stands; nothing when it is absent."""
        there, value = self._find(name)
        if there and not isinstance(value, list):
            raise ConfigError(self._at(name), f"{value!r} is no list")
        for number, item in enumerate(value if there else ()):
            yield f"{self._at(name)}[{number}]", item

    def finish(self) -> None:
        """Refuses keys that nobody has read."""
        for key in self._values:
            if key.replace("-", "_") not in self._known:
                raise UnknownName.of("key", key, self._known, where=self._at(key))


def text(value: object) -> str:
    """A text, as it is."""
    if not isinstance(value, str):
        raise ConfigError("", f"{value!r} is no text; put it in quotes")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise ConfigError("", f"{value!r} is no list of texts")
    return tuple(text(item) for item in value)


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ConfigError("", f"{value!r} is neither true nor false")
    return value


def whole(value: object) -> int:
    """A whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError("", f"{value!r} is no whole number of at least 0")
    return value
