"""The closed alphabet of physical actions: everything that a fault can do to a connection or an exchange.

Rules:

- Faults *return* effects and perform none; `addons/` performs them and interprets the alphabet exhaustively
  (`match` + `assert_never`). A fault that needs a new physical action adds a word here, in one deliberate change.
- Effects carry plain numbers: every roll of the dice is made by the fault, before the effect exists. The one exception are
  byte effects that act again and again on one connection; they carry the `Dice` that they draw from, keyed by chunk.
- Seconds, bytes and shares as everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from chaosbot.core.dice import Dice


class StreamDirection(StrEnum):
    """Which way bytes run: up to the server or down to the client."""

    UP = "up"
    DOWN = "down"


class Side(StrEnum):
    """Which message of an exchange is meant."""

    REQUEST = "request"
    RESPONSE = "response"


class Point(StrEnum):
    """When an effect on an exchange takes place, seen from the upstream."""

    BEFORE = "before"  # the upstream has not seen the request
    AFTER = "after"  # the upstream has acted


class Farewell(StrEnum):
    """How a connection ends."""

    FIN = "fin"
    RST = "rst"
    SILENCE = "silence"  # it stays open and nothing comes any more


class Shape(StrEnum):
    """The distribution of a delay."""

    CONSTANT = "constant"
    UNIFORM = "uniform"
    NORMAL = "normal"
    LOGNORMAL = "lognormal"
    PARETO = "pareto"


@dataclass(frozen=True, slots=True)
class DelayLaw:
    """How long something is held back, drawn anew for each chunk.

    Args:
        shape: The distribution.
        centre_s: Its centre: the mean, the median of a log-normal, the minimum of a Pareto distribution.
        spread_s: Half width of a uniform, standard deviation of a normal distribution.
        parameter: Sigma of a log-normal, shape of a Pareto distribution.
        correlation: Share of the previous delay that stays in the next one (0 independent, 1 constant).
        most_s: Upper bound of a draw.
    """

    shape: Shape = Shape.CONSTANT
    centre_s: float = 0.0
    spread_s: float = 0.0
    parameter: float = 1.0
    correlation: float = 0.0
    most_s: float = 3600.0

    def draw(self, dice: Dice, previous_s: float | None = None) -> float:
        """One delay in seconds, never negative."""
        match self.shape:
            case Shape.CONSTANT:
                fresh = self.centre_s
            case Shape.UNIFORM:
                fresh = dice.uniform(self.centre_s - self.spread_s, self.centre_s + self.spread_s)
            case Shape.NORMAL:
                fresh = dice.normal(self.centre_s, self.spread_s)
            case Shape.LOGNORMAL:
                fresh = dice.lognormal(self.centre_s, self.parameter)
            case Shape.PARETO:
                fresh = dice.pareto(self.centre_s, self.parameter)
        if previous_s is not None:
            fresh = self.correlation * previous_s + (1 - self.correlation) * fresh
        return min(max(fresh, 0.0), self.most_s)


# ── bytes: on a connection, one direction ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class HoldBytes:
    """Every chunk leaves later; order stays. The delay counts from the chunk's arrival."""

    stream: StreamDirection
    law: DelayLaw
    dice: Dice


@dataclass(frozen=True, slots=True)
class PaceBytes:
    """At most so many bytes a second, paced on a clock."""

    stream: StreamDirection
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class SliceBytes:
    """Chunks are cut into small ones of `average` ± `variation` bytes with a pause between."""

    stream: StreamDirection
    average: int
    variation: int
    pause_s: float
    dice: Dice


@dataclass(frozen=True, slots=True)
class HoldClose:
    """The end of the stream is passed on later."""

    stream: StreamDirection
    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing passes any more; the connection is closed so long after the last bytes that were swallowed, or never."""

    stream: StreamDirection
    close_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ResetConnection:
    """A real RST to both sides: after a time, or after so many bytes in this direction (and then that time).

    With `after_bytes` 0 the first byte that arrives, or the source's end, sets it off and does not pass.
    """

    stream: StreamDirection
    after_s: float | None = 0.0
    after_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class CutAfter:
    """So many bytes pass, then the connection ends in this way."""

    stream: StreamDirection
    count: int
    farewell: Farewell = Farewell.FIN


@dataclass(frozen=True, slots=True)
class CorruptBytes:
    """Each byte is changed with this probability (one bit flipped), lengths stay."""

    stream: StreamDirection
    share: float
    dice: Dice
    skip: int = 0


@dataclass(frozen=True, slots=True)
class RefuseConnection:
    """The client is reset (or closed) before a byte passes; the upstream is never asked."""

    farewell: Farewell = Farewell.RST


BytesEffect: TypeAlias = (
    HoldBytes
    | PaceBytes
    | SliceBytes
    | HoldClose
    | Silence
    | ResetConnection
    | CutAfter
    | CorruptBytes
    | RefuseConnection
)


def in_words(effect: BytesEffect) -> str:
    """What a byte effect does, as people read it: ``hold bytes``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(effect).__name__).lower()


# ── exchange: on one request and its answer ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Wait:
    """The exchange stands still before the upstream sees it, or after the upstream has acted."""

    point: Point
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy answers itself: instead of the upstream (BEFORE), or although the upstream has acted (AFTER).

    An `own` answer is the upstream's own error of this status, where a mock knows how that looks; the body stands for all others.
    """

    point: Point
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    own: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """The client's connection ends: before the upstream acted, or after; `after_bytes` of the answer pass first."""

    point: Point
    farewell: Farewell
    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CutBody:
    """Only a part of a body passes while Content-Length promises the whole."""

    side: Side
    keep_share: float
    farewell: Farewell = Farewell.FIN


@dataclass(frozen=True, slots=True)
class StreamBody:
    """The answer's body becomes this long, produced while it is sent, never held in memory."""

    count: int
    pattern: bytes = b" "
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class SendRaw:
    """These exact bytes go to the client instead of (BEFORE) or in place of (AFTER) the upstream's answer.

    With `count` so many bytes are sent: `data` again and again, made while they are sent, never held in memory.
    """

    point: Point
    data: bytes
    farewell: Farewell = Farewell.FIN
    count: int | None = None


@dataclass(frozen=True, slots=True)
class SetHeader:
    """A header gets this value; None removes it. `add` keeps the one that is there too (a duplicate)."""

    side: Side
    name: str
    value: str | None
    add: bool = False


@dataclass(frozen=True, slots=True)
class SetBody:
    """A body is replaced; Content-Length follows unless `keep_length`."""

    side: Side
    body: bytes
    keep_length: bool = False


@dataclass(frozen=True, slots=True)
class Dribble:
    """A message trickles: `chunk` bytes, pause, `chunk` bytes …; for a request its head included (a slow request)."""

    side: Side
    chunk: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class CloseIdle:
    """The keep-alive connection is closed unannounced after this answer (a stale keep-alive for the next request)."""

    after_s: float = 0.0
    farewell: Farewell = Farewell.FIN


@dataclass(frozen=True, slots=True)
class Throttle:
    """So many exchanges pass in each period; the others get this answer, and one that comes again before it may is noticed.

    Args:
        quota: Exchanges that pass in a period, which begins with the first of them.
        period_s: How long a period lasts, and so what a refused client is told to wait.
        group: Exchanges of one group share a quota.
        status: The refusal's status.
        headers: Its headers; ``{wait}`` in a value becomes the whole seconds left.
        body: Its body, with the same placeholder.
    """

    quota: int
    period_s: float
    group: str = ""
    status: int = 429
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


# ── event stream: on an answer that is a stream of server-sent events, event by event ──────────────────────────────────


class Ending(StrEnum):
    """How a stream of events ends too early."""

    CLEAN = "clean"  # as if it were complete: the last chunk is announced
    FIN = "fin"  # in the middle of its framing
    RST = "rst"
    EOF = "eof"  # it has no framing: the connection's end is the answer's


@dataclass(frozen=True, slots=True)
class CutEvents:
    """The stream ends after so many events, or before the first that matches (`until`, a regular expression).

    Of the event that does not pass any more the first `keep_bytes` bytes do, then `last` is sent.
    """

    after: int | None = None
    until: bytes = b""
    keep_bytes: int = 0
    last: bytes = b""
    ending: Ending = Ending.CLEAN


@dataclass(frozen=True, slots=True)
class StallEvents:
    """After so many events nothing comes for a time, or only a `ping` so often; then the rest comes."""

    after: int
    seconds: float
    ping: bytes = b""
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PaceEvents:
    """Each event comes so long after the one before."""

    pause_s: float


@dataclass(frozen=True, slots=True)
class EditEvents:
    """Events that match come so many times instead of once: never, or twice.

    Args:
        matching: A regular expression.
        times: How often each comes.
        skip: The first so many that match are left alone.
        count: So many are meant; None for all.
    """

    matching: bytes
    times: int
    skip: int = 0
    count: int | None = 1


@dataclass(frozen=True, slots=True)
class SplitEvents:
    """Events leave in pieces of so many bytes, with a pause between them."""

    size: int
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class InsertEvents:
    """These bytes come after every so many events."""

    data: bytes
    every: int = 1


EventsEffect: TypeAlias = CutEvents | StallEvents | PaceEvents | EditEvents | SplitEvents | InsertEvents

ExchangeEffect: TypeAlias = (
    Wait
    | Answer
    | HangUp
    | CutBody
    | StreamBody
    | SendRaw
    | SetHeader
    | SetBody
    | Dribble
    | CloseIdle
    | Throttle
    | EventsEffect
)

# ── update: on the deliveries of a webhook ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The same request goes to the upstream again after each of these pauses (seconds), as a sender that retries would.

    `concurrent` sends the copies beside the original instead of after its answer. `until_ack` stops at the first 2xx.
    """

    pauses_s: tuple[float, ...]
    concurrent: bool = False
    until_ack: bool = False


@dataclass(frozen=True, slots=True)
class HoldForNext:
    """The update waits until `count` later ones of the same direction have been answered, or the time is up (reorder)."""

    count: int = 1
    at_most_s: float = 5.0


@dataclass(frozen=True, slots=True)
class SendEarlier:
    """An update seen at least `age_s` before (the `back`-th last) is sent again beside this one (stale replay)."""

    back: int = 1
    age_s: float = 0.0


UpdateEffect: TypeAlias = SendAgain | HoldForNext | SendEarlier

# ── WebSocket messages and HTTP/2 frames ─────────────────────────────────────────────────────────────────────────────


class MessageAction(StrEnum):
    """What happens to a WebSocket message."""

    DELAY = "delay"
    DROP = "drop"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    CLOSE = "close"  # with `code`
    HALF_FRAME = "half_frame"  # the first half of a frame, then FIN


@dataclass(frozen=True, slots=True)
class DisturbMessages:
    """Each message of a WebSocket meets this action with this probability."""

    action: MessageAction
    share: float
    dice: Dice
    stream: StreamDirection | None = None
    seconds: float = 0.0
    code: int = 1011


@dataclass(frozen=True, slots=True)
class SendH2Frame:
    """An HTTP/2 connection gets GOAWAY or its stream RST_STREAM, with this error code (RFC 9113, section 7)."""

    frame: str
    error_code: int = 0


Effect: TypeAlias = BytesEffect | ExchangeEffect | UpdateEffect | DisturbMessages | SendH2Frame


def spoils_answer(effect: Effect) -> bool:
    """Whether the effect, once it has happened, leaves the client without the whole answer, whatever status it saw."""
    match effect:
        case CutBody(side=side):
            return side is Side.RESPONSE
        case CutAfter(stream=stream) | Silence(stream=stream) | ResetConnection(stream=stream):
            return stream is StreamDirection.DOWN
        case HangUp() | RefuseConnection() | CutEvents():
            return True
        case EditEvents(times=times):
            return times == 0
        case _:
            return False
