"""`chaosbot report`: folds a run directory again, or compares two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markdown import Markdown

from chaosbot.cli._options import Quiet
from chaosbot.cli._verb import verb
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.journal import Redactor, read
from chaosbot.report import (
    compare,
    fold,
    render_comparison,
    render_html,
    render_junit,
    render_markdown,
    render_sarif,
    render_terminal,
    to_json,
    write_all,
)
from chaosbot.session.run import known_secrets

app = verb()

FORMATS: Final = ("text", "json", "html", "junit", "markdown", "sarif")


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    other: Annotated[
        Path | None, typer.Argument(help="Another one: say what changed from the first to it.", show_default=False)
    ] = None,
    form: Annotated[str, typer.Option("--format", help=f"What to print: {', '.join(FORMATS)}.")] = "text",
    quiet: Quiet = False,
) -> None:
    """Fold a run's events into its reports again, or compare two runs.

    Writes report.json, report.html, junit.xml, report.md and report.sarif into the directory and returns the run's exit code.
    A torn journal (the process was killed) makes the run inconclusive.

    Examples:

    - `chaosbot report chaosbot-runs/20260101-120000-run`
    - `chaosbot report --format markdown DIR > comment.md`
    - `chaosbot report BEFORE AFTER`
    """
    if form not in FORMATS:
        raise UnknownName.of("format", form, FORMATS, where="--format")
    console = Console(emoji=False)
    history = read(directory)
    folded = fold(history)
    if other is not None:
        if form not in ("text", "markdown"):
            raise ConfigError("--format", f"a comparison is printed as text or markdown, not as {form}")
        comparison = compare(folded, fold(read(other)))
        text = render_comparison(comparison)
        if form == "markdown":
            typer.echo(text)
        else:
            console.print(Markdown(text))
        raise typer.Exit(comparison.exit_code)
    write_all(folded, history, directory, Redactor(known_secrets()))
    match form:
        case "text":
            if quiet:
                console.print(f"{folded.verdict.upper()}  {directory}", highlight=False, soft_wrap=True)
            else:
                render_terminal(folded, console)
        case "json":
            typer.echo(to_json_text(to_json(folded)))
        case "html":
            typer.echo(render_html(folded, history))
        case "junit":
            typer.echo(render_junit(folded))
        case "markdown":
            typer.echo(render_markdown(folded))
        case "sarif":
            typer.echo(render_sarif(folded))
    raise typer.Exit(folded.verdict.exit_code)


def to_json_text(document: object) -> str:
    """JSON as people read it."""
    import json  # noqa: PLC0415 - only when asked for

    return json.dumps(document, indent=2, ensure_ascii=False)
