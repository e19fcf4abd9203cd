"""Looks at a place that is written at the end, before anything starts: a mistake there must not cost the run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from chaosbot.core.errors import MOST_SHOWN, ConfigError


def check_output(option: str, path: Path, *, folder: bool = False) -> None:
    """Refuses a path that cannot be written.

    Args:
        option: The option that names it.
        path: The file; it may be there already.
        folder: Whether it is a folder instead, which is made with all that is missing above it.

    Raises:
        ConfigError: It is of the other kind, its folder is missing or of somebody else's, or its name is too long.
    """
    where = f"{option} {str(path)[:MOST_SHOWN]}"
    try:
        if folder:
            _check_folder(where, path)
        else:
            _check_file(where, path)
    except OSError as error:
        raise ConfigError(where, f"cannot be written ({error.strerror}); choose a place of yours") from None


def _check_file(where: str, path: Path) -> None:
    if path.is_dir():
        raise ConfigError(where, "is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a device or a pipe
        if not os.access(path, os.W_OK):
            raise ConfigError(where, "cannot be written; choose a place of yours")
        return
    if not path.parent.is_dir():
        raise ConfigError(where, f"cannot be written: {str(path.parent)[:MOST_SHOWN]} is no folder; make it first")
    path.with_name(f".{path.name}.partial").exists()  # its name is the longer one
    if path.exists() and not os.access(path, os.W_OK):
        raise ConfigError(where, "cannot be written: it belongs to somebody else; choose another")
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def _check_folder(where: str, path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(where, "is a file; name a folder")
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise ConfigError(where, f"cannot be made: {str(there)[:MOST_SHOWN]} is a file; name another folder")
    with tempfile.TemporaryFile(dir=there):
        pass
