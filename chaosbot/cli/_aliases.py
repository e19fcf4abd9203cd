"""What people type out of habit, put into chaosbot's own words before options are parsed.

Rules:

- Old names of options (`chaosbot.config.renamed`) warn and name the new one.
- Locust's words stay: ``--run-time`` is ``--duration``, and ``--host URL`` stands for the TARGET; as Locust's is a base URL, the
  platform's usual path is added where it has none (`_options.webhook_of`).
- ``--html FILE`` and ``--report FILE`` of `run` and `load` ask for one more copy of a report; its form follows from the file's
  ending, and the file is looked at before anything starts.
- Nothing after ``--`` is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from chaosbot.config.outputs import check_output
from chaosbot.config.renamed import OPTIONS, warn_renamed
from chaosbot.core.errors import ConfigError, EngineError

HABITS: Final = frozenset({"run", "load"})
"""Verbs that understand options of other load tools."""
LOCUST: Final = {"--run-time": "--duration"}
REPORTS: Final = {
    ".html": "report.html",
    ".json": "report.json",
    ".xml": "junit.xml",
    ".md": "report.md",
    ".sarif": "report.sarif",
}
"""Endings of ``--report FILE`` and the file of the run directory that is copied."""

copies: ContextVar[tuple[Path, ...]] = ContextVar("copies", default=())
"""Files that get a copy of the report when the run has ended."""
hosts: ContextVar[tuple[str, ...]] = ContextVar("hosts", default=())
"""What ``--host`` said."""


def understood(arguments: Sequence[str]) -> list[str]:
    """The arguments in chaosbot's own words; sets `copies` and `hosts`.

    Raises:
        ConfigError: A report file that cannot be written, or an option without its value.
    """
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    verb = next((word for word in words if not word.startswith("-")), "")
    made: list[str] = []
    targets: list[str] = []
    wanted: list[Path] = []
    rest = iter(words[:end])
    for word in rest:
        name, equals, value = word.partition("=")
        if name in OPTIONS:
            warn_renamed("", name, OPTIONS[name])
            made.append(OPTIONS[name] + equals + value)
        elif name in LOCUST:
            made.append(LOCUST[name] + equals + value)
        elif verb in HABITS and name in ("--host", "--html", "--report"):
            text = value if equals else next(rest, "")
            if not text:
                usual = "--host http://127.0.0.1:8000/webhook" if name == "--host" else f"{name} report.html"
                raise ConfigError(name, f"has no value; write for example {usual}")
            if name == "--host":
                targets.append(text)
            else:
                wanted.append(_report_file(name, text))
        else:
            made.append(word)
    copies.set(tuple(wanted))
    hosts.set(tuple(targets))
    return [*made, *targets, *words[end:]]


def _report_file(option: str, text: str) -> Path:
    """A file that a report can be copied to."""
    path = Path(text)
    if option == "--html" and path.suffix not in REPORTS:
        path = path.with_suffix(".html")
    if path.suffix not in REPORTS:
        raise ConfigError(
            f"{option} {text}", f"'{path.suffix}' is no form of a report; end the name in one of {', '.join(REPORTS)}"
        )
    check_output(option, path)
    return path


def copy_reports(directory: Path) -> None:
    """Copies the reports that were asked for out of the run directory.

    Raises:
        EngineError: One cannot be written.
    """
    for path in copies.get():
        report = directory / REPORTS[path.suffix]
        try:
            path.write_bytes(report.read_bytes())
        except OSError as error:
            raise EngineError(f"{path}: cannot be written ({error.strerror}); the run is kept in {directory}") from None
