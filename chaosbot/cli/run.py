"""`chaosbot run`: load through the proxy under a fault plan, steady state, recovery, one verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from chaosbot.cli import verb
from chaosbot.cli._console import make_console
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._load import (
    PROFILE_HELP,
    AbortOn,
    Bodies,
    Classes,
    MaxInFlight,
    Mix,
    Rate,
    Slo,
    SpawnRate,
    Traceparent,
    Users,
    Wait,
    named_profile,
    promises,
)
from chaosbot.cli._options import (
    BOT_API_PORT,
    AcceptStatus,
    AllowHost,
    Cluster,
    Json,
    Linger,
    Llm,
    LlmPrices,
    LlmSpend,
    OtlpUrl,
    Out,
    PlatformOptions,
    Prometheus,
    Quiet,
    RemoteWriteUrl,
    SecretEnv,
    Seed,
    UnixSocket,
    Watched,
    Web,
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
    webhook_of,
)
from chaosbot.cli._timeline import draw_timeline
from chaosbot.config.experiment import Experiment, built_in, experiment_schema, outbound_of, read_experiment
from chaosbot.config.plan import parse_fault, plan_of, read_plan
from chaosbot.core import units
from chaosbot.core.check import CHECKS
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.plan import FaultPlan
from chaosbot.core.prices import prices_with
from chaosbot.core.profile import PROFILES, Threshold
from chaosbot.core.profile import Workload as Shape
from chaosbot.load.assembly import check as check_load
from chaosbot.load.spec import BODIES
from chaosbot.session.abort import StopCondition
from chaosbot.session.driving import check_cluster
from chaosbot.session.experiment import check_experiment, compiled, lasting, load_of, perform

app = verb()

MODES: Final = ("load", "chaos", "full")
FULL_FUZZ_S: Final = 30.0


def _is_target(text: str, unix: Path | None) -> bool:
    """Whether an argument names a target rather than an experiment; on a socket also by its path alone, where no such file is."""
    return "://" in text or (unix is not None and text.startswith("/") and not Path(text).is_file())


@app.command(cls=Watched)
def run(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT] [TARGET]",
            help=f"An experiment file or built-in experiment ({', '.join(built_in())}), and the webhook's URL.",
            show_default=False,
        ),
    ] = None,
    unix: UnixSocket = None,
    plan: Annotated[
        Path | None, typer.Option(help="A fault plan instead of the experiment's.", show_default=False)
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault, e.g. 'latency:250ms±50ms;p=0.3'; repeatable.", show_default=False),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="load: no faults; chaos: all the chaos there is in one timeline (the experiment 'chaos', unless you name one); "
            "full: and a fuzz campaign while some of the bot's calls fail.",
            show_default=False,
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(help="Whose webhook it is (chaosbot platforms); by default the experiment's.", show_default=False),
    ] = None,
    platform_option: PlatformOptions = None,
    profile: Annotated[str | None, typer.Option(help=PROFILE_HELP, show_default=False)] = None,
    users: Users = None,
    spawn_rate: SpawnRate = None,
    rate: Rate = None,
    classes: Classes = None,
    mix: Mix = None,
    wait: Wait = None,
    max_in_flight: MaxInFlight = None,
    slo: Slo = None,
    abort_on: AbortOn = None,
    accept_status: AcceptStatus = None,
    bodies: Bodies = None,
    traceparent: Traceparent = False,
    check: Annotated[
        list[str] | None,
        typer.Option(help="Also judge by this check, e.g. rate_limit_holds; repeatable.", show_default=False),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(help="How long the whole takes, e.g. 5m: all phases longer or shorter alike.", show_default=False),
    ] = None,
    outbound: Annotated[
        str | None,
        typer.Option(
            help="What the bot's calls meet: mock (or mock:NAME), off, a base URL, or several with commas, each as NAME=WHERE if you like.",
            show_default=False,
        ),
    ] = None,
    llm: Llm = None,
    llm_spend: LlmSpend = None,
    llm_prices: LlmPrices = None,
    bot_api_port: Annotated[
        int,
        typer.Option(
            help="Where the outbound direction listens; point your bot's Bot API base URL there. Models are on the next port."
        ),
    ] = BOT_API_PORT,
    bugs: Annotated[
        str, typer.Option(help="Planted bugs of the embedded bot (names with commas, 'fragile' for all).")
    ] = "",
    cluster: Cluster = None,
    seed: Seed = None,
    out: Out = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the timeline and stop.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of experiment files and stop.")
    ] = False,
    web: Web = None,
    prometheus: Prometheus = None,
    remote_write: RemoteWriteUrl = None,
    otlp: OtlpUrl = None,
    linger: Linger = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive load through the proxy while faults act, and say whether the bot kept its promises and came back.

    Without a TARGET the embedded demo bot is started and tested. Exit codes: 0 pass, 1 failed, 2 usage, 3 inconclusive or invalid.

    Examples:

    - `chaosbot run` – each fault alone against the embedded bot
    - `chaosbot run outbound-outage http://127.0.0.1:8000/webhook/telegram`
    - `chaosbot run my.toml --dry-run`
    - `chaosbot run URL --fault 'lost_ack;p=0.2' --fault 'botapi_429;direction=outbound;p=0.3'`
    """
    if schema:
        typer.echo(json.dumps(experiment_schema(), indent=2))
        return
    if bodies is not None and bodies not in BODIES:
        raise UnknownName.of("choice", bodies, BODIES, where="--bodies")
    for text in abort_on or ():
        StopCondition.parse(text, "--abort-on")
    accepted = read_option("--accept-status", accept_status or (), units.statuses)
    bugs = choose_bugs(bugs)
    more = [CHECKS.build(name).name for name in check or ()]
    targets = [item for item in what or () if _is_target(item, unix)]
    names = [item for item in what or () if item not in targets]
    experiment = _experiment(names, targets, mode)
    experiment = replace(
        experiment,
        platform=choose_platform(platform or experiment.platform, platform_option),
        secret_env=secret_env or experiment.secret_env,
    )
    target = webhook_of(experiment.target or None, experiment.platform)
    experiment = replace(experiment, target=target_of(target, unix) or "")
    if fault or plan:
        rules = (read_plan(plan).rules if plan else ()) + tuple(parse_fault(text) for text in fault or ())
        experiment = replace(experiment, plan=plan_of(list(rules)), alone=False, name="custom")
    experiment = _adjusted(experiment, mode, outbound, allow_host)
    experiment = replace(
        experiment,
        outbound=choose_upstreams(experiment.outbound, llm),
        llm_spend=experiment.llm_spend if llm_spend is None else llm_spend,
        prices=prices_with(read_prices(llm_prices), experiment.prices),
    )
    experiment = _loaded(experiment, profile, users, spawn_rate, rate)
    experiment = replace(
        experiment,
        thresholds=(*experiment.thresholds, *promises(slo, windows=True)),
        abort_on=(*experiment.abort_on, *(abort_on or ())),
        workload=replace(
            experiment.workload,
            classes=classes or experiment.workload.classes,
            mix=mix or experiment.workload.mix,
            wait=wait or experiment.workload.wait,
            max_in_flight=max_in_flight or experiment.workload.max_in_flight,
            traceparent=traceparent or experiment.workload.traceparent,
            bodies=bodies or experiment.workload.bodies,
            accept_status=tuple(sorted({*experiment.workload.accept_status, *accepted})),
        ),
    )
    if duration is not None:
        experiment = lasting(
            experiment, read_option("--duration", duration, units.duration), own_load=profile is not None
        )
    file = next(iter(names), "")
    try:
        ready = compiled(experiment)
        check_load(load_of(ready))
    except ConfigError as error:
        raise (error.inside(file) if file else error) from None
    experiment = ready.experiment
    if dry_run:
        draw_timeline(make_console(), ready)
        return
    if experiment.target and bugs:
        raise ConfigError("--bugs", "are those of the embedded bot; leave the target out")
    chosen = choose_seed(seed if seed is not None else experiment.seed)
    secret = read_secret(experiment.secret_env or None, embedded_seed=None if experiment.target else chosen)
    check_secret(experiment.platform, secret, experiment.secret_env)
    check_experiment(experiment)
    check_cluster(cluster, experiment.allow_hosts)
    with running(
        "run",
        experiment.target or "embedded demo bot",
        chosen,
        out,
        secret=secret,
        settings={
            **experiment.settings(),
            **({} if experiment.target else {"bugs": bugs}),
            "mode": mode or "as written",
            "more_checks": more,
        },
        quiet=quiet,
        as_json=as_json,
        total_s=ready.load_s + experiment.fuzz_s + 5,
        web=web,
        prometheus=prometheus,
        linger=linger,
        remote_write=remote_write,
        otlp=otlp,
        allow_hosts=experiment.allow_hosts,
    ) as (current, watch):
        variable = secret_variable(secret_env or experiment.secret_env or None)
        perform(current, ready, secret, watch.say, bugs=bugs, port=bot_api_port, cluster=cluster, secret_env=variable)
    raise conclude(current, quiet=quiet, as_json=as_json)


def _experiment(names: list[str], targets: list[str], mode: str | None) -> Experiment:
    if mode is not None and mode not in MODES:
        raise UnknownName.of("mode", mode, MODES, where="--mode")
    if len(targets) > 1 or len(names) > 1:
        raise ConfigError(" ".join([*names, *targets]), "takes one experiment and one target URL at most")
    if names and (":" in names[0] or "/" in names[0]) and not Path(names[0]).exists() and not Path(names[0]).suffix:
        url = f"http://127.0.0.1:8000{names[0]}" if names[0].startswith("/") else f"http://{names[0]}"
        raise ConfigError(names[0], f"is neither a file nor a URL; a target begins with its scheme: {url}")
    usual = "chaos" if mode in ("chaos", "full") else "resilience"
    experiment = read_experiment(names[0] if names else usual)
    return replace(experiment, target=targets[0]) if targets else experiment


def _adjusted(
    experiment: Experiment, mode: str | None, outbound: str | None, allow_host: list[str] | None
) -> Experiment:
    if mode == "load":
        calm = tuple(
            text for text in experiment.thresholds if Threshold.parse(text).window not in ("fault", "recovery")
        )
        experiment = replace(experiment, plan=FaultPlan(), fuzz_s=0.0, thresholds=calm)
    if mode == "full" and not experiment.fuzz_s:
        experiment = replace(experiment, fuzz_s=FULL_FUZZ_S)
    if outbound is not None:
        experiment = replace(experiment, outbound=outbound_of(outbound, "--outbound"))
    return replace(experiment, allow_hosts=(*experiment.allow_hosts, *(allow_host or ())))


def _loaded(
    experiment: Experiment, profile: str | None, users: int | None, spawn_rate: str | None, rate: str | None
) -> Experiment:
    """The experiment with another load; users make a closed profile of it, a rate an open one, unless a profile is named."""
    workload = experiment.workload
    open_shape = PROFILES.build(workload.profile, workload.options).workload is Shape.OPEN
    if profile is None and users is not None and open_shape:
        profile = "sustained"
    if profile is None and rate is not None:
        profile = "steady"
    if profile is not None:
        name, options = named_profile(profile)
        workload = replace(workload, profile=name, options=options, users=None, rate=None)
    if users is not None:
        workload = replace(workload, users=users)
    if rate is not None:
        workload = replace(workload, rate=read_option("--rate", rate, units.frequency))
    if spawn_rate is not None:
        read_option("--spawn-rate", spawn_rate, units.frequency)
        workload = replace(workload, options={**workload.options, "spawn_rate": spawn_rate})
    return replace(experiment, workload=workload)
