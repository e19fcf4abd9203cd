"""Puts an engine together: source, samplers, streams, search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

from chaosbot.core.arrival import Shard
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.event import Noted, Trouble
from chaosbot.core.journey import StreamAction, StreamSpec
from chaosbot.core.knee import KneeSearch
from chaosbot.core.platform import Platform, platform_of
from chaosbot.core.profile import Workload
from chaosbot.load.closed import ClosedExecutor
from chaosbot.load.engine import LoadEngine, RunHooks
from chaosbot.load.knee_steps import KneeRun
from chaosbot.load.sampling import Look, sample, watches
from chaosbot.load.sources import source_of
from chaosbot.load.spec import LoadSpec
from chaosbot.load.streams import STREAM_SHARE, StreamClients
from chaosbot.load.target import LoadTarget

NO_STREAMS = "none"


def check(spec: LoadSpec) -> None:
    """Refuses combinations that no run can be, before anything starts.

    Raises:
        ConfigError: With the option.
    """
    chosen = bool(spec.streams) and spec.streams != (NO_STREAMS,)
    if chosen and (spec.journey is not None or spec.corpus is not None):
        raise ConfigError("--stream", "cannot be combined with --journey or --corpus, which bring their own requests")
    if chosen and spec.shaped()[1] is Workload.OPEN:
        raise ConfigError(
            "--stream",
            "needs users who stay connected; leave --rate out, or choose a closed profile (smoke, sustained …)",
        )
    searching = getattr(spec.profile, "search", None) is not None
    if searching and spec.processes > 1:
        raise ConfigError("--processes", "a knee search runs in one process: each step depends on the one before it")
    if searching and spec.sender == "telegram":
        raise ConfigError(
            "--sender", "a knee search needs the raw sender; redelivery would offer more than the step's rate"
        )


def streams_of(spec: LoadSpec, platform: Platform) -> tuple[StreamSpec, ...]:
    """The scenarios that run: those named, or all that the platform has.

    Raises:
        UnknownName: The platform has no such scenario.
    """
    known = {stream.name: stream for stream in platform.streams()}
    if spec.streams == (NO_STREAMS,) or spec.journey is not None or spec.corpus is not None:
        return ()
    for name in spec.streams:
        if name not in known:
            raise UnknownName.of("stream", name, (*known, NO_STREAMS), where="--stream")
    return tuple(known[name] for name in spec.streams) if spec.streams else tuple(known.values())


def assemble(
    spec: LoadSpec,
    target: LoadTarget,
    hooks: RunHooks,
    shard: Shard | None = None,
    start: float | None = None,
) -> LoadEngine:
    """An engine that only waits to be run.

    Raises:
        UsageError: A bad journey file, an unknown stream, a process that is not there.
    """
    platform = platform_of(spec.platform)
    source = source_of(platform, spec.endpoint, spec.journey, spec.corpus)
    looks = watches(spec.samples) if shard is None or shard.index == 0 else []
    for look in looks:
        list(look())  # the first look loads what it needs, which must not delay the first arrivals
    engine = LoadEngine(spec, target, source, hooks, shard=shard, start=start)
    _watch(engine, looks)
    search = getattr(engine.profile, "search", None)
    if callable(search) and engine.workload is Workload.OPEN:
        first = search()
        if isinstance(first, KneeSearch):
            engine.search = KneeRun(engine, first)
    streams = streams_of(spec, platform)
    if streams and isinstance(engine.load, ClosedExecutor):
        _stream(engine, engine.load, streams)
    return engine


def _watch(engine: LoadEngine, looks: list[Callable[[], Iterator[Look]]]) -> None:
    def now() -> float:
        return engine.loop.clock() - engine.origin

    for look in looks:
        engine.background.append(partial(sample, look, engine.spec.samples.every_s, engine.hooks.emit, now))


def _stream(engine: LoadEngine, load: ClosedExecutor, streams: tuple[StreamSpec, ...]) -> None:
    """Makes every fourth user a client of a stream, and gives those of polling scenarios their REST tasks."""
    polls = tuple(stream for stream in streams if stream.action is StreamAction.POLL)
    sockets = tuple(stream for stream in streams if stream.action is not StreamAction.POLL)
    clients: list[tuple[int, float, float]] = []
    turns: set[str] = set()
    for user in [user for user in load.users if user.number % STREAM_SHARE == STREAM_SHARE - 1]:
        turn = user.number // STREAM_SHARE
        stream = streams[turn % len(streams)]
        turns.add(stream.name)
        if stream in polls:
            tasks = stream.tasks or user.journey.tasks
            user.journey = dataclasses.replace(user.journey, name=stream.name, tasks=tasks, wait_s=stream.pause_s)
        else:
            load.users.remove(user)
            place = sockets.index(stream) + len(sockets) * user.number
            clients += [(place, come, go) for come, go in engine.pacer.spans(user.number)]
    context = StreamClients(engine, sockets, clients)
    engine.background.append(context.run)
    _name_missing(engine, [stream.name for stream in streams if stream.name not in turns], len(streams))
    engine.extra_users = lambda: context.connected


def _name_missing(engine: LoadEngine, names: list[str], scenarios: int) -> None:
    """Says which scenarios have no client; one that was asked for by name makes the run inconclusive.

    Each of several processes sees its own users only, so there nothing can be said.
    """
    if engine.shard.count > 1:
        return
    for name in names:
        text = (
            f"did not run: one user in {STREAM_SHARE} is a stream's client, and {int(engine.pacer.peak)} users are too few for "
            f"{scenarios} scenarios; use at least {STREAM_SHARE * scenarios}, or choose by --stream"
        )
        if name in engine.spec.streams:
            engine.hooks.emit(Trouble(0.0, f"stream {name}", text))
        else:
            engine.hooks.emit(Noted(0.0, "stream-missing", f"{name} {text}", {"name": name}))
