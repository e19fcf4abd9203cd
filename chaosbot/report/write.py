"""Writes the files of a run directory that are folded from its journal."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from chaosbot.core.check import History
from chaosbot.core.errors import UsageError
from chaosbot.journal import Redactor, private
from chaosbot.report.jsonform import to_json
from chaosbot.report.junit import render_junit
from chaosbot.report.markdown import render_markdown
from chaosbot.report.page import render_html
from chaosbot.report.sarif import render_sarif
from chaosbot.report.scrub import scrub
from chaosbot.report.values import Report


def write_all(report: Report, history: History, directory: Path, redactor: Redactor) -> None:
    """Writes report.json, report.html, junit.xml, report.md and report.sarif.

    Each file is whole or the one before stays: it is written beside its place and then moved there. Files that can be written are,
    even where others cannot.

    Raises:
        UsageError: Some cannot be written; it names them.
    """
    clean = scrub(report, redactor)
    texts = {
        "report.json": json.dumps(to_json(clean), indent=2, ensure_ascii=False) + "\n",
        "junit.xml": render_junit(clean),
        "report.html": render_html(clean, history),
        "report.md": render_markdown(clean),
        "report.sarif": render_sarif(clean),
    }
    failed: dict[str, str] = {}
    for name, text in texts.items():
        beside = directory / f".{name}.partial"
        try:
            with open(beside, "w", encoding="utf-8", errors="replace", opener=private) as file:
                file.write(text)
            beside.replace(directory / name)
        except OSError as error:
            failed[name] = error.strerror or str(error)
            with suppress(OSError):
                beside.unlink()
    if failed:
        why = ", ".join(sorted(set(failed.values())))
        raise UsageError(
            f"{directory}: {', '.join(failed)} cannot be written ({why}); make room or choose a directory of yours"
        )
