"""Who takes part in a load: the kinds of users and the clients of streams, with their shares and what they do.

Rules:

- Without a word from the person the source's journeys keep their shares, and a quarter of the users are clients of the platform's
  streams, in equal parts.
- ``--class guest=80,market_stream=20`` names kinds of users and streams with relative weights; what is not named does not take part.
- ``--mix ask=3,start=1`` does the same with tasks, in every kind of user that has one of them; a kind that has none keeps its own. A task
  that nobody does who takes part is refused, as is a promise about one.
- ``--wait 20s..60s`` replaces the pauses between two tasks of every kind of user; streams keep their own.
- A stream's clients stand in the population as a journey of its name.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from chaosbot.core import units
from chaosbot.core.arrival import STRETCH, Population
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.journey import TOKEN_VARIABLE, JourneySpec, StreamAction, StreamSpec, Task
from chaosbot.core.pacer import Pacer
from chaosbot.core.platform import Platform, platform_of
from chaosbot.core.profile import Metric, Workload
from chaosbot.load.factory import SLOW_MANNERS, Source, slowly
from chaosbot.load.spec import LoadSpec

STREAM_SHARE: Final = 0.25
"""The share of users who are clients of streams, where there are streams and nobody chose."""
NO_STREAMS: Final = "none"
MOST_DRAWN: Final = 10_000
"""Of more arrivals than this every kind takes part: drawing them all would cost the start too much."""
_STREAM_USERS: Final = range(1, 1_000_001)
_STAY: Final = (
    "did not run: the load is arrivals, and clients of streams are users who stay; "
    "use --users in place of --rate, or choose who takes part by --class"
)
_REPLACED: Final = (
    "did not run: a source of requests of one's own is in the platform's place and brings no streams; "
    "define streams() in the journey file, or leave them out by --stream none"
)


@dataclass(frozen=True)
class Cast:
    """The people of a run.

    Args:
        journeys: The kinds of users with their shares; the clients of each stream are one of them.
        streams: The scenarios by name.
        present: The kinds of which there is at least one virtual user.
        missing: Scenarios and kinds of users of whom there is none, each with the reason.
        asked: Whether the scenarios were chosen by name.
    """

    journeys: tuple[JourneySpec, ...]
    streams: Mapping[str, StreamSpec]
    present: frozenset[str]
    missing: Mapping[str, str] = field(default_factory=dict)
    asked: bool = False

    @property
    def sockets(self) -> tuple[str, ...]:
        """The scenarios whose clients connect; those of the others send requests."""
        return tuple(name for name, one in self.streams.items() if one.action is not StreamAction.POLL)

    @property
    def token_env(self) -> str:
        """The variable with the token that some stream's clients send; empty where none does, or it is not set here."""
        takes = any(self.streams[name].token_param for name in self.sockets)
        return TOKEN_VARIABLE if takes and os.environ.get(TOKEN_VARIABLE) else ""

    @property
    def people(self) -> list[JourneySpec]:
        """The kinds of users who take part with requests."""
        return [journey for journey in self.journeys if journey.share and journey.name not in self.sockets]


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
        UnknownName: A class, task or stream that there is not, or a task that nobody does who takes part.
        ConfigError: Options that exclude each other.
    """
    journeys, known = tuple(source.journeys()), {stream.name: stream for stream in source.streams()}
    for name in spec.streams:
        if not known and name != NO_STREAMS:
            raise ConfigError(f"--stream {name}", "there are no streams here to choose from; leave it out")
        if name not in known and name != NO_STREAMS:
            raise UnknownName.of("stream", name, known, where="--stream")
    _, workload, pacer = spec.shaped()
    if spec.wait_s is not None:
        if workload is Workload.OPEN:
            raise _needs_users("--wait")
        journeys = tuple(replace(journey, wait_s=spec.wait_s) for journey in journeys)
    missing: dict[str, str] = {}
    if spec.classes:
        whole, chosen = _chosen(spec, journeys, known, workload)
    else:
        chosen = [known[name] for name in spec.streams if name in known] if spec.streams else list(known.values())
        if workload is Workload.OPEN:
            if spec.streams and chosen:
                raise _needs_users("--stream")
            missing |= {stream.name: _STAY for stream in chosen}
            chosen = []
        if not (known or spec.streams or isinstance(source, Platform)):
            missing |= {stream.name: _REPLACED for stream in platform_of(spec.platform).streams()}
        total = sum(journey.share for journey in journeys)
        share = total * STREAM_SHARE / (1 - STREAM_SHARE) / max(len(chosen), 1)
        whole = [*journeys, *(_clients(stream, share, journeys) for stream in chosen)]
    present = _present(spec, whole)
    missing |= {
        one.name: _too_few(one.name, whole, workload, pacer) for one in whole if one.share and one.name not in present
    }
    streams = {stream.name: stream for stream in chosen}
    cast = Cast(tuple(whole), streams, present, missing, bool(spec.streams or spec.classes))
    return replace(cast, journeys=_mixed(spec, cast, journeys)) if spec.mix else cast


def check_promises(spec: LoadSpec, source: Source, cast: Cast) -> None:
    """Refuses promises about a task or a stream that does not take part, since nothing would ever be seen of it.

    Raises:
        UnknownName: With those that do.
        ConfigError: A promise about streams where there are none, or about what too few users take part for.
    """
    tasks = [(task.name, journey.name) for journey in cast.people for task in journey.tasks if task.weight]
    if spec.slow_share:
        tasks += [(slowly(task, how), kind) for task, kind in tasks for how in SLOW_MANNERS]
    tasks += [(f"{name}:{part}", name) for name in cast.sockets for part in ("connect", "session")]
    for metric in map(Metric.parse, spec.promised):
        where = f"promise about {metric.name}{{{metric.of}}}" if metric.of else f"promise about {metric.name}"
        if metric.streams:
            if not cast.sockets:
                raise ConfigError(
                    where,
                    "no stream takes part; leave it out, or name one by --class or --stream where the source has any",
                )
            if metric.of and metric.of not in cast.sockets:
                raise UnknownName.of("stream", metric.of, cast.sockets, where=where)
            _require_users(where, {name for name in cast.sockets if metric.of in ("", name)}, spec, cast)
            continue
        # A builder of one's own may count requests under names that only it knows.
        if not metric.of or getattr(source, "renames", False):
            continue
        kinds = {kind for task, kind in tasks if metric.about(task)}
        if not kinds:
            wanted = metric.of.removeprefix("/")
            shown = {task if "/" in wanted else _short(task) for task, _ in tasks}
            raise UnknownName.of("task", wanted, shown, where=where)
        _require_users(where, kinds, spec, cast)


def _require_users(where: str, kinds: Collection[str], spec: LoadSpec, cast: Cast) -> None:
    """Refuses what is about kinds of users of whom there is none.

    Raises:
        ConfigError: None of these has a virtual user.
    """
    if cast.present.isdisjoint(kinds):
        users = max(int(spec.shaped()[2].peak + 1e-9), 1)
        raise ConfigError(
            where,
            f"is about {' and '.join(sorted(kinds))} alone, of whom there is none among {users} user{'s' * (users != 1)}; "
            "use more, or choose who takes part by --class",
        )


def _needs_users(option: str) -> ConfigError:
    return ConfigError(
        option, "needs users who stay connected; leave --rate out, or choose a closed profile (smoke, sustained …)"
    )


def _chosen(
    spec: LoadSpec, journeys: tuple[JourneySpec, ...], known: Mapping[str, StreamSpec], workload: Workload
) -> tuple[list[JourneySpec], list[StreamSpec]]:
    """Those whom ``--class`` names, and the streams among them."""
    if spec.streams:
        raise ConfigError("--stream", "cannot be combined with --class, which names the streams that take part")
    tiers = {journey.name: journey for journey in journeys}
    named = dict(spec.classes)
    for name in named:
        if name not in tiers and name not in known:
            raise UnknownName.of("class", name, (*tiers, *known), where="--class")
    streams = [known[name] for name, weight in named.items() if name in known and name not in tiers and weight]
    if streams and workload is Workload.OPEN:
        raise _needs_users("--class")
    whole = [replace(tiers[name], share=weight) for name, weight in named.items() if name in tiers]
    return [*whole, *(_clients(stream, named[stream.name], journeys) for stream in streams)], streams


def _clients(stream: StreamSpec, share: float, journeys: tuple[JourneySpec, ...]) -> JourneySpec:
    """A stream's clients as a kind of user; those of a polling scenario do its REST tasks."""
    polls = stream.action is StreamAction.POLL
    tasks = stream.tasks or journeys[0].tasks
    return JourneySpec(stream.name, share, stream.pause_s, tasks, journeys[0].users if polls else _STREAM_USERS)


def _mixed(spec: LoadSpec, cast: Cast, journeys: Sequence[JourneySpec]) -> tuple[JourneySpec, ...]:
    """The cast's journeys with the tasks that ``--mix`` names; ``ask`` stands for ``guest/ask`` too.

    Raises:
        UnknownName: A task that there is not, or that nobody does who takes part.
        ConfigError: One that too few users take part for.
    """
    wanted = dict(spec.mix)
    everybody = {task.name for journey in (*journeys, *cast.people) for task in journey.tasks}
    done = [(task.name, journey.name) for journey in cast.people for task in journey.tasks]
    for name, weight in wanted.items():
        kinds = {kind for task, kind in done if name in (task, _short(task))}
        # What is not to be done may be a task of anybody's.
        if not kinds and (weight or name not in everybody | set(map(_short, everybody))):
            shown = {each for task, _ in done for each in (task, _short(task))}
            raise UnknownName.of("task", name, shown, where="--mix")
        if weight:
            _require_users(f"--mix {name}", kinds, spec, cast)
    mixed = []
    for journey in cast.journeys:
        picked = tuple(
            Task(task.name, wanted.get(task.name, wanted.get(_short(task.name), 0.0))) for task in journey.tasks
        )
        picked = tuple(task for task in picked if task.weight > 0)
        mixed.append(replace(journey, tasks=picked) if picked else journey)
    return tuple(mixed)


def _short(task: str) -> str:
    """A task's name without the kind of user before it."""
    return task.rpartition("/")[2]


def _present(spec: LoadSpec, journeys: Sequence[JourneySpec]) -> frozenset[str]:
    """The kinds of which somebody takes part: among the users at the peak, or among the arrivals."""
    profile, workload, pacer = spec.shaped()
    wanted = {journey.name for journey in journeys if journey.share}
    if workload is Workload.CLOSED:
        return frozenset(journey.name for journey, _ in _residents(journeys, pacer))
    if getattr(profile, "search", None) is not None:
        return frozenset(wanted)
    drawn, found = Population(journeys, Dice(spec.seed).at("load")), set[str]()
    for number in range(min(pacer.arrivals, MOST_DRAWN)):
        found.add(drawn.visitor(number)[0].name)
        if found == wanted:
            break
    return frozenset(found if pacer.arrivals <= MOST_DRAWN else wanted)


def _too_few(name: str, journeys: Sequence[JourneySpec], workload: Workload, pacer: Pacer) -> str:
    """Why a kind does not take part, and what would change that."""
    if workload is Workload.OPEN:
        count = pacer.arrivals
        return f"did not run: none of the {count} arrival{'s' * (count != 1)} was drawn for it; use more, or choose who takes part by --class"
    users, drawn = max(int(pacer.peak + 1e-9), 1), Population(journeys, Dice(0))
    needed = next((number + 1 for number in range(STRETCH) if drawn.resident(number)[0].name == name), None)
    if needed is None:
        return "did not run: its share is too small for any number of users; choose who takes part by --class"
    return f"did not run: {users} user{'s are' if users != 1 else ' is'} too few, {needed} are enough; use more, or choose who takes part by --class"


def _residents(journeys: Sequence[JourneySpec], pacer: Pacer) -> Iterator[tuple[JourneySpec, int | str]]:
    """The virtual users at the peak; who they are does not depend on chance."""
    return map(Population(journeys, Dice(0)).resident, range(max(int(pacer.peak + 1e-9), 1)))


def shared_ids(cast: Cast, pacer: Pacer) -> str:
    """Which virtual users have an id that another one has too, in words; empty when every user has one of their own.

    Clients of streams have no id that a target could see.
    """
    whose: dict[int | str, list[str]] = defaultdict(list)
    for journey, user in _residents(cast.journeys, pacer):
        if journey.name not in cast.sockets:
            whose[user].append(journey.name)
    shared = [kinds for kinds in whose.values() if len(kinds) > 1]
    users = Counter(kind for kinds in shared for kind in kinds)
    if not users:
        return ""
    told = ", ".join(f"{count} of {kind}" for kind, count in users.items())
    return f"virtual users that share ids: {told} have {len(shared)} between them"
