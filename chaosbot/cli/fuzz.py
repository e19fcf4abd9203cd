"""`chaosbot fuzz`: campaigns of hostile and odd requests, judged by resilience checks; every finding shrunk and replayable."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from chaosbot.cli import verb
from chaosbot.cli._console import make_console
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._options import (
    DEFAULT_SECRET,
    LLM_PORT,
    AcceptStatus,
    AllowHost,
    Authority,
    Certificate,
    CertificateKey,
    Cluster,
    Insecure,
    Json,
    Linger,
    Llm,
    LlmPrices,
    LlmSpend,
    Out,
    PlatformName,
    PlatformOptions,
    Prometheus,
    Quiet,
    SecretEnv,
    Seed,
    Target,
    UnixSocket,
    Watched,
    Web,
    bot_api_port,
    check_secret,
    choose_bugs,
    choose_platform,
    choose_seed,
    choose_upstreams,
    read_option,
    read_prices,
    read_secret,
    secret_variable,
    target_of,
    tls_of,
)
from chaosbot.config import defaults
from chaosbot.config.outputs import check_output
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core import units
from chaosbot.core.case import Case
from chaosbot.core.check import ACCEPTED
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.fuzz.catalogue import cases, listing
from chaosbot.fuzz.catalogue.scenarios import listed_scenarios
from chaosbot.fuzz.export import export_pytest
from chaosbot.fuzz.findings import accepted
from chaosbot.fuzz.spec import STAGES
from chaosbot.session.campaign import check_corpus, run_campaign
from chaosbot.session.driving import check_cluster, worker_processes
from chaosbot.session.environment import EnvironmentSpec, check_pages, check_target, prepared
from chaosbot.session.listeners import check_upstreams, tell_addresses

app = verb()


@app.command(cls=Watched)
def fuzz(
    target: Target = None,
    unix: UnixSocket = None,
    duration: Annotated[str, typer.Option(help="How long the campaign may take.")] = "60s",
    stages: Annotated[
        str, typer.Option(help=f"Which stages run, with commas between: {', '.join(STAGES)}.", show_default="all")
    ] = ",".join(STAGES),
    max_examples: Annotated[
        int | None, typer.Option(help="Most cases in each stage after the catalogue.", show_default=False)
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="Judge by this check only; repeatable.", show_default=False)
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Only catalogue cases of this name or pattern ('auth/*'); repeatable.", show_default=False),
    ] = None,
    bugs: Annotated[
        str, typer.Option(help="Planted bugs of the embedded bot (names with commas, 'fragile' for all).")
    ] = "",
    platform: PlatformName = defaults.PLATFORM,
    platform_option: PlatformOptions = None,
    malformed: Annotated[str, typer.Option(help="What is right for a malformed request: reject, ack or any.")] = "any",
    accept_status: AcceptStatus = None,
    bot_api: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Start the Bot API mock there; point the bot's base URL at it. Without it effects are not seen.",
            show_default=False,
        ),
    ] = None,
    llm: Llm = None,
    llm_spend: LlmSpend = None,
    llm_prices: LlmPrices = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault on the bot's own calls, e.g. 'botapi_429;p=0.1'; repeatable.", show_default=False),
    ] = None,
    pid: Annotated[int | None, typer.Option(help="The target's process.", show_default=False)] = None,
    metrics: Annotated[str | None, typer.Option(help="The target's Prometheus URL.", show_default=False)] = None,
    start_cmd: Annotated[
        str | None, typer.Option(help="Command that starts the target; run again when it has died.", show_default=False)
    ] = None,
    guide: Annotated[
        bool,
        typer.Option(
            "--guide",
            help="Let the code of the target guide the campaign: an agent runs inside the process that --start-cmd starts (Python, Node.js).",
        ),
    ] = False,
    guide_include: Annotated[
        list[str] | None,
        typer.Option(help="An installed package that counts as the target's own code; repeatable.", show_default=False),
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Where findings are remembered between runs.")] = Path(
        ".chaosbot"
    ),
    baseline: Annotated[
        Path | None, typer.Option(help="File with the ids of accepted findings.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes [1; with --cluster its slots].", show_default=False)
    ] = None,
    cluster: Cluster = None,
    export: Annotated[
        Path | None, typer.Option("--export-pytest", help="Write regression tests there.", show_default=False)
    ] = None,
    list_cases: Annotated[
        bool, typer.Option("--list", help="List the catalogue's cases and the sequences, and stop.")
    ] = False,
    ca: Authority = None,
    insecure: Insecure = False,
    cert: Certificate = None,
    key: CertificateKey = None,
    seed: Seed = None,
    out: Out = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
    web: Web = None,
    prometheus: Prometheus = None,
    linger: Linger = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send what no well-behaved platform sends, and say what the target should not have done.

    Without a TARGET the embedded demo bot is started and fuzzed. Exit codes: 0 nothing found, 1 findings, 2 usage, 3 inconclusive.

    Examples:

    - `chaosbot fuzz --secret-env TELEGRAM_SECRET_TOKEN http://127.0.0.1:8000/webhook/telegram`
    - `chaosbot fuzz URL --bot-api 127.0.0.1:8081` – the bot's Bot API base URL is http://127.0.0.1:8081
    - `chaosbot fuzz URL --case 'auth/*' --duration 10s`
    - `chaosbot fuzz --list`
    """
    platform = choose_platform(platform, platform_option)
    target = target_of(target, unix)
    if list_cases:
        _print_cases(platform, as_json=as_json)
        return
    bugs = choose_bugs(bugs)
    _require_cases(platform, case or [])
    check_corpus(corpus)
    if export is not None:
        check_output("--export-pytest", export, folder=True)
    if guide and not start_cmd:
        raise ConfigError("--guide", "needs --start-cmd: only a target that chaosbot starts can be watched from inside")
    if guide_include and not guide:
        raise ConfigError("--guide-include", "says what --guide counts as the target's own code; add --guide")
    prices = read_prices(llm_prices)
    right = read_option("--accept-status", accept_status or (), units.statuses)
    total_s = read_option("--duration", duration, units.duration)
    accepted(baseline)  # what cannot be read shall not show when the campaign is over
    chosen = choose_seed(seed)
    secret = read_secret(secret_env, embedded_seed=None if target else chosen)
    check_secret(platform, secret, secret_env)
    allow = tuple(allow_host or ())
    port = bot_api_port(bot_api)
    plan = plan_of([parse_fault(text) for text in fault or ()])
    check_pages(allow, metrics=metrics)
    tls = tls_of(ca, cert, key, insecure=insecure)
    check_cluster(cluster, allow)
    if target:
        if bugs:
            raise ConfigError("--bugs", "are those of the embedded bot; leave the target out")
        check_target(target, allow, reachable=start_cmd is None)
    outbound = choose_upstreams("mock" if bot_api or not target else "off", llm)
    check_upstreams(outbound, platform, allow)
    settings = {
        **({} if target else {"bugs": bugs}),
        "platform": platform,
        "stages": stages,
        "duration": duration,
        "malformed": malformed,
        **({ACCEPTED: right} if right else {}),
        "bot_api": bot_api,
        **({"llm": llm} if llm else {}),
        **({"prices": prices} if prices else {}),
    }
    with running(
        "fuzz",
        target or "embedded demo bot",
        chosen,
        out,
        secret=secret,
        settings=settings,
        quiet=quiet,
        as_json=as_json,
        total_s=total_s,
        web=web,
        prometheus=prometheus,
        linger=linger,
    ) as (run, watch):
        spec = EnvironmentSpec(
            target=target or "",
            bugs=bugs,
            secret=secret,
            platform=platform,
            plan=plan,
            outbound=outbound,
            outbound_port=port or (LLM_PORT if target and llm else 0),
            llm_spend=1.0 if llm_spend is None else llm_spend,
            prices=prices,
            inbound=False,
            allow_hosts=allow,
            reachable=start_cmd is None,
            tls=tls,
        )
        with prepared(run, spec) as environment:
            if target:
                tell_addresses(environment.upstreams, outbound, platform, watch.say)
            campaign = {
                "platform": platform,
                "duration_s": total_s,
                "max_examples": max_examples,
                "stages": tuple(name.strip() for name in stages.split(",") if name.strip()),
                "checks": tuple(check) if check else None,
                "malformed": malformed,
                "accept_status": right,
                "pid": pid,
                "metrics": metrics,
                "start_cmd": start_cmd,
                "guide": guide,
                "guide_include": tuple(guide_include or ()),
                "corpus": corpus,
                "baseline": baseline,
                "allow": allow,
                "secret_env": secret_env or DEFAULT_SECRET,
                "only": tuple(case or ()),
            }
            others = 0 if workers is None and cluster is None else workers and workers - 1  # beside this process
            with worker_processes(run, environment, cluster, others, (secret_variable(secret_env),), (), allow) as (
                count,
                start_worker,
            ):
                campaign["workers"] = 1 + count
                result = run_campaign(
                    run, environment, secret, campaign, undisturbed=not plan.rules, start_worker=start_worker
                )
            for name, reason in result.unjudged:
                watch.say(f"[dim]not judged: {name}: {escape(reason)}[/]")
    ended = conclude(run, quiet=quiet, as_json=as_json)
    if export is not None:
        count = export_pytest(run.directory / "findings", export)
        typer.echo(f"wrote {count} regression tests to {export}", err=as_json)
    raise ended


def _catalogue(platform: str) -> tuple[Case, ...]:
    tongue = platform_of(platform)
    return cases(tongue, Endpoint(path=tongue.default_path, secret="secret"), Dice(0))  # noqa: S106 - no real one


def _require_cases(platform: str, patterns: list[str]) -> None:
    names = [case.name for case in _catalogue(platform)] if patterns else []
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ConfigError(
                f"--case {pattern}",
                "matches none of the catalogue's cases; chaosbot fuzz --list names them (sequences: --stages sequences)",
            )


def _print_cases(platform: str, *, as_json: bool) -> None:
    rows = (*listing(_catalogue(platform)), *listed_scenarios(platform_of(platform)))
    if as_json:
        listed = [
            {"name": row.name, "threat": str(row.threat), "expectation": row.expectation, "summary": row.summary}
            for row in rows
        ]
        typer.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    console = make_console()
    if not console.is_terminal:
        # One line a case, for grep and its kin.
        width = max(len(row.name) for row in rows)
        for row in rows:
            typer.echo(f"{row.name:{width}}  {row.threat:7}  {row.expectation}  # {row.summary}")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("case", no_wrap=True)
    for heading in ("threat", "a correct server", "what is special"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.name, str(row.threat), escape(row.expectation), escape(row.summary))
    console.print(table)
    console.print(f"\n{len(rows)} cases; those that begin with sequences/ are played by the stage of that name")
