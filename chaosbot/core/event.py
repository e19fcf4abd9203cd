"""The events of a run: what happened, as frozen values that survive the journal and back.

Rules:

- The alphabet is closed (`Event`). A fold interprets what it needs and ignores the rest; a reader that meets an unknown
  type refuses the journal instead of guessing.
- `t` is seconds since the run started, on one monotonic clock for all processes of a run.
- Events are facts, not verdicts: even a finding is recorded as "this check said so".
- No event carries a whole payload or a secret; redaction happens in the journal, bounds are kept by whoever builds the event.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, Final, TypeAlias

from chaosbot.core.case import Expect
from chaosbot.core.errors import JournalError
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Outcome
from chaosbot.core.verdict import Judgement, Threat

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event: what runs, with which seed, against what."""

    t: float
    verb: str
    version: str
    seed: int
    target: str
    started: str
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """A phase begins: ``warmup``, ``baseline``, ``fault``, ``recovery``, ``cooldown``, ``fuzz`` …; `label` tells two apart."""

    t: float
    phase: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class RuleSwitched:
    """A rule of the fault plan became active or inactive (its window opened or closed, or someone changed the plan)."""

    t: float
    rule: str
    fault: str
    active: bool


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault met an exchange or a connection.

    `stage` is ``applied`` (it physically happened), ``failed`` (it broke: the run is inconclusive) or ``missed`` (decided,
    but the exchange ended before it could act).
    """

    t: float
    rule: str
    fault: str
    depth: Depth
    direction: Direction
    exchange: str
    stage: str
    connection: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RuleTallied:
    """What a rule came to at the end: looked at, decided to fire, applied, failed. A rule that never matched shows zeros."""

    t: float
    rule: str
    fault: str
    depth: Depth
    considered: int
    decided: int
    applied: int
    failed: int


@dataclass(frozen=True, slots=True)
class ExchangeSeen:
    """An exchange as the proxy or the mock saw it.

    `by` says who wrote the answer: ``target``, ``proxy`` (a fault, or the proxy's own 502) or ``mock``. `status` is what
    went to the client, None when nothing did; `upstream_status` what the upstream had answered, None when it was not asked.
    """

    t: float
    exchange: str
    direction: Direction
    method: str
    path: str
    status: int | None
    by: str
    seconds: float
    upstream_status: int | None = None
    update_id: int | str | None = None
    kind: str | None = None
    chat: int | str | None = None
    user: int | str | None = None
    command: str | None = None
    marker: str | None = None
    repeat_of: str | None = None


@dataclass(frozen=True, slots=True)
class RequestDone:
    """A driver's request with its fate (written per request while runs are slow enough, frames otherwise).

    `due` is when it should have started, `started` when it did; `outcome.total_s` counts from `started`.
    """

    t: float
    exchange: str
    due: float
    started: float
    outcome: Outcome
    task: str = ""
    tier: str = ""
    user: int | str | None = None
    update_id: int | str | None = None
    kind: str | None = None
    chat: int | str | None = None
    command: str | None = None
    marker: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CaseTried:
    """The fuzzer sent a case; `breaches` are the checks that it failed, `stage` the campaign's stage.

    `expect`, `control`, `check` and `summary` repeat what the case said, so that a refolded journal is judged like the live
    run. `sent` is when its first byte left, `canary_s` how long the valid update after it took (None: none was sent),
    `notes` what attribution found out (``died``, ``hung``, ``canary-lost`` …).
    """

    t: float
    case: str
    group: str
    threat: Threat
    stage: str
    outcome: Outcome
    breaches: tuple[str, ...] = ()
    marker: str = ""
    chat: int | str | None = None
    update_id: int | str | None = None
    command: str | None = None
    kind: str | None = None
    expect: Expect | None = None
    control: str = ""
    check: str = ""
    summary: str = ""
    sent: float = 0.0
    canary_s: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiCalled:
    """The bot called the Bot API mock (or answered with a method in its webhook answer, `via` = ``reply``).

    `text` is bounded; `status` is what the mock or a fault answered, None when nothing came back.
    """

    t: float
    method: str
    chat: int | str | None = None
    text: str = ""
    markers: tuple[str, ...] = ()
    status: int | None = 200
    via: str = "mock"
    exchange: str = ""
    reply_to: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeSeen:
    """A look at the target from outside: health, memory, descriptors, circuits, the canary."""

    t: float
    probe: str
    ok: bool
    value: Scalar = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class IntervalMeasured:
    """One second of load.

    Histograms are HdrHistogram's own compressed base64 in microseconds, merged by addition; `response` counts from the
    intended start, `service` from the real one. They hold what was answered (whatever the status) and what timed out (with
    the timeout as its duration); a refused or reset request has no latency and stands in `errors` alone.

    `planned` = `started` + `dropped` (+ what still waits); `started` = `completed` (answered below 400) + `failed` +
    `timed_out` + `cancelled` (the run ended first) + what is in flight. `t` is the end of its second.
    """

    t: float
    second: int
    shard: int
    planned: int
    started: int
    completed: int
    failed: int
    timed_out: int
    dropped: int
    response: str
    service: str
    errors: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    active_users: int = 0
    in_flight: int = 0
    faults: tuple[str, ...] = ()
    lateness_p99_s: float = 0.0
    lateness_max_s: float = 0.0
    cpu: float = 0.0
    cancelled: int = 0
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A check gave its judgement, findings and assertions included."""

    t: float
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that a reader of the report should know; `area` groups it (``coverage``, ``generator``, ``demo`` …)."""

    t: float
    area: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part of chaosbot failed or could not see (broken fault, dead probe, dead worker): the run cannot be a pass."""

    t: float
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event; `how` is ``completed``, ``interrupted`` or ``aborted``. A journal without it is torn."""

    t: float
    how: str
    reason: str = ""


Event: TypeAlias = (
    RunStarted
    | PhaseChanged
    | RuleSwitched
    | Injected
    | RuleTallied
    | ExchangeSeen
    | RequestDone
    | CaseTried
    | ApiCalled
    | ProbeSeen
    | IntervalMeasured
    | Judged
    | Noted
    | Trouble
    | RunEnded
)

TYPES: Final[dict[str, type[Any]]] = {event.__name__: event for event in typing.get_args(Event)}


BytesFilter: TypeAlias = Callable[[bytes], bytes]


def _plain(value: Any, clean: BytesFilter) -> Any:
    """A value as JSON knows it; bytes become base64, dataclasses dicts, defaults are left out."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, bytes):
        return b64encode(clean(value)).decode()
    if isinstance(value, frozenset):
        return [_plain(item, clean) for item in sorted(value)]
    if isinstance(value, (tuple, list)):
        return [_plain(item, clean) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, clean) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value, clean)
    raise TypeError(f"{type(value).__name__} has no place in an event")


def _fields(value: Any, clean: BytesFilter) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for item in dataclasses.fields(value):
        content = getattr(value, item.name)
        if item.default is not dataclasses.MISSING and content == item.default and type(content) is type(item.default):
            continue
        plain[item.name] = _plain(content, clean)
    return plain


def to_json(event: Event, clean: BytesFilter = bytes) -> dict[str, Any]:
    """An event as a JSON object, its type first.

    Args:
        event: What happened.
        clean: Takes secrets out of byte strings before they become base64, where no later search would find them.
    """
    return {"type": type(event).__name__, **_fields(event, clean)}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(hint: Any, value: Any, where: str) -> Any:
    """Reads a JSON value as the type that the field declares; anything else is a torn or foreign journal."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        return _read_union(typing.get_args(hint), value, where)
    if origin is tuple:
        arguments = typing.get_args(hint)
        if isinstance(value, list) and len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item, where) for item in value)
        if isinstance(value, list) and len(arguments) == len(value):
            return tuple(_read(argument, item, where) for argument, item in zip(arguments, value, strict=True))
    elif origin is frozenset:
        if isinstance(value, list):
            return frozenset(_read(typing.get_args(hint)[0], item, where) for item in value)
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _read(typing.get_args(hint)[1], item, where) for key, item in value.items()}
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            pass
    elif hint is bytes and isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except ValueError:
            pass
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint is type(None):
        if value is None:
            return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise JournalError(f"{where}: {value!r} is no {hint}")


def _read_union(members: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in members:
        return None
    # The exact type first: True must not become 1.0, nor "1" anything else.
    for member in members:
        if member is type(value):
            return value
    for member in members:
        try:
            return _read(member, value, where)
        except JournalError:
            continue
    raise JournalError(f"{where}: {value!r} is none of {members}")


def _build(kind: type[Any], value: Any, where: str) -> Any:
    hints = _hints(kind)  # type: ignore[arg-type]  # classes hash; mypy loses it on type[Any]
    if not isinstance(value, dict) or not value.keys() <= hints.keys():
        raise JournalError(f"{where}: {value!r} is no {kind.__name__}")
    try:
        return kind(**{key: _read(hints[key], item, f"{where}.{key}") for key, item in value.items()})
    except TypeError as error:
        raise JournalError(f"{where}: {error}") from None


def from_json(value: Any) -> Event:
    """Reads an event back.

    Raises:
        JournalError: No object, an unknown type, or a field of the wrong shape.
    """
    if not isinstance(value, dict) or value.get("type") not in TYPES:
        raise JournalError(f"not an event: type {value.get('type') if isinstance(value, dict) else value!r}")
    kind = TYPES[value["type"]]
    event: Event = _build(kind, {key: item for key, item in value.items() if key != "type"}, kind.__name__)
    return event
