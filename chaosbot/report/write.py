"""Writes the files of a run directory that are folded from its journal."""

from __future__ import annotations

import json
from pathlib import Path

from chaosbot.core.check import History
from chaosbot.core.errors import UsageError
from chaosbot.journal import Redactor
from chaosbot.report.jsonform import to_json
from chaosbot.report.junit import render_junit
from chaosbot.report.markdown import render_markdown
from chaosbot.report.page import render_html
from chaosbot.report.sarif import render_sarif
from chaosbot.report.scrub import scrub
from chaosbot.report.values import Report


def write_all(report: Report, history: History, directory: Path, redactor: Redactor) -> None:
    """Writes report.json, report.html, junit.xml, report.md and report.sarif.

    Each file is whole or the one before stays: it is written beside its place and then moved there.

    Raises:
        UsageError: The directory cannot be written.
    """
    clean = scrub(report, redactor)
    texts = {
        "report.json": json.dumps(to_json(clean), indent=2, ensure_ascii=False) + "\n",
        "junit.xml": render_junit(clean),
        "report.html": render_html(clean, history),
        "report.md": render_markdown(clean),
        "report.sarif": render_sarif(clean),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            beside = directory / f".{name}.partial"
            beside.write_text(text, encoding="utf-8", errors="replace")
            beside.replace(directory / name)
    except OSError as error:
        raise UsageError(
            f"{directory}: the report cannot be written ({error.strerror}); choose a directory of yours"
        ) from None
