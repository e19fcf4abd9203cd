"""`chaosbot report`: folds a run directory again, or compares two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from chaosbot.cli import verb
from chaosbot.cli._console import echo, make_console
from chaosbot.cli._options import Quiet
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.journal import Redactor, read
from chaosbot.report import (
    REPORTERS,
    compare,
    fold,
    render_comparison,
    render_terminal,
    write_all,
)
from chaosbot.report.scrub import scrub
from chaosbot.reporters.html import render_comparison_page
from chaosbot.session.run import known_secrets

app = verb()


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    other: Annotated[
        Path | None, typer.Argument(help="Another one: say what changed from the first to it.", show_default=False)
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="What to print: text, html, json, junit, markdown, sarif, findings (CSV), tasks, streams, timeseries, or a format that a plug-in adds.",
        ),
    ] = "text",
    quiet: Quiet = False,
) -> None:
    """Fold a run's events into its reports again, or compare two runs.

    Writes report.json, report.html, junit.xml, report.md and report.sarif into the directory (timeseries.csv, tasks.csv and
    streams.csv where there was load of that kind) and returns the run's exit code.
    A torn journal (the process was killed) makes the run inconclusive.

    Examples:

    - `chaosbot report chaosbot-runs/20260101-120000-run`
    - `chaosbot report --format markdown DIR > comment.md`
    - `chaosbot report BEFORE AFTER`
    - `chaosbot report --format html BEFORE AFTER > comparison.html`
    """
    if form != "text" and form not in REPORTERS:
        raise UnknownName.of("format", form, ("text", *REPORTERS), where="--format")
    console = make_console()
    history = read(directory)
    folded = fold(history)
    if other is not None:
        if form not in ("text", "markdown", "html"):
            raise ConfigError("--format", f"a comparison is printed as text, markdown or html, not as {form}")
        comparison = compare(folded, fold(read(other)))
        text = render_comparison(comparison)
        if form == "html":
            echo(render_comparison_page(text))
        elif form == "markdown":
            echo(text)
        else:
            console.print(Markdown(text))
        raise typer.Exit(comparison.exit_code)
    redactor = Redactor(known_secrets())
    write_all(folded, directory, redactor)
    if form != "text":
        written = REPORTERS.build(form).render(scrub(folded, redactor))
        echo((written or "").removesuffix("\n"))
    elif quiet:
        console.print(f"{folded.verdict.upper()}  {directory}", highlight=False, soft_wrap=True)
    else:
        render_terminal(folded, console)
    raise typer.Exit(folded.verdict.exit_code)
