"""`chaosbot load`: virtual users or arrivals from trio, with numbers that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from chaosbot.cli import verb
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._options import (
    DEFAULT_SECRET,
    AllowHost,
    Json,
    Out,
    PlatformName,
    PlatformOptions,
    Prometheus,
    Quiet,
    SecretEnv,
    Seed,
    Target,
    Watched,
    Web,
    choose_platform,
    choose_seed,
    read_option,
    read_secret,
)
from chaosbot.config import defaults
from chaosbot.config.experiment import threshold_settings
from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.profile import PROFILES, Profile, Workload
from chaosbot.core.registry import options_of
from chaosbot.load.spec import Sampling
from chaosbot.session.abort import Sentinel, StopCondition
from chaosbot.session.driving import LoadPart, drive_load, require_webhook
from chaosbot.session.environment import EnvironmentSpec, check_pages, check_target, prepared

app = verb()

PER_REQUEST_RPS = 1500.0
"""Up to this rate every request becomes a journal line; above it frames alone speak."""


@app.command(cls=Watched)
def load(
    target: Target = None,
    profile: Annotated[
        str, typer.Option(help="Shape of the load: see `chaosbot profiles`; 'stages:30s:100,5m:1000' for your own.")
    ] = "smoke",
    users: Annotated[int | None, typer.Option(help="Virtual users (closed profiles).", show_default=False)] = None,
    spawn_rate: Annotated[str | None, typer.Option(help="Users started, e.g. 50/s.", show_default=False)] = None,
    duration: Annotated[str | None, typer.Option(help="How long, e.g. 2m.", show_default=False)] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Arrivals, e.g. 500/s: an open workload whether or not the target keeps up.", show_default=False
        ),
    ] = None,
    sender: Annotated[
        str, typer.Option(help="raw: plain concurrency; telegram: per-chat queues, 40 connections, redelivery.")
    ] = "raw",
    platform: PlatformName = defaults.PLATFORM,
    platform_option: PlatformOptions = None,
    slow: Annotated[str, typer.Option(help="Share of users that send and read slowly, e.g. 10%.")] = "0%",
    processes: Annotated[int, typer.Option(min=1, help="Driver processes that share one plan.")] = 1,
    journey: Annotated[
        Path | None, typer.Option(help="A Python file with your own journey.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Replay the requests of a fuzz corpus as load.", show_default=False)
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(help="What must hold, e.g. 'p99<2s,5s' (target, alert); repeatable.", show_default=False),
    ] = None,
    abort_on: Annotated[
        list[str] | None,
        typer.Option(help="End early, e.g. 'error_rate > 50% for 10s'; repeatable.", show_default=False),
    ] = None,
    pid: Annotated[
        int | None, typer.Option(help="The target's process, for memory and descriptors.", show_default=False)
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="The target's Prometheus URL.", show_default=False)] = None,
    health: Annotated[
        str | None, typer.Option(help="A health URL whose JSON may carry circuits.", show_default=False)
    ] = None,
    circuits: Annotated[
        str, typer.Option(help="Where in the health answer circuits stand, as a JSON path.")
    ] = "$.circuits",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Another metric of the page to follow; repeatable.", show_default=False),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            help="Which of the platform's WebSocket scenarios run ('none' for REST alone); repeatable.",
            show_default=False,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The authority that signed an https target's certificate.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any certificate of an https target.")] = False,
    cert: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A client certificate (PEM), where the target asks.", show_default=False
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Its key, if not in --cert.", show_default=False),
    ] = None,
    accept_status: Annotated[
        list[str] | None,
        typer.Option(help="A status beside 2xx that is no failure, e.g. 304 or 3xx; repeatable.", show_default=False),
    ] = None,
    connect_timeout: Annotated[str, typer.Option(help="Most time to connect.")] = "5s",
    timeout: Annotated[str, typer.Option(help="Most time for a request.")] = "30s",
    seed: Seed = None,
    out: Out = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
    web: Web = None,
    prometheus: Prometheus = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive virtual users or arrivals against a webhook and judge what came back.

    Without a TARGET the embedded demo bot is started and loaded. Latency counts from when a request was due, so a stalled
    target cannot hide behind a waiting client. Exit codes: 0 pass, 1 failed, 2 usage, 3 inconclusive or invalid.

    Examples:

    - `chaosbot load` – a smoke run against the embedded bot
    - `chaosbot load --profile soak --users 200 --duration 1h http://127.0.0.1:8000/webhook/telegram`
    - `chaosbot load --rate 500/s --duration 2m --slo 'p99<500ms,1s' URL`
    """
    platform = choose_platform(platform, platform_option)
    chosen = choose_seed(seed)
    shape = _profile(profile, users, spawn_rate, duration, rate)
    secret = read_secret(secret_env, embedded_seed=None if target else chosen)
    allow = tuple(allow_host or ())
    check_pages(allow, metrics=metrics, health=health)
    if target:
        check_target(target, allow)
    pacer = shape.pacer()
    settings: dict[str, Any] = {
        "profile": shape.name,
        "options": {field.name: getattr(shape, field.name) for field in options_of(type(shape))},
        "sender": sender,
        "platform": platform,
        "processes": processes,
        **({"thresholds": threshold_settings(slo)} if slo else {}),
    }
    conditions = [StopCondition.parse(text) for text in abort_on or ()]
    part = LoadPart(
        profile=shape,
        platform=platform,
        secret=secret,
        sender=sender,
        processes=processes,
        slow_share=read_option("--slow", slow, units.share),
        journey=journey,
        corpus=corpus,
        allow_hosts=allow,
        connect_timeout_s=read_option("--connect-timeout", connect_timeout, units.duration),
        timeout_s=read_option("--timeout", timeout, units.duration),
        streams=tuple(stream or ()),
        verify=not insecure,
        ca=ca,
        cert=cert,
        key=key,
        accepted=_statuses(accept_status or ()),
    )
    with running(
        "load",
        target or "embedded demo bot",
        chosen,
        out,
        secret=secret,
        settings=settings,
        quiet=quiet,
        as_json=as_json,
        total_s=pacer.duration_s,
        web=web,
        prometheus=prometheus,
    ) as (run, _watch):
        run.listeners.append(Sentinel(conditions, run.stop).notice)
        spec = EnvironmentSpec(
            target=target or "", secret=secret, platform=platform, outbound="off", inbound=False, allow_hosts=allow
        )
        with prepared(run, spec) as environment:
            variable = secret_env or DEFAULT_SECRET
            require_webhook(
                environment, platform, secret, verify=part.verify, ca=part.ca, cert=cert, key=key, variable=variable
            )
            samples = Sampling(
                pid=pid,
                metrics=metrics or environment.metrics,
                metric_names=tuple(metric or ()),
                health=health or environment.health,
                circuits=circuits,
            )
            drive_load(run, environment, replace(part, samples=samples), per_request=_records(shape))
    raise conclude(run, quiet=quiet, as_json=as_json)


def _statuses(texts: Sequence[str]) -> frozenset[int]:
    """Reads ``304`` and ``3xx``.

    Raises:
        ConfigError: No such status.
    """
    found: set[int] = set()
    for text in texts:
        if len(text) == 3 and text[0] in "12345" and text[1:].lower() == "xx":
            found.update(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
        elif len(text) == 3 and text.isascii() and text.isdecimal() and "100" <= text <= "599":
            found.add(int(text))
        else:
            raise ConfigError("--accept-status", f"'{text}' is no HTTP status; write for example 304 or 3xx")
    return frozenset(found)


def _records(shape: Profile) -> bool:
    """Whether requests come slowly enough for a line each: a closed user rests for about three seconds between two."""
    peak = shape.pacer().peak
    return (peak if shape.workload is Workload.OPEN else peak / 3) <= PER_REQUEST_RPS


def _profile(text: str, users: int | None, spawn_rate: str | None, duration: str | None, rate: str | None) -> Profile:
    """The profile with its overrides; a rate alone means the open profile `steady`."""
    name, _, value = text.partition(":")
    if rate is not None and name == "smoke":
        name = "steady"
    entry = PROFILES.get(name)
    primaries = [field.name for field in options_of(entry) if field.metadata["primary"]]
    if value and not primaries:
        raise UnknownName.of("value", value, (), where=f"--profile {text}")
    built = PROFILES.build(name, {primaries[0]: value} if value else {})
    return built.overridden(
        users=users,
        spawn_rate=None if spawn_rate is None else read_option("--spawn-rate", spawn_rate, units.frequency),
        duration=None if duration is None else read_option("--duration", duration, units.duration),
        rate=None if rate is None else read_option("--rate", rate, units.frequency),
    )
