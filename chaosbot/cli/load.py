"""`chaosbot load`: virtual users or arrivals from trio, with numbers that can be trusted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from chaosbot.cli import verb
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
    profile_of,
    promises,
)
from chaosbot.cli._options import (
    DEFAULT_SECRET,
    AcceptStatus,
    AllowHost,
    Authority,
    Certificate,
    CertificateKey,
    Cluster,
    Insecure,
    Json,
    Linger,
    OtlpUrl,
    Out,
    PlatformName,
    PlatformOptions,
    Prometheus,
    Quiet,
    RemoteWriteUrl,
    SecretEnv,
    Seed,
    Target,
    UnixSocket,
    Watched,
    Web,
    check_secret,
    choose_platform,
    choose_seed,
    read_option,
    read_secret,
    secret_variable,
    target_of,
    tls_of,
    webhook_of,
)
from chaosbot.config import defaults
from chaosbot.core import units
from chaosbot.core.check import ACCEPTED
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import Threshold, threshold_settings
from chaosbot.core.registry import options_of
from chaosbot.load.assembly import check
from chaosbot.load.cast import waits, weights
from chaosbot.load.spec import LoadSpec, Sampling
from chaosbot.session.abort import Sentinel, StopCondition
from chaosbot.session.driving import check_cluster, drive_load, require_webhook, worker_processes
from chaosbot.session.environment import EnvironmentSpec, check_pages, check_target, prepared

app = verb()

PER_REQUEST_RPS = 1500.0
"""Up to this rate every request becomes a journal line; above it frames alone speak."""


@app.command(cls=Watched)
def load(
    target: Target = None,
    unix: UnixSocket = None,
    profile: Annotated[str, typer.Option(help=PROFILE_HELP)] = "smoke",
    users: Users = None,
    spawn_rate: SpawnRate = None,
    duration: Annotated[str | None, typer.Option(help="How long, e.g. 2m.", show_default=False)] = None,
    rate: Rate = None,
    classes: Classes = None,
    mix: Mix = None,
    wait: Wait = None,
    max_in_flight: MaxInFlight = None,
    sender: Annotated[
        str, typer.Option(help="raw: plain concurrency; platform: its queues, connections and redelivery.")
    ] = "raw",
    platform: PlatformName = defaults.PLATFORM,
    platform_option: PlatformOptions = None,
    slow: Annotated[str, typer.Option(help="Share of users that send and read slowly, e.g. 10%.")] = "0%",
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share one plan [1; with --cluster every slot].", show_default=False),
    ] = None,
    cluster: Cluster = None,
    journey: Annotated[
        Path | None, typer.Option(help="A Python file with your own journey.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Requests as load: a fuzz corpus, a HAR file, a Postman collection, an OpenAPI document.",
            show_default=False,
        ),
    ] = None,
    slo: Slo = None,
    abort_on: AbortOn = None,
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
    ca: Authority = None,
    insecure: Insecure = False,
    cert: Certificate = None,
    key: CertificateKey = None,
    accept_status: AcceptStatus = None,
    connect_timeout: Annotated[str, typer.Option(help="Most time to connect.")] = "5s",
    timeout: Annotated[str, typer.Option(help="Most time for a request.")] = "30s",
    bodies: Bodies = None,
    traceparent: Traceparent = False,
    seed: Seed = None,
    out: Out = None,
    secret_env: SecretEnv = None,
    allow_host: AllowHost = None,
    web: Web = None,
    prometheus: Prometheus = None,
    remote_write: RemoteWriteUrl = None,
    otlp: OtlpUrl = None,
    linger: Linger = None,
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
    - `chaosbot load --users 100 --class guest=80,admin=1 --slo 'p95{/grant}<1s' URL`
    """
    platform = choose_platform(platform, platform_option)
    target = target_of(webhook_of(target, platform), unix)
    chosen = choose_seed(seed)
    shape = profile_of(profile, users, spawn_rate, duration, rate)
    accepted = read_option("--accept-status", accept_status or (), units.statuses)
    secret = read_secret(secret_env, embedded_seed=None if target else chosen)
    check_secret(platform, secret, secret_env)
    allow = tuple(allow_host or ())
    check_pages(allow, metrics=metrics, health=health)
    tls = tls_of(ca, cert, key, insecure=insecure)
    check_cluster(cluster, allow)
    if target:
        check_target(target, allow)
    pacer = shape.pacer()
    settings: dict[str, Any] = {
        "profile": shape.name,
        "options": {field.name: getattr(shape, field.name) for field in options_of(type(shape))},
        "sender": sender,
        "platform": platform,
        "processes": processes or 1,
        "traceparent": traceparent,
        **({"thresholds": threshold_settings(promises(slo))} if slo else {}),
        **({ACCEPTED: accepted} if accepted else {}),
    }
    conditions = [StopCondition.parse(text, "--abort-on") for text in abort_on or ()]
    load_spec = LoadSpec(
        url=target or "",
        endpoint=Endpoint("", secret=secret),
        platform=platform,
        seed=chosen,
        profile=shape,
        sender=sender,
        record_requests=True,
        most_recorded_rps=PER_REQUEST_RPS,
        secret_env=secret_variable(secret_env),
        slow_share=read_option("--slow", slow, units.share),
        journey=journey,
        corpus=corpus,
        allow_hosts=allow,
        connect_timeout_s=read_option("--connect-timeout", connect_timeout, units.duration),
        timeout_s=read_option("--timeout", timeout, units.duration),
        streams=tuple(stream or ()),
        accepted=frozenset(accepted),
        classes=weights("--class", classes) if classes is not None else (),
        mix=weights("--mix", mix) if mix is not None else (),
        wait_s=waits("--wait", wait) if wait is not None else None,
        max_in_flight=max_in_flight,
        bodies=bodies or "sample",
        traceparent=traceparent,
        promised=tuple(Threshold.parse(text).metric for text in slo or ()),
        processes=processes or 1,
    )
    needed = [load_spec.secret_env]
    if journey is None:  # running somebody's file is left to the driver, which does it once
        _, cast = check(load_spec)
        needed.append(cast.token_env)
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
        linger=linger,
        remote_write=remote_write,
        otlp=otlp,
        allow_hosts=allow,
    ) as (run, _watch):
        run.listeners.append(Sentinel(conditions, run.stop).notice)
        spec = EnvironmentSpec(
            target=target or "",
            secret=secret,
            platform=platform,
            outbound="off",
            inbound=False,
            allow_hosts=allow,
            tls=tls,
        )
        with prepared(run, spec) as environment:
            look = partial(
                require_webhook, environment, platform, secret, variable=secret_env or DEFAULT_SECRET, accepted=accepted
            )
            samples = Sampling(
                pid=pid,
                metrics=metrics or environment.metrics,
                metric_names=tuple(metric or ()),
                health=health or environment.health,
                circuits=circuits,
            )
            with worker_processes(run, environment, cluster, processes, needed, (journey, corpus), allow) as (
                count,
                start_worker,
            ):
                load_spec = replace(load_spec, samples=samples, processes=count)
                drive_load(run, environment, load_spec, start_worker=start_worker, look=look)
    raise conclude(run, quiet=quiet, as_json=as_json)
