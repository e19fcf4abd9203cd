"""`chaosbot demo`: the main job on the embedded bot, and that bot by itself with `--serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from chaosbot.cli._answers import Answered, answer_key
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._options import DEFAULT_SECRET, Json, Out, Quiet
from chaosbot.config.experiment import read_experiment
from chaosbot.demo.bugs import CARDS, FRAGILE, Bug, parse_bugs
from chaosbot.demo.server import serve
from chaosbot.demo.settings import DemoSettings
from chaosbot.errors import ConfigError, PortBusy
from chaosbot.model.check import History
from chaosbot.model.timeline import total_s
from chaosbot.session.conduct import fuzz_stage, run_experiment, timeline_of
from chaosbot.session.stage import StageSpec, staged
from chaosbot.session.target import embedded_secret

app = typer.Typer()

FUZZ_S: Final = 32.0
DEFAULT_SEED: Final = 1
"""The demo promises findings, so it is the same every time unless another seed is asked for."""


@app.command()
def demo(
    serve_only: Annotated[bool, typer.Option("--serve", help="Only serve the bot, until Ctrl-C.")] = False,
    fragile: Annotated[bool, typer.Option("--fragile", help="With --serve: switch all planted bugs on.")] = False,
    healthy: Annotated[
        bool, typer.Option("--healthy", help="Run the tour against the healthy bot: it must pass without a finding.")
    ] = False,
    bugs: Annotated[
        str | None, typer.Option(help="Switch these planted bugs on (names with commas).", show_default=False)
    ] = None,
    list_bugs: Annotated[bool, typer.Option("--list", help="List the planted bugs and stop.")] = False,
    port: Annotated[int, typer.Option(help="With --serve: where it listens; 0 takes a free port.")] = 8000,
    bot_api: Annotated[
        str | None,
        typer.Option(
            help="With --serve: the Bot API's base URL; without it replies are in the answer.", show_default=False
        ),
    ] = None,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="With --serve: no per-user rate limits.")] = False,
    seed: Annotated[int, typer.Option(help="Everything random derives from it.")] = DEFAULT_SEED,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Break an embedded bot: load under faults, then a fuzz campaign, then the verdict and which planted bugs were found.

    Takes about 90 seconds. Exits 0 when every planted bug that it promises was found (with --healthy: when there was none).

    Examples:

    - `chaosbot demo`
    - `chaosbot demo --healthy` – the same tour against a correct bot
    - `chaosbot demo --serve --fragile --port 8000` – a target to try things on
    - `chaosbot demo --list`
    """
    if list_bugs:
        _print_bugs()
        return
    try:
        chosen = parse_bugs(bugs) if bugs is not None else frozenset[Bug]()
    except ValueError as error:
        raise ConfigError("--bugs", str(error)) from None
    if serve_only:
        _serve(chosen or (FRAGILE if fragile else frozenset()), port, bot_api, limits=not no_limits)
        return
    if bugs is None and not healthy:
        chosen = FRAGILE
    _tour(chosen, seed, out, as_json=as_json, quiet=quiet)


def _tour(bugs: frozenset[Bug], seed: int, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    experiment = read_experiment("demo")
    timeline = timeline_of(experiment)
    secret = embedded_secret(seed)
    names = ",".join(sorted(bugs))
    with running(
        "demo",
        f"embedded bot, {len(bugs)} planted bugs" if bugs else "embedded bot, healthy",
        seed,
        out,
        secret=secret,
        settings={**experiment.settings(), "bugs": names},
        quiet=quiet,
        as_json=as_json,
        total_s=total_s(timeline) + FUZZ_S + 12,
    ) as (run, watch):
        spec = StageSpec(bugs=names, secret=secret, limits=False)
        with staged(run, spec) as stage:
            watch.say(f"  bot              {stage.webhook}")
            watch.say(f"  proxy, inbound   {stage.entry}")
            watch.say(f"  Bot API stand-in {stage.bot_api}")
            run_experiment(run, stage, experiment, secret)
            if not run.should_stop() and stage.demo is not None:
                # What the load broke for good (a circuit that never closes) would hide what the campaign is to find.
                stage.demo.restart()
                watch.say("a fresh bot for the fuzz campaign")
                fuzz_stage(
                    run, stage, secret, {"dialect": experiment.dialect, "duration_s": FUZZ_S, "whole_catalogue": True}
                )
    ended = conclude(run, quiet=quiet, as_json=as_json)
    if not bugs or run.reason:
        raise ended
    report = run.finish("completed")
    answers = answer_key(bugs, report.findings, History.of(run.journal.events))
    _print_answers(Console(stderr=as_json), answers, quiet=quiet)
    raise typer.Exit(0 if all(answer.found for answer in answers if answer.promised) else 1)


def _print_answers(console: Console, answers: Sequence[Answered], *, quiet: bool) -> None:
    promised = [answer for answer in answers if answer.promised]
    found = sum(answer.found for answer in promised)
    if not quiet:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("", "planted bug", "what is wrong", "found by"):
            table.add_column(heading, no_wrap=heading in ("", "planted bug"))
        for answer in answers:
            mark = "[green]✓[/]" if answer.found else "[red]✗[/]" if answer.promised else "[dim]–[/]"
            by = ", ".join(sorted({finding.check for finding in answer.findings}))
            table.add_row(mark, answer.card.bug, answer.card.what, by or answer.note)
        console.print()
        console.print(table)
    console.print(f"\n[bold]{found} of {len(promised)}[/] promised bugs found", highlight=False)


def _print_bugs() -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("bug", "area", "what is wrong", "shown by"):
        table.add_column(heading, no_wrap=heading == "bug")
    for card in CARDS.values():
        table.add_row(card.bug, card.area, card.what, ", ".join(card.checks))
    Console().print(table)


def _serve(bugs: frozenset[Bug], port: int, bot_api: str | None, *, limits: bool) -> None:
    environment = os.environ
    try:
        settings = DemoSettings(
            port=port,
            bugs=bugs,
            secret=environment.get(DEFAULT_SECRET) or None,
            bot_token=environment.get("BOT_TOKEN") or DemoSettings.bot_token,
            bot_api=bot_api,
            admin_id=int(environment.get("ADMIN_TELEGRAM_ID") or DemoSettings.admin_id),
            limits=limits,
            ws_token=environment.get("WS_AUTH_TOKEN") or None,
        )
    except ValueError as error:
        raise ConfigError("--serve", str(error)) from None

    def ready(url: str) -> None:
        state = f"{len(bugs)} planted bugs" if bugs else "healthy"
        guarded = (
            f"asks for the secret in {DEFAULT_SECRET}"
            if settings.secret
            else f"open; set {DEFAULT_SECRET} to ask for one"
        )
        sys.stdout.write(f"webhook  {url}/webhook/telegram  ({state}; {guarded})\n")
        sys.stdout.write(
            f"health   {url}/health\nmarket   {url}/api/market/snapshot, {url.replace('http', 'ws', 1)}/ws/market\n"
        )
        sys.stdout.flush()

    try:
        serve(settings, None, ready)
    except OSError as error:
        raise PortBusy(
            f"--port {port}: cannot listen on 127.0.0.1:{port} ({error.strerror}); "
            "choose another port, or 0 for a free one"
        ) from None
