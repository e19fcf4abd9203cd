"""Reads what a person names as a file, whatever it is, within bounds of size and time.

Rules: a directory or a device that cannot be read is an error, at once; of what is larger than its bound, or has no end, no more than the
bound is read; a pipe (``schema=@<(jq …)``, ``/dev/stdin``) is read as it comes, and is not waited for longer than `PATIENCE_S` while it says nothing;
a YAML document whose aliases, written out, are many times its length is no document.
"""

from __future__ import annotations

import errno
import json
import os
import select
import stat
from pathlib import Path
from typing import IO, Any, Final

from chaosbot.core.errors import MOST_SHOWN, ConfigError

MOST_BYTES: Final = 4 << 20
"""What people write is smaller; a larger file is a mistake."""
PATIENCE_S: Final = 10.0
MOST_DEPTH: Final = 64
"""No key of ours stands deeper than a few levels; a body's own value may."""
MOST_VALUES: Final = 1_000_000
"""So many values a document has at most once its aliases are written out."""
_PIECE: Final = 1 << 16
_MOST_ALIASED: Final = 4 << 20
"""So many characters may the aliases of a YAML document add to it."""


def named(path: Path) -> str:
    """A file's name as errors show it."""
    name = str(path)
    return name if len(name) <= MOST_SHOWN * 4 else f"{name[:MOST_SHOWN]}…"


def read_bytes(
    path: Path, *, most: int = MOST_BYTES, where: str = "", remedy: str = "name a file that exists"
) -> bytes:
    """What a file holds.

    Args:
        path: The file.
        most: How many bytes it has at most.
        where: How errors name it: an option with the path; by default the path.
        remedy: What errors advise.

    Raises:
        ConfigError: It cannot be read, or is larger than that.
    """
    where = where or named(path)
    try:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            data = None if status.st_size > most else _content(file, most)
    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
        raise ConfigError(where, f"cannot be read ({why(error)}); {remedy}") from None
    if data is None:
        raise ConfigError(where, f"is larger than {most >> 20} MB; {remedy}")
    return data


def read_text(path: Path, *, most: int = MOST_BYTES, where: str = "", remedy: str = "name a file that exists") -> str:
    """A file's text.

    Raises:
        ConfigError: It cannot be read, is too large, or is no UTF-8.
    """
    try:
        return read_bytes(path, most=most, where=where, remedy=remedy).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(where or named(path), "is no UTF-8 text; save it as UTF-8") from None


def regular(path: Path, where: str = "", *, remedy: str = "name a file that exists") -> Path:
    """The path, which leads to a regular file: what others than chaosbot read, several times or without bounds.

    Raises:
        ConfigError: It leads to none.
    """
    try:
        with _opened(path) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "no regular file")
    except (OSError, ValueError) as error:
        raise ConfigError(where or named(path), f"cannot be read ({why(error)}); {remedy}") from None
    return path


def why(error: OSError | ValueError) -> str:
    """An error's reason without its name."""
    return getattr(error, "strerror", None) or str(error)


def _opened(path: Path) -> IO[bytes]:
    """The file, opened without waiting for who writes into a pipe."""
    # A read of a directory fails by itself, with its own reason.
    return open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _content(file: IO[bytes], most: int) -> bytes | None:
    """Everything up to the end; None where that is more than `most` bytes."""
    data = bytearray()
    while len(data) <= most:
        if not select.select([file], (), (), PATIENCE_S)[0]:
            raise TimeoutError(errno.ETIMEDOUT, f"a pipe that says nothing for {PATIENCE_S:g} s")
        piece = file.read(_PIECE)
        if piece is None:  # another reader of the same pipe was quicker
            continue
        if not piece:
            return bytes(data)
        data += piece
    return None


def from_yaml(text: str) -> Any:
    """What a YAML document holds; nothing is executed, and it takes no longer than the text's length explains.

    Raises:
        ValueError: It is no YAML, or its aliases make too much of it, be it as values or as merged keys.
        RecursionError: It is nested too deeply, or contains itself.
    """
    # Most files are none, and this takes a tenth of a second.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.composer import Composer  # noqa: PLC0415

    class Shallow(Composer):
        """Stops where it gets too deep: the scanner's time grows with the square of the depth."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > MOST_DEPTH + 1:
                raise RecursionError
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = Shallow
    try:
        root = yaml.compose(text)
        if _written_out(root, {}) > 2 * len(text) + _MOST_ALIASED:
            raise ValueError("it holds millions of values, aliases written out")
        return None if root is None else yaml.constructor.construct_document(root)
    except (RecursionError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the library raises many kinds for one reason: the text is wrong
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def yaml_as_json(text: str) -> str:
    """A YAML document as JSON: dates become texts.

    Raises:
        ValueError: It is no YAML, or holds what JSON cannot say; as `from_yaml`.
        RecursionError: As `from_yaml`.
    """
    try:
        return json.dumps(from_yaml(text), default=str, ensure_ascii=False)
    except TypeError as error:  # a list as a key
        raise ValueError(str(error)) from None


def _written_out(node: Any, known: dict[int, int]) -> int:
    """About how many characters a composed document has once its aliases are written out; each node is looked at once.

    Raises:
        RecursionError: A node contains itself.
    """
    if node is None:
        return 0
    if id(node) not in known:
        known[id(node)] = -1
        if isinstance(node.value, str):
            size = len(node.value)
        else:
            parts = [one for part in node.value for one in (part if isinstance(part, tuple) else (part,))]
            size = sum([_written_out(one, known) for one in parts])
        known[id(node)] = 1 + size
    if known[id(node)] < 0:
        raise RecursionError("a value contains itself")
    return known[id(node)]


def check_extent(document: object, where: str) -> None:
    """Refuses documents that are nested deeper than `MOST_DEPTH`, contain themselves, or grow beyond `MOST_VALUES` by their aliases.

    Raises:
        ConfigError: It is so; the message begins with `where`.
    """
    waiting: list[tuple[object, int]] = [(document, 0)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise ConfigError(
                where, f"holds more than {MOST_VALUES} values, aliases written out; nothing of ours is as long"
            )
        if depth > MOST_DEPTH:
            raise ConfigError(where, f"is nested too deeply; {MOST_DEPTH} levels are more than any key needs")
        if not isinstance(value, (dict, list)):
            continue
        waiting += [(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
