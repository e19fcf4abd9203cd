"""Old words of files and options, understood for one minor version; each use warns with the new word.

Rules: an old word is translated where it is read, before anything else looks at it; giving the old and the new word together is
an error; nothing below `config` knows the old words.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

from chaosbot.core.errors import ConfigError

OPTIONS: Final = {"--dialect": "--platform", "--dialect-option": "--platform-option"}
"""Options of the command line."""
RULE_KEYS: Final = {"lane": "direction"}
EXPERIMENT_KEYS: Final = {"dialect": "platform", "dialect_options": "platform_options"}
PARAMETERS: Final = {"dialect": "platform"}
"""Parameters of `chaosbot.testing.ChaosProxy` and of the fixture ``chaos_proxy``."""
OUTBOUND: Final = {"stand-in": "mock", "stand-in:": "mock:", "mock:telegram_api": "mock:telegram"}
STREAMS: Final = frozenset({"up", "down", "both"})
"""Values of a byte fault's option `stream`, which was called `direction`."""


class RenamedWarning(FutureWarning):
    """An old word was used; the message names the new one."""


def warn_renamed(where: str, old: str, new: str) -> None:
    """Warns that `old` is now called `new`."""
    place = f"{where}: " if where else ""
    warnings.warn(
        f"{place}'{old}' is now '{new}'; the old word goes with the next minor version", RenamedWarning, stacklevel=3
    )


def with_new_keys(values: Mapping[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    """The mapping with old keys replaced by new ones.

    Raises:
        ConfigError: Both the old and the new key are there.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        new = names.get(str(key).replace("-", "_"), key)
        if new != key:
            if new in values:
                raise ConfigError(where, f"'{key}' is the old name of '{new}'; keep '{new}' only")
            warn_renamed(where, key, new)
        found[new] = value
    return found


def with_new_word(text: str, words: Mapping[str, str], where: str) -> str:
    """The value with an old word replaced by the new one."""
    if text not in words:
        return text
    warn_renamed(where, text, words[text])
    return words[text]


def is_old_stream(key: str, value: object) -> bool:
    """Whether a key with this value is a byte fault's option `stream` under its old name."""
    return key == "direction" and isinstance(value, str) and value in STREAMS
