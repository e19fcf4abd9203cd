"""`chaosbot demo`: the main job on the embedded bot, and that bot by itself with `--serve`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from chaosbot.cli import verb
from chaosbot.cli._answers import answer_key, print_answers, summary
from chaosbot.cli._console import make_console
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._options import DEFAULT_SECRET, AllowHost, Json, Out, Quiet, choose_bugs
from chaosbot.config.experiment import read_experiment
from chaosbot.core.errors import ConfigError, PortBusy
from chaosbot.demo.bugs import AGENTS, CARDS, FRAGILE, GUIDED, Bug, parse_bugs
from chaosbot.demo.server import serve
from chaosbot.demo.settings import DemoSettings
from chaosbot.session.environment import embedded_secret, require_demo
from chaosbot.session.experiment import AROUND_S, FUZZ_S, GUIDED_S, compiled, guided_tour, tour
from chaosbot.transport import checked_address

app = verb()

_PORT: Final = 8000
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
    port: Annotated[
        int | None, typer.Option(help="With --serve: where it listens; 0 takes a free port.", show_default=str(_PORT))
    ] = None,
    bot_api: Annotated[
        str | None,
        typer.Option(
            help="With --serve: the Bot API's base URL; without it replies are in the answer.", show_default=False
        ),
    ] = None,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="With --serve: no per-user rate limits.")] = False,
    log: Annotated[
        bool, typer.Option("--log", help="With --serve: a line for each request on standard error; JSON in a file.")
    ] = False,
    llm: Annotated[
        bool,
        typer.Option(
            "--llm",
            help="Only the bot's agent, in front of a language model that is broken in one way after the other.",
        ),
    ] = False,
    guide: Annotated[
        bool,
        typer.Option(
            "--guide",
            help="A short tour instead, guided by the bot's own code, of a bug behind words that nobody tells.",
        ),
    ] = False,
    models: Annotated[
        str | None,
        typer.Option(
            help="With --serve: the language models' base URL (Anthropic's API), for an agent.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random derives from it.")] = DEFAULT_SEED,
    allow_host: AllowHost = None,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Break an embedded bot and its agent: load under faults, then a fuzz campaign, then the verdict and which planted bugs were found.

    Takes a minute and a half. Exits 0 when every planted bug that it promises was found, whatever the verdict on the bot
    (with --healthy: when there was no finding).

    Examples:

    - `chaosbot demo`
    - `chaosbot demo --llm` – only the planted bugs of the bot's agent
    - `chaosbot demo --guide` – a planted bug that only the code tells of (Python 3.12 or newer)
    - `chaosbot demo --healthy` – the same tour against a correct bot
    - `chaosbot demo --serve --fragile --port 8000` – a target to try things on
    - `chaosbot demo --list`
    """
    if list_bugs:
        _print_bugs(as_json=as_json)
        return
    served = {
        "--port": port is not None,
        "--bot-api": bot_api,
        "--models": models,
        "--no-limits": no_limits,
        "--log": log,
    }
    for option, given in (served if not serve_only else {"--llm": llm, "--guide": guide}).items():
        if given:
            what = (
                "is for the tour; drop it or --serve" if serve_only else "is for the bot alone; add --serve or drop it"
            )
            raise ConfigError(option, what)
    for option, address in (("--bot-api", bot_api), ("--models", models)):
        if address:
            checked_address(address, allow_host or (), where=option)
    chosen = parse_bugs(choose_bugs(bugs or ""))
    require_demo()
    if serve_only:
        _serve(
            chosen or (FRAGILE if fragile else frozenset()),
            _PORT if port is None else port,
            bot_api,
            models,
            limits=not no_limits,
            log=log,
        )
        return
    if bugs is None and not healthy:
        chosen = GUIDED if guide else AGENTS if llm else FRAGILE
    if guide and llm:
        raise ConfigError("--guide", "and --llm are two tours; choose one")
    if guide and sys.version_info < (3, 12):
        raise ConfigError("--guide", "needs Python 3.12 or newer, which can watch code; run chaosbot with that")
    _tour(chosen, seed, out, llm=llm, guide=guide, as_json=as_json, quiet=quiet)


def _tour(
    bugs: frozenset[Bug], seed: int, out: Path | None, *, llm: bool, guide: bool, as_json: bool, quiet: bool
) -> None:
    plan = compiled(read_experiment("demo-agent" if llm else "demo"))
    secret = embedded_secret(seed)
    names = ",".join(sorted(bugs))
    with running(
        "demo",
        f"embedded bot, {len(bugs)} planted bugs" if bugs else "embedded bot, healthy",
        seed,
        out,
        secret=secret,
        settings={**plan.experiment.settings(), "bugs": names},
        quiet=quiet,
        as_json=as_json,
        total_s=GUIDED_S if guide else plan.load_s + (0.0 if llm else AROUND_S + FUZZ_S),
    ) as (run, watch):
        if guide:
            cut = guided_tour(run, secret, names)
        else:
            cut = tour(run, plan, secret, names, watch.say, fuzzed=not llm)
    ended = conclude(run, quiet=quiet, as_json=as_json)
    if not bugs or run.reason:
        raise ended
    report = run.finish("completed")
    answers = answer_key(bugs, report.findings, run.journal.history())
    console = make_console(stderr=as_json)
    if not quiet:
        print_answers(console, answers)
    console.print(f"\n{summary(answers, run.now(), cut=cut)}", highlight=False)
    raise typer.Exit(0 if all(answer.found for answer in answers if answer.promised) else 1)


def _print_bugs(*, as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": str(card.bug), "area": str(card.area), "what": card.what, "checks": list(card.checks)}
            for card in CARDS.values()
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    console, width = make_console(), max(map(len, CARDS))
    for card in CARDS.values():
        console.print(f"[bold]{card.bug:<{width}}[/]  {card.area}: {', '.join(card.checks)}", soft_wrap=True)
        console.print(f"    [dim]{card.what}[/]", soft_wrap=True)


def _serve(
    bugs: frozenset[Bug], port: int, bot_api: str | None, models: str | None, *, limits: bool, log: bool
) -> None:
    try:
        settings = DemoSettings.from_environment(
            os.environ, port=port, bugs=bugs, bot_api=bot_api, models=models, limits=limits, log=log
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
