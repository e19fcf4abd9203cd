"""Puts an engine together: source, samplers, streams, search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from chaosbot.core.arrival import Shard
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Noted, Trouble
from chaosbot.core.journey import GUESSED, JourneySpec, StreamAction
from chaosbot.core.knee import KneeSearch
from chaosbot.core.platform import Platform, platform_of
from chaosbot.core.profile import Workload
from chaosbot.load.cast import Cast, cast_of, check_promises, shared_ids
from chaosbot.load.closed import ClosedExecutor
from chaosbot.load.engine import LoadEngine, RunHooks
from chaosbot.load.factory import Source
from chaosbot.load.knee_steps import KneeRun
from chaosbot.load.sampling import Look, sample, watches
from chaosbot.load.sources import source_of
from chaosbot.load.spec import LoadSpec
from chaosbot.load.target import LoadTarget

Made: TypeAlias = tuple[Source, Cast]
"""Who encodes the requests, and who takes part."""


def made_of(spec: LoadSpec) -> Made:
    """The source and the cast of a run; a journey file is run and recordings are read here.

    Raises:
        ConfigError: With the option, or the line of a journey file.
    """
    source = source_of(platform_of(spec.platform), spec.endpoint, spec.journey, spec.corpus)
    return source, cast_of(spec, source)


def check(spec: LoadSpec) -> Made:
    """Refuses what no run can be, before anything starts; returns what was made for that.

    Raises:
        ConfigError: With the option, or the line of a journey file.
    """
    source, cast = made = made_of(spec)
    check_promises(spec, source, cast)
    searching = getattr(spec.profile, "search", None) is not None
    if searching and spec.processes > 1:
        raise ConfigError("--processes", "a knee search runs in one process: each step depends on the one before it")
    if searching and spec.sender != "raw":
        raise ConfigError(
            "--sender", "a knee search needs the raw sender; redelivery would offer more than the step's rate"
        )
    return made


def asks_platform(made: Made) -> bool:
    """Whether requests of the platform's own are sent: not those of a person's file alone, and not only clients of streams."""
    source, cast = made
    return bool(cast.people) and (isinstance(source, Platform) or not getattr(source, "own", True))


def expected_rps(spec: LoadSpec, journeys: Sequence[JourneySpec]) -> float:
    """How many requests a second a load comes to where the target answers at once; users without pauses write a thousand each."""
    _, workload, pacer = spec.shaped()
    if workload is Workload.OPEN:
        return pacer.peak
    share = sum(journey.share for journey in journeys) or 1.0
    pauses = ((journey.share, max(sum(journey.wait_s) / 2, 1e-3)) for journey in journeys)
    return pacer.peak * sum(part / pause for part, pause in pauses) / share


def assemble(
    spec: LoadSpec,
    target: LoadTarget,
    hooks: RunHooks,
    shard: Shard | None = None,
    start: float | None = None,
    made: Made | None = None,
) -> LoadEngine:
    """An engine that only waits to be run; a shard makes its source and cast itself.

    Raises:
        UsageError: A bad journey file, an unknown stream, a process that is not there.
    """
    source, cast = made or made_of(spec)
    if spec.record_requests and expected_rps(spec, cast.journeys) > spec.most_recorded_rps:
        spec = replace(spec, record_requests=False)
    looks = watches(spec.samples, spec.tls) if shard is None or shard.index == 0 else []
    for look in looks:
        list(look())  # the first look loads what it needs, which must not delay the first arrivals
    engine = LoadEngine(spec, target, source, hooks, cast.journeys, shard=shard, start=start)
    _watch(engine, looks)
    search = getattr(engine.profile, "search", None)
    if callable(search) and engine.workload is Workload.OPEN:
        first = search()
        if isinstance(first, KneeSearch):
            engine.search = KneeRun(engine, first)
    if engine.shard.index == 0:
        _name_missing(engine, cast)
    if isinstance(engine.load, ClosedExecutor):
        _stream(engine, engine.load, cast)
        if engine.shard.index == 0 and (shared := shared_ids(cast, engine.pacer)):
            hooks.emit(Noted(0.0, "users", shared))
    if engine.shard.index == 0 and isinstance(source, Platform) and not source.described:
        text = "nobody has said which bodies are valid, so that one is refused is a failure and no finding"
        hooks.emit(Noted(0.0, GUESSED, text))
    return engine


def _watch(engine: LoadEngine, looks: list[Callable[[], Iterator[Look]]]) -> None:
    def now() -> float:
        return engine.loop.clock() - engine.origin

    for look in looks:
        engine.background.append(partial(sample, look, engine.spec.samples.every_s, engine.hooks.emit, now))


def _stream(engine: LoadEngine, load: ClosedExecutor, cast: Cast) -> None:
    """Takes the clients of streams out of the users who send requests, and lets them connect instead."""
    sockets = {name: one for name, one in cast.streams.items() if one.action is not StreamAction.POLL}
    if not sockets:
        return
    from chaosbot.load.streams import StreamClients  # noqa: PLC0415 - a start without streams does not wait for wsproto

    clients = load.without(sockets)
    context = StreamClients(engine, sockets.values(), {user.number: sockets[user.journey.name] for user in clients})
    engine.background.append(context.run)
    engine.aggregator.streams = context.intervals
    engine.extra_users = lambda: context.connected
    engine.extra_steer = context.steer


def _name_missing(engine: LoadEngine, cast: Cast) -> None:
    """Says which scenarios and kinds of users nobody takes part for; one that was asked for by name makes the run inconclusive."""
    kinds = {journey.name for journey in cast.journeys} - cast.streams.keys()
    for name, why in cast.missing.items():
        if cast.asked:
            engine.hooks.emit(Trouble(0.0, f"{'users' if name in kinds else 'stream'} {name}", why))
        else:
            area = "users-missing" if name in kinds else "stream-missing"
            engine.hooks.emit(Noted(0.0, area, f"{name} {why}", {"name": name, "why": why}))
