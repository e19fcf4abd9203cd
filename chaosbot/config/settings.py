"""Options that need not be typed: ``chaosbot.toml`` or ``[tool.chaosbot]`` of a project, and environment variables.

Order, the first that says something wins: the command line; ``CHAOSBOT_VERB_OPTION`` in the environment; the nearest ``chaosbot.toml`` or
``pyproject.toml`` with ``[tool.chaosbot]``, from the working folder upwards; the option's own default.

Rules:

- One table for each verb: ``[load]`` with ``users = 50``, ``slo = ["p99<2s"]``. Keys are the long options, with ``-`` or ``_``.
- A ``chaosbot.toml`` that is an experiment (`chaosbot init` writes such) is no settings file and is passed over.
- Nothing is ignored: a table that is no verb's and a key that is no option are errors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaosbot.config.document import read_document
from chaosbot.core.errors import ConfigError, UnknownName, UsageError, shown
from chaosbot.files import read_text

FILE: Final = "chaosbot.toml"
PROJECT: Final = "pyproject.toml"
PREFIX: Final = "CHAOSBOT"
"""What the environment variables begin with."""
_MOST: Final = 2**63
"""No number of an option is as large."""


@dataclass(frozen=True)
class Settings:
    """What a file says.

    Args:
        where: The file, and the table in it where it is not the whole; empty when there is none.
        verbs: The options of each verb, by their names with underscores.
    """

    where: str = ""
    verbs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def options(self, verb: str, known: Mapping[str, str], repeatable: Collection[str] = ()) -> dict[str, Any]:
        """The options of a verb, by the names of its parameters: texts as a command line has them.

        Args:
            verb: The verb.
            known: Its long options with underscores, and the parameter of each.
            repeatable: The options that may be given several times: of these, lists.

        Raises:
            UnknownName: A key that is none of the verb's options.
            ConfigError: A value that no option has.
        """
        found = self.verbs.get(verb, {})
        for name in found:
            if name not in known:
                raise UnknownName.of("option", name, known, where=f"{self.where}: {verb}.{name}")
        options: dict[str, Any] = {}
        for name, value in found.items():
            where = f"{self.where}: {verb}.{name}"
            if name not in repeatable:
                options[known[name]] = _word(value, where)
            elif isinstance(value, list):
                options[known[name]] = [_word(one, f"{where}[{number}]") for number, one in enumerate(value)]
            else:
                options[known[name]] = [_word(value, where)]
        return options


def _word(value: object, where: str) -> str:
    """A value as a command line has it.

    Raises:
        ConfigError: It is none: a table, a list, a date.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and abs(value) < _MOST:
        return str(value)
    raise ConfigError(where, f"{shown(value)} is no value of an option; write a text, a number, true or false")


def find_settings(folder: Path, verbs: Collection[str]) -> Settings:
    """The nearest file with settings, from a folder upwards.

    Args:
        folder: Where to begin.
        verbs: The verbs that there are.

    Raises:
        ConfigError: A file that cannot be read, or says something that is no setting.
    """
    for place in (folder, *folder.parents):
        own = place / FILE
        if own.is_file():
            document = read_document(own)
            if not _is_experiment(document, verbs):
                return _settings(document, str(own), verbs)
        project = place / PROJECT
        if project.is_file():
            try:
                tool = tomllib.loads(read_text(project)).get("tool", {})
            except (UsageError, ValueError, RecursionError):
                continue  # another tool's file: whoever it belongs to says what is wrong with it
            if isinstance(tool, dict) and "chaosbot" in tool:
                return _settings(tool["chaosbot"], f"{project}: tool.chaosbot", verbs)
    return Settings()


def _is_experiment(document: Mapping[str, Any], verbs: Collection[str]) -> bool:
    """Whether a document is an experiment rather than settings."""
    from chaosbot.config.experiment import EXPERIMENT  # noqa: PLC0415 - only where there is such a file

    return any(key in EXPERIMENT.keys and not (key in verbs and isinstance(document[key], dict)) for key in document)


def _settings(document: object, where: str, verbs: Collection[str]) -> Settings:
    if not isinstance(document, Mapping):
        raise ConfigError(where, "is no table; write one table for each verb, such as [load]")
    found: dict[str, Mapping[str, Any]] = {}
    for verb, values in document.items():
        if verb not in verbs:
            raise UnknownName.of("verb", str(verb), verbs, where=where)
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: {verb}", "is no table; write its options below it")
        found[verb] = {str(name).replace("-", "_"): value for name, value in values.items()}
    return Settings(where, found)
