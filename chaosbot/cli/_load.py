"""What `load` and `run` share: options that describe a load, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from chaosbot.cli._options import read_option
from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.profile import PROFILES, Profile, Threshold
from chaosbot.core.registry import options_of

PROFILE_HELP = "Shape of the load: see `chaosbot profiles`; 'stages:30s:100,5m:1000' for your own."

Users = Annotated[int | None, typer.Option(help="Virtual users (closed profiles).", show_default=False)]
SpawnRate = Annotated[str | None, typer.Option(help="Users started, e.g. 50/s.", show_default=False)]
Rate = Annotated[
    str | None,
    typer.Option(help="Arrivals, e.g. 500/s: an open workload whether or not the target keeps up.", show_default=False),
]
Slo = Annotated[
    list[str] | None,
    typer.Option(
        help="What must hold (target, alert), e.g. 'p99<2s,5s', 'p95{/grant}<1s', 'stream_gap_p99<1s'; repeatable.",
        show_default=False,
    ),
]
AbortOn = Annotated[
    list[str] | None,
    typer.Option(help="End early, e.g. 'error_rate > 50% for 10s'; repeatable.", show_default=False),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAME=WEIGHT,…",
        help="Who takes part: kinds of users and streams, e.g. guest=80,admin=1; the others do not.",
        show_default=False,
    ),
]
Mix = Annotated[
    str | None,
    typer.Option(
        metavar="TASK=WEIGHT,…", help="What they do, e.g. chat=3,complex=1; other tasks do not run.", show_default=False
    ),
]
Wait = Annotated[
    str | None,
    typer.Option(
        metavar="TIME..TIME",
        help="A user's pause between two tasks, e.g. 20s..60s or 4s, instead of the journeys' own.",
        show_default=False,
    ),
]
MaxInFlight = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Most requests on their way at once; others wait for their turn. Connections of streams are not among them.",
        show_default=False,
    ),
]
Bodies = Annotated[
    str | None,
    typer.Option(
        help="Answers whose bodies the journal keeps: failed, sample (and one in a hundred), all, none [sample].",
        show_default=False,
    ),
]
Traceparent = Annotated[
    bool, typer.Option("--traceparent", help="Send a W3C trace context, and list the slowest requests by trace id.")
]


def named_profile(text: str) -> tuple[str, dict[str, object]]:
    """A profile's name and options from ``NAME`` or ``NAME:VALUE`` of its primary option.

    Raises:
        ConfigError: No such profile, or one that takes no such value; the message names the option.
    """
    name, _, value = text.partition(":")
    try:
        primaries = [field.name for field in options_of(PROFILES.get(name)) if field.metadata["primary"]]
        if value and not primaries:
            raise UnknownName.of("value", value, (), where=name)
        options: dict[str, object] = {primaries[0]: value} if value else {}
        PROFILES.build(name, options)
    except ConfigError as error:
        raise error.inside("--profile") from None
    return name, options


def profile_of(text: str, users: int | None, spawn_rate: str | None, duration: str | None, rate: str | None) -> Profile:
    """The profile with its overrides; a rate alone means the open profile `steady`."""
    closed = "--users" if users is not None else "--spawn-rate" if spawn_rate is not None else ""
    if rate is not None and closed:
        raise ConfigError(
            closed, "users who wait for answers and --rate, arrivals that do not, exclude each other; give one of them"
        )
    if rate is not None and text.partition(":")[0] == "smoke":
        text = "steady"
    return PROFILES.build(*named_profile(text)).overridden(
        users=users,
        spawn_rate=None if spawn_rate is None else read_option("--spawn-rate", spawn_rate, units.frequency),
        duration=None if duration is None else read_option("--duration", duration, units.duration),
        rate=None if rate is None else read_option("--rate", rate, units.frequency),
    )


def promises(texts: Sequence[str] | None, *, windows: bool = False) -> tuple[str, ...]:
    """The promises of ``--slo``, which can be read; `windows` says whether the run has phases that they may name.

    Raises:
        ConfigError: One cannot; the message names the option.
    """
    for text in texts or ():
        try:
            window = Threshold.parse(text).window
        except ConfigError as error:
            raise error.inside("--slo") from None
        if window not in ("", "all") and not windows:
            raise ConfigError(
                f"--slo '{text}'",
                f"has no window '{window}': a load has no phases; leave out '/{window}', or use `chaosbot run`",
            )
    return tuple(texts or ())
