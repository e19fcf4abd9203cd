"""Reads what a person names as a file, whatever it is, within bounds of size and time.

Rules: a directory or a device that cannot be read is an error, at once; of what is larger than its bound, or has no end, no more than the
bound is read; a pipe (``schema=@<(jq …)``, ``/dev/stdin``) is read as it comes, and is not waited for longer than `PATIENCE_S` while it says nothing.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path
from typing import IO, Final

from chaosbot.core.errors import MOST_SHOWN, ConfigError

MOST_BYTES: Final = 4 << 20
"""What people write is smaller; a larger file is a mistake."""
PATIENCE_S: Final = 10.0
_PIECE: Final = 1 << 16


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
