"""How a run is started and shown by every verb that makes one: watch it, end it, print the verdict, return the exit code."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.markup import escape

from chaosbot.cli._aliases import copy_reports
from chaosbot.cli._console import echo, make_console
from chaosbot.cli._options import read_option
from chaosbot.cli._watch import Watch
from chaosbot.core import units
from chaosbot.core.errors import ConfigError
from chaosbot.session.run import SERVING, Run, conducting, default_directory, known_secrets, signals_held
from chaosbot.transport import checked_address

if TYPE_CHECKING:
    from chaosbot.session.live import Live

PRESENTED: Final[Mapping[str, bool]] = {
    "--out": True,
    "--web": True,
    "--prometheus": True,
    "--remote-write": True,
    "--otlp": True,
    "--linger": True,
    "--html": True,
    "--report": True,
    "--export-pytest": True,
    "--json": False,
    "--quiet": False,
    "-q": False,
}
"""Options that say how a run is shown and kept, not what it does, and whether each has a value."""


HELD_S = 60.0
"""Most time that the last figures are held for a scraper that came before."""


def command_line(seed: int) -> str:
    """The command that repeats this run: what was typed but for how it is shown, and the seed where it was drawn."""
    words: list[str] = []
    given = sys.argv[1:]
    place = 0
    while place < len(given):
        word = given[place]
        place += 1
        name, equals, _ = word.partition("=")
        if name not in PRESENTED or (equals and not PRESENTED[name]):
            words.append(word)
        elif PRESENTED[name] and not equals:
            # The port of --web may be left out.
            place += name != "--web" or (given[place : place + 1] != [] and given[place].isdecimal())
    drawn = [] if any(word.partition("=")[0] == "--seed" for word in words) else ["--seed", str(seed)]
    return shlex.join(["chaosbot", *words, *drawn])


@contextmanager
def running(
    verb: str,
    target: str,
    seed: int,
    out: Path | None,
    *,
    secret: str = "",
    settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
    as_json: bool = False,
    total_s: float | None = None,
    web: int | None = None,
    prometheus: int | None = None,
    linger: str | None = None,
    remote_write: str | None = None,
    otlp: str | None = None,
    allow_hosts: Sequence[str] = (),
    view: type[Watch] = Watch,
) -> Iterator[tuple[Run, Watch]]:
    """Starts a run, shows it, and finishes it whatever happens; the caller then asks `conclude` for the exit code.

    Progress goes to standard error when standard output carries JSON. Ports are taken before anything is written.

    Args:
        verb: What runs.
        target: What it runs against, for people.
        seed: All chance.
        out: The run directory.
        secret: The webhook's secret, which must not be written.
        settings: What a reader needs to run it again.
        quiet: Print the verdict only.
        as_json: Whether standard output carries the report.
        total_s: How long the run is expected to take.
        web: Port of the live page; None for none.
        prometheus: Port of the figures for Prometheus; None for none.
        linger: How long the live page and the figures stay at most; by default the page stays until a person ends it, where one
            sits at a terminal, and figures are held for a minute unless they are scraped before.
        remote_write: Where figures are pushed by Prometheus remote write.
        otlp: Where they are pushed by OTLP.
        allow_hosts: Hosts besides loopback that may be spoken to.
        view: How the run is shown in the terminal.

    Raises:
        UsageError: The run directory holds a run already, a port is taken, or there is nothing that could linger.
    """
    console = make_console(stderr=as_json)
    if linger is not None and web is None and prometheus is None:
        raise ConfigError("--linger", "holds what --web or --prometheus show; give one of them, or leave it out")
    linger_s = None if linger is None else read_option("--linger", linger, units.duration)
    directory = out or default_directory(verb)
    for option, url in (("--remote-write", remote_write), ("--otlp", otlp)):
        if url is not None:
            checked_address(url, allow_hosts, where=option)
    live: Live | None = None
    if any(option is not None for option in (web, prometheus, remote_write, otlp)):
        live = _watched(web, prometheus, remote_write, otlp, {"job": "chaosbot", "verb": verb, "run": directory.name})
    with ExitStack() as stack:
        closes = stack.enter_context(ExitStack())
        if live is not None:
            closes.enter_context(closing(live))
        with signals_held():
            run = Run(
                verb,
                target,
                seed,
                directory,
                secrets=known_secrets(secret),
                settings={"command": command_line(seed), **(settings or {})},
            )
            stack.enter_context(conducting(run))
        watch = view(console, quiet=quiet, total_s=total_s, redact=run.redactor.text)
        if verb in SERVING:
            watch.began = 0.0
        watch.say(f"[bold]chaosbot {verb}[/] · {escape(target)} · seed {seed}")
        if live is not None:
            live.follow(run, target, total_s)
            if live.page:
                watch.say(f"watch it live on [bold]{live.page}[/]")
            if live.figures:
                watch.say(f"figures for Prometheus on [bold]{live.figures}[/]")
            run.listeners.append(live.notice)
        stack.enter_context(watch)
        run.listeners.append(watch)
        yield run, watch
        if run.should_stop():
            watch.say(f"[yellow]{escape(run.reason)}[/]; writing the report")
        if live is not None:
            # Once the verdict is printed (`conclude`), the page and the figures stay for a while.
            run.aftermath.append(partial(_stay, live, closes.pop_all(), web is not None, linger_s))


def _watched(
    web: int | None, prometheus: int | None, remote_write: str | None, otlp: str | None, labels: Mapping[str, str]
) -> Live:
    """What shows the run outside: a page, figures that are scraped, figures that are pushed."""
    from chaosbot.control.push import Otlp, RemoteWrite  # noqa: PLC0415 - few runs are watched, and each would wait for it
    from chaosbot.session.live import Live  # noqa: PLC0415 - as above

    pushers = [kind(url, labels) for kind, url in ((RemoteWrite, remote_write), (Otlp, otlp)) if url is not None]
    return Live(web, prometheus, pushers)


def conclude(run: Run, *, quiet: bool = False, as_json: bool = False) -> typer.Exit:
    """Prints what the run came to and returns the exit for its verdict, when who watches it has seen enough."""
    from chaosbot.report import render_terminal  # noqa: PLC0415 - a tenth of a second that no start waits for
    from chaosbot.report.figures import github_lines  # noqa: PLC0415 - as above
    from chaosbot.reporters.json import to_json  # noqa: PLC0415 - as above

    report = run.finish("completed")
    copy_reports(run.directory)
    if as_json:
        echo(json.dumps(to_json(report), indent=2, ensure_ascii=False))
    else:
        console = make_console()
        if quiet:
            console.print(f"{report.verdict.upper()}  {run.directory}", highlight=False, soft_wrap=True)
        else:
            render_terminal(report, console)
            if not run.unwritten:
                console.print(f"\nReport: [bold]{run.directory / 'report.html'}[/]", highlight=False, soft_wrap=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in github_lines(report):
            echo(line, err=as_json)
    if run.unwritten:
        echo(f"chaosbot: {run.unwritten}", err=True)
    for stay in run.aftermath:
        stay(quiet=quiet)
    # What could not be kept is no pass.
    return typer.Exit(report.verdict.exit_code or (3 if run.unwritten else 0))


def _stay(live: Live, closes: ExitStack, has_page: bool, linger_s: float | None, *, quiet: bool) -> None:
    """Keeps the live page and the figures until they were seen; Ctrl-C ends it."""
    with closes:
        person = sys.stderr.isatty()
        asked = linger_s is not None
        if linger_s is None:
            linger_s = math.inf if has_page and person else 0.0 if has_page else HELD_S
        if has_page and linger_s and not quiet:
            echo(f"the page stays on {live.page}; Ctrl-C (or its button) ends it", err=True)
        elif asked and linger_s and live.figures and not quiet:
            echo(
                f"the figures stay on {live.figures} until they are scraped, {units.format_duration(linger_s)} at most",
                err=True,
            )
        with suppress(KeyboardInterrupt):
            live.stay(linger_s, asked=asked)
