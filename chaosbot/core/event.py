"""The events of a run: what happened, as frozen values that survive the journal and back.

Rules:

- The alphabet is closed (`Event`). A fold interprets what it needs and ignores the rest; a reader that meets an unknown
  type or member refuses the journal instead of guessing.
- `t` is seconds since the run started, on one monotonic clock for all processes of a run.
- Events are facts, not verdicts: even a finding is recorded as "this check said so".
- No event carries a whole payload or a secret; redaction happens in the journal, bounds are kept by whatever builds the event.
- Any value that a field can hold reads back as it was: integers of any length, NaN and infinities, lone surrogates, control
  characters. What JSON cannot say is written as ``{"$float": "nan"}`` or ``{"$int": "0x…"}``.
- Events are msgspec Structs. A union inside an event is a union of Structs with a tag (derive them from `Tagged`); plain
  values inside an event may be dataclasses.
- A type or member that was renamed is read under its old name too (`_OLD_TYPES`, `_OLD_MEMBERS`).
"""

from __future__ import annotations

import json
import math
import re
import sys
import typing
from typing import Any, Final, TypeAlias

import msgspec

from chaosbot.core.case import ORDINARY, Change, Expect, Role
from chaosbot.core.errors import JournalError
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.observation import Observation
from chaosbot.core.outcome import Outcome
from chaosbot.core.verdict import Judgement, Threat

SCHEMA: Final = 2
"""The version of the journal's form that this version writes: 2 adds sequence numbers and the running digest; 1 lacks `RunStarted.schema`."""

KEPT_TEXT: Final = 1024
"""At most so many characters of what the target writes to its users are kept of each message."""

Scalar: TypeAlias = str | int | float | bool | None


class Tagged(msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True, forbid_unknown_fields=True):
    """A value that carries its class's name as ``type``; members with their default value are not written."""


class RunStarted(Tagged, frozen=True):
    """The first event: what runs, with which seed, against what."""

    t: float
    verb: str
    version: str
    seed: int
    target: str
    started: str
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    schema: int = 1


class PhaseChanged(Tagged, frozen=True):
    """A phase begins: ``warmup``, ``baseline``, ``fault``, ``recovery``, ``burst``, ``cooldown``, ``fuzz`` …; `label` tells two apart."""

    t: float
    phase: str
    label: str = ""


class RuleSwitched(Tagged, frozen=True):
    """A rule of the fault plan became active or inactive (its window opened or closed, or someone changed the plan)."""

    t: float
    rule: str
    fault: str
    active: bool


class Injected(Tagged, frozen=True):
    """A fault met an exchange or a connection.

    `stage` is ``applied`` (it physically happened), ``failed`` (it broke: the run is inconclusive) or ``missed`` (decided,
    but the exchange ended before it could act, or what `detail` says).
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


TRIALS: Final = "outbound/"
"""So begin the names of the rules that a campaign itself puts on the target's calls, for its trials; they are no part of a plan."""


class RuleTallied(Tagged, frozen=True):
    """What a rule came to at the end: looked at, decided to fire, applied, failed. A rule that never matched shows zeros."""

    t: float
    rule: str
    fault: str
    depth: Depth
    considered: int
    decided: int
    applied: int
    failed: int


class ExchangeSeen(Tagged, frozen=True):
    """An exchange as the proxy or the mock saw it.

    `by` says who wrote the answer: ``target``, ``proxy`` (a fault, or the proxy's own 502) or ``mock``. `status` is what
    went to the client, None when nothing did; `upstream_status` what the upstream had answered, None when it was not asked.
    `whole` is False where a fault let only a part of the answer through, so that its client has none. `upstream` names the API that
    an outbound exchange is for. `began_s` says after how many seconds its answer began to come, where that came in pieces.
    `seconds` ends when the answer's last byte has left to the client, also where faults on bytes hold it back. `connection` is the
    client connection's ordinal.
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
    whole: bool = True
    upstream: str = ""
    began_s: float | None = None
    connection: int = 0


class RequestDone(Tagged, frozen=True):
    """A driver's request with its fate (written per request while runs are slow enough, metrics intervals otherwise).

    `due` is when it should have started, `started` when it did; `outcome.total_s` counts from `started`. `trace` is its W3C trace id,
    where it carried one; `callback` is by what its press or interaction is answered.
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
    trace: str = ""
    callback: str | None = None


class CampaignStarted(Tagged, frozen=True):
    """A fuzz campaign has looked at its target and begins.

    Args:
        t: Seconds since the run started.
        replies: Where the target's replies are seen: ``mock``, ``body`` (in the webhook's answer) or ``none``.
        malformed: The policy for malformed requests: ``reject``, ``ack`` or ``any``.
        memory: Whether the target's memory can be read.
        checks: The checks that were asked for; empty asks for all.
        accepted: Ids of findings that are accepted (the baseline).
        latency_s: An answer that takes longer is a hang.
        health_s: The median of the first health requests.
        deadline_s: How long the platform waits for the answer to one of those, where it is known for that; 0 otherwise.
        accept_status: Statuses beside 2xx that are right for a valid update.
    """

    t: float
    replies: str = "none"
    malformed: str = "any"
    memory: bool = False
    checks: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    latency_s: float = 0.0
    health_s: float = 0.0
    deadline_s: float = 0.0
    accept_status: tuple[int, ...] = ()

    @property
    def sees_calls(self) -> bool:
        """Whether the target's calls are seen at all."""
        return self.replies != "none"


class CaseTried(Tagged, frozen=True):
    """The fuzzer sent a case; `stage` is the campaign's stage.

    `violations` are the checks that it seemed to violate while the campaign ran, for live displays only: checks judge the
    history. `expect`, `control`, `check`, `summary`, `change`, `role`, `scenario` and `copies` repeat what the case said (see
    `Case`). `sent` is when its first byte left, `health_s` how many seconds the health request after it took (None: none was sent),
    `observations` what was seen beside its answer. `exchange` is its own id, `message` and `callback` are what a reply may refer to.
    `names` are what its sender and its chat are called, where it is compared with others. `wrote` is a digest of the text that holds its
    marker (`chaosbot.core.marker.digest`): what repeats all of that elsewhere passes it on.
    """

    t: float
    case: str
    group: str
    threat: Threat
    stage: str
    outcome: Outcome
    violations: tuple[str, ...] = ()
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
    health_s: float | None = None
    observations: tuple[Observation, ...] = ()
    change: Change = ORDINARY
    role: Role = Role.ATTEMPT
    scenario: str = ""
    copies: int = 1
    exchange: str = ""
    user: int | str | None = None
    message: int | str | None = None
    callback: str | None = None
    names: tuple[str, ...] = ()
    wrote: str = ""


class ApiCalled(Tagged, frozen=True):
    """The target called the API by which it speaks to its users (or answered a delivery with a call, `via` = ``reply``,
    or ``answer`` where the platform reads one answer to each delivery only).

    `text` is bounded (`KEPT_TEXT`); `status` is what the mock or a fault answered, None when nothing came back. `message` is the id of the message
    that the call created, edited or deleted, `callback` the id of the pressed button that it answers; `upstream` is the API's name. `tells`
    names a secret that stands in what the user would read: ``token`` (the bot's), ``secret`` (the run's), ``key`` (a model provider's) or
    ``instructions`` (what a model was told). `buttons` are the data of the buttons below the message, `keys` the texts that it offers to
    write: a reply keyboard's, a command menu's, a deep link's ``/start``. `answers` are the marks of models' answers in the text.
    A message that is passed on (forwarded or copied) was `original` in the chat `origin`. `refusal` is why the mock itself refused what the
    call says (markup that cannot be read, too long a text), as the API says it; empty for whatever else failed. A call that changes what a
    member of the chat may do (mute, ban, promote, let in) names that `member`.
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
    message: int | None = None
    callback: str = ""
    upstream: str = ""
    tells: str = ""
    buttons: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    origin: int | str | None = None
    original: int | None = None
    refusal: str = ""
    member: int | None = None

    @property
    def in_answer(self) -> bool:
        """Whether it stands in the answer to a delivery: no request of its own, and nothing that a fault on the API could meet."""
        return self.via in ("reply", "answer")

    def telling(self, what: str) -> ApiCalled:
        """The same call, known to tell a secret."""
        return msgspec.structs.replace(self, tells=self.tells or what)


class ModelCalled(Tagged, frozen=True):
    """The target called a language model.

    Args:
        t: Seconds since the run started.
        provider: ``anthropic``, ``openai`` or ``gemini``.
        api: Which of its APIs (``messages``, ``chat`` …); ``unknown`` for a path that it does not have.
        model: The model's name, bounded.
        call: A digest of path and body, the same for calls that ask for the same.
        stream: Whether the answer was asked for as a stream.
        attempt: Which attempt of the SDK it was, from 1.
        markers: The markers in what the user said last.
        earlier: The markers in earlier turns.
        turns: How many turns it has.
        results: What tools answered to the calls of the turn before, bounded; ``error: `` precedes what is said to be one.
        answer: The mark in the answer's text (`chaosbot.core.llm.marked`); empty where it has none.
        text: The answer's text, bounded.
        stop: Why the answer ends (`chaosbot.core.llm.Stop`); empty where there is none.
        tools: The tools that the answer calls.
        status: What was answered, None when nothing came back.
        problem: What the mock refused the call for.
        error: The code or type of the error that was answered, in the provider's words.
        retry_after_s: What a refusal said to wait.
        input_tokens: About how many tokens were sent.
        output_tokens: About how many were answered.
        read_timeout_s: How long the SDK said that it waits for bytes.
        exchange: The exchange's id.
        upstream: The name of the API.
    """

    t: float
    provider: str
    api: str
    model: str = ""
    call: str = ""
    stream: bool = False
    attempt: int = 1
    markers: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    turns: int = 0
    results: tuple[str, ...] = ()
    answer: str = ""
    text: str = ""
    stop: str = ""
    tools: tuple[str, ...] = ()
    status: int | None = 200
    problem: str = ""
    error: str = ""
    retry_after_s: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    read_timeout_s: float | None = None
    exchange: str = ""
    upstream: str = ""

    def made_for(self, marker: str) -> ModelCalled:
        """The same call, known to be made for an update."""
        return msgspec.structs.replace(self, markers=(marker,), earlier=())


class OutboundTried(Tagged, frozen=True):
    """A campaign let one kind of trouble meet the target's calls to one chat.

    Args:
        t: When the trial was over.
        trouble: The kind of trouble (``429``, ``reset`` …).
        method: The API method that met it.
        case: The name of the update that made the target call.
        chat: The chat that the call went to; no other trial uses it at the time.
        sent: When the update left.
        until: Until when its message was waited for; what is called later is about something else.
        acknowledged: Whether the webhook acknowledged it.
        lossless: Whether the message must arrive in the end all the same.
        others: Whether another user was answered meanwhile; None when nobody asked.
        again: Whether the same chat was answered afterwards; None when nobody asked.
        moved_to: The chat's new id, where the trouble is that it moved.
        answered: Whether the sender was answered, where the trouble met a call to somebody else; None otherwise.
        rest: Whether others got theirs of a message to many, where one of the many met the trouble; None otherwise.
    """

    t: float
    trouble: str
    method: str
    case: str
    chat: int | str
    sent: float
    until: float
    acknowledged: bool = True
    lossless: bool = False
    others: bool | None = None
    again: bool | None = None
    moved_to: int | str | None = None
    answered: bool | None = None
    rest: bool | None = None


class StateTried(Tagged, frozen=True):
    """A campaign let users talk to the target in a way that only its memory can get wrong.

    A play is what was said in answer to each of its steps, in order; texts of one answer are joined by newlines.

    Args:
        t: When the trial was over.
        trial: Which one: ``at-once``, ``users-at-once``, ``edited``, ``conversation``, ``group-conversation``,
            ``crossed``, ``order``; ``one-thing`` and ``one-thing-once``, where several users ask for one thing that counts them, or that
            only so many get; ``gathered``, where several things are made, or added to one, at once, ``again``, where what makes one comes twice, and
            ``displaced``, where another user makes theirs elsewhere; ``credited``, where two at once change a number of somebody's, and
            ``taken``, where somebody does so with a negative amount; ``confirmed``, where one presses again what has confirmed their words;
            ``pressed-again``, where a press comes twice.
        case: A delivery of the stage about when the trial was over; trials run side by side.
        what: What is said, for people.
        alone: The controls: plays one after another, with nobody and nothing beside them.
        seen: The plays that were tried.
        others: What somebody else rightly gets for the same, where answers may be mixed up; what is shown after two presses.
    """

    t: float
    trial: str
    case: str
    what: str
    alone: tuple[tuple[str, ...], ...]
    seen: tuple[tuple[str, ...], ...]
    others: tuple[str, ...] = ()


class TrustTried(Tagged, frozen=True):
    """A campaign sent what must not be believed, or what must not be lost, and saw what the target did because of it.

    Deeds are calls as ``method: text``, without numbers and ids; of a batch they are its members that were answered.

    Args:
        t: When the trial was over.
        check: The check that judges it.
        name: What was tried.
        case: One of its deliveries.
        what: What it is about, for people.
        threat: Who can send it.
        rightful: What was done for who may.
        plain: What was done for who claims nothing.
        tries: What was done each time that it was tried.
    """

    t: float
    check: str
    name: str
    case: str
    what: str
    threat: Threat
    rightful: tuple[str, ...]
    plain: tuple[str, ...]
    tries: tuple[tuple[str, ...], ...]


class ProbeSeen(Tagged, frozen=True):
    """A look at the target from outside: health, memory, descriptors, circuits, the health request."""

    t: float
    probe: str
    ok: bool
    value: Scalar = None
    detail: str = ""


class TargetRaised(Tagged, frozen=True):
    """An error arose in the target's own code, as the agent inside it saw (`--guide`).

    Args:
        t: When it was told.
        error: Its class.
        text: Its text, bounded.
        frames: The frames of own code, the innermost first: ``bot.py:10 in handle``.
        meant: Whether the code raises it itself, or catches just this kind of error.
        handled: The handler in own code that catches it (``bot.py:20``); empty where it leaves own code.
        case: The case that the frames were working on; empty where that could not be told.
        exchange: That case's exchange.
        inner: The innermost frame of all: a library's file and function.
    """

    t: float
    error: str
    text: str
    frames: tuple[str, ...]
    meant: bool = False
    handled: str = ""
    case: str = ""
    exchange: str = ""
    inner: str = ""


class LoopBlocked(Tagged, frozen=True):
    """One callback held the target's event loop, as the agent inside it saw (`--guide`).

    Args:
        t: When it was over.
        seconds: For how long.
        frames: What it was in, then the frames of own code around that, the innermost first.
        case: The case that the frames were working on; empty where that could not be told.
    """

    t: float
    seconds: float
    frames: tuple[str, ...]
    case: str = ""


class CodeReached(Tagged, frozen=True):
    """How much of the target's own code has run by the end of a campaign's stage (``start`` before the first).

    Args:
        t: When.
        stage: The stage.
        lines: Lines that have run.
        of_lines: Lines that there are.
        sides: Sides of conditional jumps that were taken.
        of_sides: Sides that there are.
    """

    t: float
    stage: str
    lines: int
    of_lines: int
    sides: int
    of_sides: int


class TaskInterval(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one task (or endpoint, or stream) did in a metrics interval.

    `done` counts requests that have their fate, cancelled ones left out; `errors` are the failed ones among them by kind, timeouts
    included. `response` is a histogram like those of `IntervalMeasured`.
    """

    done: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    response: str = ""


class StreamInterval(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the clients of one stream saw in a metrics interval.

    `connects` were accepted, `failed` were not, by kind. `ends` counts connections that the server ended, by close code (``1006``: without
    a close frame; ``bad_frame``: it broke the protocol; ``too_long``: its message had no end; ``error_message``: it closed normally after one that
    says an error), and those that a hook ended (``on_message``); `broken` are those of them that are errors. Of the others `early` were ended within
    their first messages, `finished` later. Clients left `quiet` ones without a single message, where one was expected, and `dried` ones in a silence far
    longer than the stream's gaps were. `open` are connected at its end. Histograms are like those of `IntervalMeasured`: handshakes, gaps
    between messages of one connection, and their age where they carry their time.
    """

    connects: int = 0
    failed: dict[str, int] = msgspec.field(default_factory=dict)
    ends: dict[str, int] = msgspec.field(default_factory=dict)
    broken: int = 0
    messages: int = 0
    received: int = 0
    open: int = 0
    connect: str = ""
    gap: str = ""
    latency: str = ""
    quiet: int = 0
    early: int = 0
    finished: int = 0
    dried: int = 0


class IntervalMeasured(Tagged, frozen=True):
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
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    tasks: dict[str, int] = msgspec.field(default_factory=dict)
    commands: dict[str, int] = msgspec.field(default_factory=dict)
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    active_users: int = 0
    in_flight: int = 0
    faults: tuple[str, ...] = ()
    lateness_p99_s: float = 0.0
    lateness_max_s: float = 0.0
    cpu: float = 0.0
    cancelled: int = 0
    phase: str = ""
    by_task: dict[str, TaskInterval] = msgspec.field(default_factory=dict)
    streams: dict[str, StreamInterval] = msgspec.field(default_factory=dict)


def plan_began(event: object) -> float | None:
    """When the plan of a run began, if this is the first event to tell: with a phase or a second of load; what is before is start-up."""
    if isinstance(event, IntervalMeasured):
        return max(0.0, event.t - event.second - 1)
    return event.t if isinstance(event, PhaseChanged) else None


def without_parts(interval: IntervalMeasured) -> IntervalMeasured:
    """The interval without its tasks and streams, which are most of it, and with one text for each name instead of one a second."""
    named = {
        member: {sys.intern(name): count for name, count in getattr(interval, member).items()}
        for member in ("tasks", "commands", "kinds", "errors")
    }
    return msgspec.structs.replace(interval, by_task={}, streams={}, **named)


class Judged(Tagged, frozen=True):
    """A check gave its judgement, findings and assertions included."""

    t: float
    judgement: Judgement


PRODUCT: Final = "mutations"
"""The area of the note that says what the mutation stage planned: pairs by operator and by place."""
MUTATION: Final = "mutation"
"""A case of that stage is called ``mutation/PLACE/OPERATOR``."""

UNREACHED: Final = "unreached"
"""The area of the note whose ``rows`` name the target's code that nothing reached: ``file``, ``function``, ``lines``."""


WORKERS: Final = "workers"
"""The area of the note that names the processes of a load, by their shards' numbers."""


class Noted(Tagged, frozen=True):
    """Something that a reader of the report should know; `area` groups it (``coverage``, ``generator``, ``demo`` …)."""

    t: float
    area: str
    text: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Trouble(Tagged, frozen=True):
    """A part of chaosbot failed or could not see (broken fault, dead probe, dead worker): the run cannot be a pass."""

    t: float
    where: str
    what: str


class Steered(Tagged, frozen=True):
    """A person changed the run while it went on: ``pause``, ``resume``, ``users``, ``rate``, ``rule`` (with its name and new state), ``stop``."""

    t: float
    what: str
    value: Scalar = None


class RunEnded(Tagged, frozen=True):
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
    | CampaignStarted
    | CaseTried
    | ApiCalled
    | ModelCalled
    | OutboundTried
    | StateTried
    | TrustTried
    | ProbeSeen
    | TargetRaised
    | LoopBlocked
    | CodeReached
    | IntervalMeasured
    | Judged
    | Noted
    | Trouble
    | Steered
    | RunEnded
)

TYPES: Final[dict[str, type[Any]]] = {event.__name__: event for event in typing.get_args(Event)}

# Names of version 0.1.
_OLD_TYPES: Final = {"FrameTaken": "IntervalMeasured"}
_OLD_MEMBERS: Final = {"lane": "direction", "canary_s": "health_s", "breaches": "violations"}

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_OLD_VALUES: Final = {"by": {"standin": "mock"}, "via": {"standin": "mock"}}

_ESCAPED: Final = re.compile(rb'\{"\$+(?:int|float)":')
_ESCAPE: Final = re.compile(r"\$+(?:int|float)")
_LONGEST_INT: Final = 4_000
"""Digits (about) of the longest integer that is written in decimal; Python refuses to read more than 4300."""


def encode(event: Event) -> bytes:
    """An event as one JSON object without a line end."""
    try:
        line = _ENCODER.encode(event)
    except (ValueError, OverflowError):
        return dumps(to_json(event))
    # msgspec writes NaN and infinities as null, and a member's own dict may look like an escape.
    if (b"null" in line or b'{"$' in line) and _is_unusual(plain := to_json(event)):
        return dumps(plain)
    return line


def decode(line: bytes, schema: int = SCHEMA) -> Event:
    """Reads an event back.

    Args:
        line: What `encode` wrote.
        schema: The form of the journal that it comes from.

    Raises:
        JournalError: No JSON object, an unknown type, or a member of the wrong shape.
    """
    if schema == SCHEMA and _ESCAPED.search(line) is None:
        try:
            return _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # a lone surrogate, or no event: the slow way tells
    try:
        value = json.loads(line, object_hook=_unescaped)
    except (ValueError, TypeError, RecursionError) as error:
        raise JournalError(f"not an event: {error}") from None
    return from_json(value, schema)


def to_json(event: Event, *, bytes_too: bool = True) -> dict[str, Any]:
    """An event as a JSON object, its type first; bytes become base64, or stay bytes without `bytes_too`."""
    value: dict[str, Any] = msgspec.to_builtins(event, builtin_types=() if bytes_too else (bytes,))
    return value


def from_json(value: Any, schema: int = SCHEMA) -> Event:
    """Reads an event from a JSON object.

    Raises:
        JournalError: No object, an unknown type, or a member of the wrong shape.
    """
    if isinstance(value, dict) and schema < SCHEMA:
        value = _renamed(value)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in TYPES:
        what = repr(kind if isinstance(value, dict) else value)
        raise JournalError(f"not an event: type {what[:200]}")
    try:
        event: Event = msgspec.convert(value, Event)
    except msgspec.ValidationError as error:
        raise JournalError(f"{kind}: {error}") from None
    return event


def dumps(value: Any) -> bytes:
    """A JSON value as text that any JSON parser reads, with escapes for what JSON cannot say (see the rules above)."""
    return json.dumps(_escaped(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()


def _renamed(value: dict[str, Any]) -> dict[str, Any]:
    """An event of version 0.1 in today's names."""
    found = {_OLD_MEMBERS.get(key, key): item for key, item in value.items()}
    for key, words in _OLD_VALUES.items():
        if isinstance(word := found.get(key), str):
            found[key] = words.get(word, word)
    kind = found.get("type")
    if kind == "CaseTried":
        # What attribution saw stood there in words of the fuzzer's own; the findings that it led to stand in the judgements.
        found.pop("notes", None)
    elif kind == "Judged" and isinstance(judgement := found.get("judgement"), dict):
        findings = [
            {"cause": {"symptom": one.get("bucket", "")}, **one}
            for one in judgement.get("findings", ())
            if isinstance(one, dict)
        ]
        found["judgement"] = {**judgement, "findings": findings}
    return {**found, "type": _OLD_TYPES.get(kind, kind)} if isinstance(kind, str) else found


def _is_unusual(value: Any) -> bool:
    """Whether a JSON value holds something that only `dumps` can write."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_is_unusual(item) for item in value.values()) or (len(value) == 1 and _escapes(next(iter(value))))
    return isinstance(value, list | tuple) and any(_is_unusual(item) for item in value)


def _escapes(key: object) -> bool:
    return isinstance(key, str) and _ESCAPE.fullmatch(key) is not None


def _escaped(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if isinstance(value, int) and value.bit_length() > _LONGEST_INT * 3:
        return {"$int": hex(value)}
    if isinstance(value, dict):
        # A dict that happens to look like an escape gets one more dollar, which reading takes away.
        lookalike = len(value) == 1 and _escapes(next(iter(value)))
        return {("$" + key if lookalike else key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _unescaped(value: dict[str, Any]) -> Any:
    if len(value) != 1:
        return value
    ((key, content),) = value.items()
    if not _escapes(key):
        return value
    if key == "$float":
        return float(content)
    return int(content, 16) if key == "$int" else {key[1:]: content}
