"""What a reporter is, and how a run directory gets its reports.

Rules:

- A reporter is pure: it turns a report into the text of one file. What it is given was redacted; what it shows of the run it must
  make harmless for its own format (`chaosbot.report.scrub.tame` takes out terminal escapes and controls).
- A reporter that fails costs its own file only, and the run is told so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from chaosbot.core.errors import UsageError
from chaosbot.core.registry import Registry, name_of
from chaosbot.journal import Redactor, private
from chaosbot.report.scrub import scrub
from chaosbot.report.values import Report


class Reporter(ABC):
    """Writes a report in one format.

    Its name, which ``chaosbot report --format`` takes, is its file's; `file` is the file that it writes into the run directory. A
    package of yours adds one by an entry point of the group ``chaosbot.reporters``.
    """

    file: ClassVar[str]

    @property
    def name(self) -> str:
        """The reporter's name: its file's."""
        return name_of(type(self))

    @abstractmethod
    def render(self, report: Report) -> str | None:
        """The text of the file; None where this run has nothing for it."""

    def warm_up(self) -> None:  # noqa: B027 - most formats need nothing
        """Loads what `render` needs; called while a run goes on, so that its end does not wait for that."""


REPORTERS: Final[Registry[Reporter]] = Registry("chaosbot.reporters", Reporter, "reporter")


def warm_up() -> None:
    """Loads what reports need; an interrupted run shall not wait for that."""
    for name in REPORTERS:
        REPORTERS.build(name).warm_up()


def write_all(report: Report, directory: Path, redactor: Redactor) -> None:
    """Writes the file of every reporter.

    Each file is whole or the one before stays: it is written beside its place and then moved there. Files that can be written are,
    even where others cannot.

    Raises:
        UsageError: Some cannot be written; it names them.
    """
    clean = scrub(report, redactor)
    failed: dict[str, str] = {}
    for name in REPORTERS:
        reporter = REPORTERS.build(name)
        try:
            text = reporter.render(clean)
        except Exception as error:  # noqa: BLE001 - a broken reporter must not cost the other files
            failed[reporter.file] = f"reporter {name}: {type(error).__name__}: {error}"
            continue
        if text is not None and (why := _write(directory / reporter.file, text)):
            failed[reporter.file] = why
    if failed:
        why = ", ".join(sorted(set(failed.values())))
        raise UsageError(
            f"{directory}: {', '.join(failed)} cannot be written ({why}); make room or choose a directory of yours"
        )


def _write(path: Path, text: str) -> str:
    """Why the file could not be written; empty when it was."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        with open(beside, "w", encoding="utf-8", errors="replace", opener=private) as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        return error.strerror or str(error)
    return ""
