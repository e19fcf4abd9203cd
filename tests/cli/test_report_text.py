"""`chaosbot report`: text is for a person at a terminal, Markdown for a comment, and quiet is one line."""

from pathlib import Path

import pytest
import typer

from chaosbot.cli.report import report
from chaosbot.core.event import RunEnded, RunStarted
from chaosbot.journal import Journal


def written(directory: Path) -> Path:
    journal = Journal(directory)
    journal.write(RunStarted(0.0, "run", "0.1.0", 7, "bot_under_test", "2026-01-01T00:00:00+00:00", {}, {}))
    journal.write(RunEnded(1.0, "completed", ""))
    journal.close()
    return directory


def said(capsys: pytest.CaptureFixture[str], *arguments: Path, **options: object) -> str:
    with pytest.raises(typer.Exit):
        report(*arguments, **{"other": None, "form": "text", "quiet": False, **options})  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_a_comparison_is_text_unless_markdown_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = written(tmp_path / "a"), written(tmp_path / "b")
    text = said(capsys, one, other=other)
    assert "##" not in text
    assert "\\+" not in text
    assert said(capsys, one, other=other, form="markdown").startswith("## ")


def test_quiet_is_the_verdict_and_the_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = written(tmp_path / "run")
    assert said(capsys, directory, quiet=True) == f"INCONCLUSIVE  {directory}\n"
    assert (directory / "report.html").exists()
