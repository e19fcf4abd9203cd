"""Who takes part in a load: the kinds of users and the clients of streams, with their shares and what they do.

Rules:

- Without a word from the person the source's journeys keep their shares, and a quarter of the users are clients of the platform's
  streams, in equal parts.
- ``--class guest=80,market_stream=20`` names kinds of users and streams with relative weights; what is not named does not take part.
- ``--mix ask=3,start=1`` does the same with tasks, in every kind of user that has one of them; a kind that has none keeps its own.
- ``--wait 20s..60s`` replaces the pauses between two tasks of every kind of user; streams keep their own.
- A stream's clients stand in the population as a journey of its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from chaosbot.core import units
from chaosbot.core.arrival import Population
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.journey import JourneySpec, StreamAction, StreamSpec, Task
from chaosbot.core.pacer import Pacer
from chaosbot.core.profile import Metric, Workload
from chaosbot.load.factory import SLOW_MANNERS, Source, slowly
from chaosbot.load.spec import LoadSpec

STREAM_SHARE: Final = 0.25
"""The share of users who are clients of streams, where there are streams and nobody chose."""
NO_STREAMS: Final = "none"
_STREAM_USERS: Final = range(1, 1_000_001)


@dataclass(frozen=True)
class Cast:
    """The people of a run.

    Args:
        journeys: The kinds of users with their shares; the clients of each stream are one of them.
        streams: The scenarios by name.
        missing: Scenarios without any client, since there are too few users.
        asked: Whether the scenarios were chosen by name.
    """

    journeys: tuple[JourneySpec, ...]
    streams: Mapping[str, StreamSpec]
    missing: tuple[str, ...] = ()
    asked: bool = False


def weights(option: str, text: str) -> tuple[tuple[str, float], ...]:
    """Reads ``guest=80,admin=1``.

    Raises:
        ConfigError: It is none, names one twice, or gives all a weight of 0.
    """
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.rpartition("=")
        try:
            weight = float(value.removesuffix("%"))
        except ValueError:
            weight = -1.0
        if not equals or not 0 <= weight < float("inf"):
            raise ConfigError(f"{option} {text}", f"'{part}' is no NAME=WEIGHT; write for example guest=80,admin=1")
        if name.strip() in found:
            raise ConfigError(f"{option} {text}", f"names '{name.strip()}' twice; once is enough")
        found[name.strip()] = weight
    if not any(found.values()):
        raise ConfigError(f"{option} {text}", "gives nothing a weight above 0")
    return tuple(found.items())


def waits(option: str, text: str) -> tuple[float, float]:
    """Reads ``20s..60s`` (drawn evenly) or ``4s`` as the shortest and the longest pause, in seconds.

    Raises:
        ConfigError: It is neither, or the longest is the shorter one.
    """
    shortest, _, longest = text.partition("..")
    try:
        low, high = units.duration(shortest), units.duration(longest or shortest)
    except ConfigError as error:
        raise error.inside(option) from None
    if low > high:
        raise ConfigError(f"{option} {text}", "the first pause is the longer one; write for example 20s..60s")
    return low, high


def cast_of(spec: LoadSpec, source: Source) -> Cast:
    """Who takes part.

    Raises:
        UnknownName: A class, task or stream that there is not.
        ConfigError: Options that exclude each other.
    """
    journeys = _mixed(tuple(source.journeys()), spec.mix)
    known = {stream.name: stream for stream in source.streams()}
    for name in spec.streams:
        if name not in known and name != NO_STREAMS:
            raise UnknownName.of("stream", name, (*known, NO_STREAMS), where="--stream")
    _, workload, pacer = spec.shaped()
    if spec.wait_s is not None:
        if workload is Workload.OPEN:
            raise _needs_users("--wait")
        journeys = tuple(replace(journey, wait_s=spec.wait_s) for journey in journeys)
    if spec.classes:
        return _chosen(spec, journeys, known, workload, pacer)
    chosen = [known[name] for name in spec.streams if name in known] if spec.streams else list(known.values())
    if workload is Workload.OPEN:
        if spec.streams and chosen:
            raise _needs_users("--stream")
        chosen = []
    total = sum(journey.share for journey in journeys)
    share = total * STREAM_SHARE / (1 - STREAM_SHARE) / max(len(chosen), 1)
    whole = (*journeys, *(_clients(stream, share, journeys) for stream in chosen))
    found = _counted(whole, pacer) if chosen else Counter[str]()
    missing = tuple(stream.name for stream in chosen if not found[stream.name])
    return Cast(whole, {stream.name: stream for stream in chosen}, missing, bool(spec.streams))


def check_promises(spec: LoadSpec, source: Source, cast: Cast) -> None:
    """Refuses promises about a task or a stream that does not take part, since nothing would ever be seen of it.

    Raises:
        UnknownName: With those that do.
        ConfigError: A promise about streams where there are none.
    """
    sockets = [name for name, one in cast.streams.items() if one.action is not StreamAction.POLL]
    people = (journey for journey in cast.journeys if journey.share and journey.name not in sockets)
    tasks = {task.name for journey in people for task in journey.tasks if task.weight}
    for metric in map(Metric.parse, spec.promised):
        where = f"promise about {metric.name}{{{metric.of}}}" if metric.of else f"promise about {metric.name}"
        if metric.streams:
            if not sockets:
                raise ConfigError(
                    where,
                    "no stream takes part; leave it out, or name one by --class or --stream where the source has any",
                )
            if metric.of and metric.of not in sockets:
                raise UnknownName.of("stream", metric.of, sockets, where=where)
            continue
        known = {*tasks, *(f"{name}:{part}" for name in sockets for part in ("connect", "session"))}
        if spec.slow_share:
            known |= {slowly(task, how) for task in tasks for how in SLOW_MANNERS}
        # A builder of one's own may count requests under names that only it knows.
        if not (getattr(source, "renames", False) or any(map(metric.about, known))):
            wanted = metric.of.removeprefix("/")
            shown = known if "/" in wanted else {task.rpartition("/")[2] for task in known}
            raise UnknownName.of("task", wanted, shown, where=where)


def _needs_users(option: str) -> ConfigError:
    return ConfigError(
        option, "needs users who stay connected; leave --rate out, or choose a closed profile (smoke, sustained …)"
    )


def _chosen(
    spec: LoadSpec,
    journeys: tuple[JourneySpec, ...],
    known: Mapping[str, StreamSpec],
    workload: Workload,
    pacer: Pacer,
) -> Cast:
    if spec.streams:
        raise ConfigError("--stream", "cannot be combined with --class, which names the streams that take part")
    tiers = {journey.name: journey for journey in journeys}
    named = dict(spec.classes)
    for name in named:
        if name not in tiers and name not in known:
            raise UnknownName.of("class", name, (*tiers, *known), where="--class")
    streams = {name: known[name] for name, weight in named.items() if name in known and name not in tiers and weight}
    if streams and workload is Workload.OPEN:
        raise _needs_users("--class")
    whole = [replace(tiers[name], share=weight) for name, weight in named.items() if name in tiers]
    whole += [_clients(stream, named[name], journeys) for name, stream in streams.items()]
    found = _counted(tuple(whole), pacer)
    return Cast(tuple(whole), streams, tuple(name for name in streams if not found[name]), asked=True)


def _clients(stream: StreamSpec, share: float, journeys: tuple[JourneySpec, ...]) -> JourneySpec:
    """A stream's clients as a kind of user; those of a polling scenario do its REST tasks."""
    polls = stream.action is StreamAction.POLL
    tasks = stream.tasks or journeys[0].tasks
    return JourneySpec(stream.name, share, stream.pause_s, tasks, journeys[0].users if polls else _STREAM_USERS)


def _mixed(journeys: tuple[JourneySpec, ...], mix: tuple[tuple[str, float], ...]) -> tuple[JourneySpec, ...]:
    """The journeys with the tasks that ``--mix`` names; ``ask`` stands for ``guest/ask`` too."""
    if not mix:
        return journeys
    wanted = dict(mix)
    known = {task.name for journey in journeys for task in journey.tasks}
    short = {name.rpartition("/")[2] for name in known}
    for name in wanted:
        if name not in known | short:
            raise UnknownName.of("task", name, sorted(known | short), where="--mix")
    mixed = []
    for journey in journeys:
        picked = tuple(
            Task(task.name, wanted.get(task.name, wanted.get(task.name.rpartition("/")[2], 0.0)))
            for task in journey.tasks
        )
        picked = tuple(task for task in picked if task.weight > 0)
        mixed.append(replace(journey, tasks=picked) if picked else journey)
    return tuple(mixed)


def _counted(journeys: tuple[JourneySpec, ...], pacer: Pacer) -> Counter[str]:
    """How many virtual users of each kind there are at the peak; who they are does not depend on chance."""
    people = Population(journeys, Dice(0))
    return Counter(people.resident(number)[0].name for number in range(max(int(pacer.peak + 1e-9), 1)))


def shared_ids(journeys: tuple[JourneySpec, ...], pacer: Pacer) -> str:
    """Which kinds of users have fewer ids than virtual users, in words; empty when every user has one of their own."""
    counted, pools = _counted(journeys, pacer), {journey.name: len(journey.users) for journey in journeys}
    few = [f"{count} of {name} share {pools[name]} ids" for name, count in counted.items() if count > pools[name]]
    return ", ".join(few)
