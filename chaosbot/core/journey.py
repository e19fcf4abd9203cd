"""Who writes to a target and how its platform delivers that: journeys, streams and the sender's rules, as values.

Rules:

- A journey is data, never a coroutine: weights, waits and ids. The load driver draws from it and performs it; the platform
  encodes a drawn task with `Platform.build`, which is pure.
- Shares and weights are relative: they need not add up to 1.
- Times are seconds.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from chaosbot.core.dice import Dice
from chaosbot.core.jsontext import read_json

RECORDED: Final = "corpus"
"""The kind of virtual user that replays recorded requests: whether those are valid is not known."""
GUESSED: Final = "guessed"
"""The area of the note that what a load sends is no more than likely to be valid."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that a virtual user does; `Platform.build` encodes it by this name.

    Args:
        name: Reports count under it; unique within a platform.
        weight: How often it is chosen, relative to the journey's other tasks.
    """

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what cannot be chosen."""
        if problem := _bad_name(self.name) or (
            "" if _amount(self.weight) else f"the weight is {self.weight!r}; it must be a number, at least 0"
        ):
            raise ValueError(f"task {self.name}: {problem}")


@dataclass(frozen=True, slots=True)
class JourneySpec:
    """What one kind of virtual user does.

    Args:
        name: The kind of user: a tier (``guest`` … ``admin``), or ``client`` where a platform knows no tiers.
        share: Its share of the population.
        wait_s: Shortest and longest pause between two tasks; drawn uniformly.
        tasks: What it does.
        users: The ids that its users carry; user number n of this journey is ``users[n % len(users)]``.
        ordered: Whether a user does the tasks one after the other, and then begins again, instead of drawing each by weight. All tasks of
            such a round are built from the same dice.
    """

    name: str
    share: float
    wait_s: tuple[float, float]
    tasks: tuple[Task, ...]
    users: Sequence[int | str]
    ordered: bool = False

    def __post_init__(self) -> None:
        """Refuses what no driver could perform."""
        if problem := _bad_name(self.name) or _bad_pair("waits", self.wait_s) or _bad_all("tasks", self.tasks, Task):
            raise ValueError(f"journey {self.name}: {problem}")
        if not isinstance(self.users, Sequence) or isinstance(self.users, (str, bytes)):
            raise ValueError(
                f"journey {self.name}: users is a {type(self.users).__name__}; it must be a range or tuple of ids"
            )
        if not self.users:
            raise ValueError(f"journey {self.name}: no users; give at least one id")
        if not _amount(self.share) or not any(task.weight > 0 for task in self.tasks):
            raise ValueError(f"journey {self.name}: the share must be at least 0 and one task's weight above 0")

    def draw(self, dice: Dice) -> Task:
        """The task that comes next, as likely as its weight says."""
        return dice.weighted(self.tasks, [task.weight for task in self.tasks])

    def wait(self, dice: Dice) -> float:
        """The pause before the next task."""
        return dice.uniform(*self.wait_s)


class StreamAction(StrEnum):
    """What a WebSocket client does."""

    SUBSCRIBE = "subscribe"  # connects, subscribes and reads
    POLL = "poll"  # no socket: the journey's REST tasks only
    BURST = "burst"  # everybody connects within a moment
    RECONNECT = "reconnect"  # connects, reads for a moment, leaves, comes back at once


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message that a stream's client received.

    Args:
        data: Its bytes; a text message's are UTF-8.
        number: Which message of its connection it is, from 1.
        client: The client's number.
        connected_s: Seconds since the handshake.
    """

    data: bytes
    number: int
    client: int
    connected_s: float

    @property
    def text(self) -> str:
        """The message as text; what is no UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")

    def json(self) -> Any:
        """The message as JSON.

        Raises:
            ValueError: It is none.
        """
        return read_json(self.data)


TOKEN_VARIABLE: Final = "WS_AUTH_TOKEN"  # noqa: S105 - a variable's name
"""The environment variable with the token of streams."""

OnMessage: TypeAlias = Callable[[StreamMessage], Iterable[str | bytes] | None]
"""What a client does with a message: returns what it answers (texts), or None. An ``AssertionError`` says that the message is wrong: the
connection ends and counts as an error of the target. Any other exception, another thing than texts returned, and ten seconds without an end are
the hook's own mistake and make the run inconclusive."""


_PATH: Final = re.compile(r"/[!-~]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HANDSHAKE: Final = frozenset(
    {
        "host",
        "upgrade",
        "connection",
        *(f"sec-websocket-{what}" for what in ("key", "version", "protocol", "extensions")),
    }
)


def _bad_name(name: object) -> str:
    return (
        "" if isinstance(name, str) and name.strip() else f"the name is {name!r}; it must be a text that is not empty"
    )


def _amount(value: object) -> bool:
    """Whether it is a finite number of at least 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _bad_pair(what: str, pair: object) -> str:
    """What is wrong with a shortest and a longest time, in words; empty when nothing is."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(one, (int, float)) for one in pair):
        return f"{what} is {pair!r}; it must be two numbers of seconds, the shortest and the longest"
    low, high = pair
    good = _amount(low) and _amount(high) and low <= high
    return "" if good else f"{what} {low}..{high} s; the first must be in 0..the second"


def _bad_all(what: str, parts: object, kind: type) -> str:
    """What is wrong with several values of one kind, in words; a text is not several."""
    if not isinstance(parts, (tuple, list)):
        return f"{what} is {'a ' + type(parts).__name__ if parts is not None else None}; it must be a tuple, ({what[:-1]},) for one"
    wrong = next((part for part in parts if not isinstance(part, kind)), None)
    return f"{what} holds {wrong!r}; each must be a {kind.__name__}" if wrong is not None else ""


def _bad_messages(messages: object) -> str:
    if not isinstance(messages, (tuple, list)):
        return f"messages is a {type(messages).__name__}; it must be a tuple of texts, (text,) for one"
    for number, message in enumerate(messages):
        if problem := bad_text(message):
            return f"messages[{number}] is {problem}"
        if not message:
            return f"messages[{number}] is empty; leave it out"
    return ""


def bad_text(message: object) -> str:
    """Why this cannot be sent as a text, in words; empty where it can."""
    if isinstance(message, bytes):
        try:
            message.decode()
        except UnicodeDecodeError:
            return "bytes that are no UTF-8; clients send texts"
        return ""
    return (
        "" if isinstance(message, str) else f"a {type(message).__name__}; clients send texts (str, or bytes of UTF-8)"
    )


def _bad_hook(hook: object) -> str:
    if hook is None:
        return ""
    if not callable(hook):
        return f"on_message is a {type(hook).__name__}; it must be a function that takes a StreamMessage"
    if inspect.iscoroutinefunction(hook) or inspect.isasyncgenfunction(hook):
        return "on_message is asynchronous; it must be a plain function, which returns what the client answers"
    try:
        inspect.signature(hook).bind(None)
    except TypeError as error:
        return f"on_message cannot be called with one StreamMessage: {error}"
    except ValueError:  # a builtin that does not tell its arguments
        return ""
    return ""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A scenario of clients on a stream.

    Args:
        name: Reports count under it.
        action: What its clients do.
        path: The WebSocket's path, without the token.
        token_param: The query parameter that carries the token.
        messages: What a client sends once connected.
        stay_s: Shortest and longest time on one connection.
        pause_s: Shortest and longest pause before the next connection.
        spread_s: Over how long the first connections are spread.
        tasks: REST tasks that run beside it.
        subprotocols: What the handshake offers; a server that chooses none of them has refused.
        headers: More headers of the handshake.
        on_message: Called with each message.
        silent: Whether its server has nothing to say to clients that only send. Otherwise a stream on which nothing was ever said makes the run
            inconclusive, and a connection that ends before its first message is an error.
        finite: Whether its server ends each connection itself when it has said all, though that be one message. Otherwise one whose server ends
            all of them that soon makes the run inconclusive.
    """

    name: str
    action: StreamAction
    path: str = ""
    token_param: str = ""
    messages: tuple[str | bytes, ...] = ()
    stay_s: tuple[float, float] = (0.0, 0.0)
    pause_s: tuple[float, float] = (0.0, 0.0)
    spread_s: float = 0.0
    tasks: tuple[Task, ...] = ()
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    on_message: OnMessage | None = None
    silent: bool = False
    finite: bool = False

    def __post_init__(self) -> None:
        """Refuses what no client could perform."""
        problem = (
            _bad_name(self.name)
            or self._bad_handshake()
            or _bad_messages(self.messages)
            or _bad_pair("stay_s", self.stay_s)
            or _bad_pair("pause_s", self.pause_s)
            or (f"spread_s is {self.spread_s!r}; it must be seconds, at least 0" if not _amount(self.spread_s) else "")
            or _bad_all("tasks", self.tasks, Task)
            or _bad_hook(self.on_message)
        )
        if problem:
            raise ValueError(f"stream {self.name}: {problem}")

    def _bad_handshake(self) -> str:
        if not isinstance(self.action, StreamAction):
            return f"the action is {self.action!r}; it must be one of {', '.join(map(str, map(repr, StreamAction)))}"
        if not isinstance(self.path, str) or (self.action is not StreamAction.POLL and not _PATH.fullmatch(self.path)):
            return (
                f"the path {self.path!r} must begin with / and be printable ASCII without spaces (%20 stands for one)"
            )
        if not isinstance(self.token_param, str) or not re.fullmatch(r"[\w.~%-]*", self.token_param, re.ASCII):
            return f"token_param is {self.token_param!r}; it must be a query parameter's name, or empty for none"
        if problem := _bad_all("subprotocols", self.subprotocols, str) or _bad_all("headers", self.headers, tuple):
            return problem
        for one in self.subprotocols:
            if not _TOKEN.fullmatch(one):
                return f"the subprotocol {one!r} must be letters, digits and !#$%&'*+-.^_`|~ alone"
        for pair in self.headers:
            if len(pair) != 2 or not all(isinstance(part, str) for part in pair) or not _TOKEN.fullmatch(pair[0]):
                return f"the header {pair!r} must be a name and a value, both texts"
            if not pair[1].isprintable():
                return f"the header {pair[0]} must have a printable value"
            if pair[0].lower() in _HANDSHAKE:
                return f"the header {pair[0]} is the handshake's own; leave it out (subprotocols has its own argument)"
        return ""


DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """How a platform delivers: its connections, timeout and redelivery. The defaults are those of a careful sender.

    Args:
        connections: Most connections at once.
        answer_wait_s: How long it waits for an answer.
        first_pause_s: Pause after the first failure.
        base_s: Pause after the second failure; it doubles from there.
        cap_s: The longest pause is drawn between these two.
        retry_after_cap_s: Most that a target's ``Retry-After`` is honoured.
        expiry_s: After this time an update is given up.
        short_expiry_s: The same for `short_kinds`.
        short_kinds: Update kinds that are worth nothing later.
        final_statuses: Statuses after which nothing is redelivered.
        schedule_s: Instead of pauses that double, these ones; after the last attempt an update is given up.
        retries: Whether a failed update is delivered again at all.
        once_kinds: Update kinds that are never delivered again.
        success: Statuses that acknowledge: whole classes (``2``) or single codes.
        stop_header: An answer's header, in lower case, that says ``1`` where this update must not be delivered again.
    """

    connections: int = 40
    answer_wait_s: float = 60.0
    first_pause_s: float = 0.0
    base_s: float = 2.0
    cap_s: tuple[float, float] = (60.0, 120.0)
    retry_after_cap_s: float = 3600.0
    expiry_s: float = DAY_S
    short_expiry_s: float = DAY_S
    short_kinds: frozenset[str] = field(default_factory=frozenset)
    final_statuses: frozenset[int] = field(default_factory=frozenset)
    schedule_s: tuple[float, ...] = ()
    retries: bool = True
    once_kinds: frozenset[str] = field(default_factory=frozenset)
    success: frozenset[int] = frozenset({2})
    stop_header: str = ""

    def acknowledged(self, status: int | None) -> bool:
        """Whether this answer ends the delivery."""
        return status is not None and (status in self.success or status // 100 in self.success)

    def gives_up(self, kind: str | None, failures: int) -> bool:
        """Whether an update of this kind is not delivered again after so many failures."""
        return not self.retries or kind in self.once_kinds or 0 < len(self.schedule_s) < failures

    def closes(self, status: int | None) -> bool:
        """Whether this answer makes the platform stop delivering altogether."""
        return status in self.final_statuses

    def pause_s(self, failures: int, dice: Dice, retry_after_s: float | None = None) -> float:
        """The pause before the next attempt.

        Args:
            failures: How many attempts failed so far, at least 1.
            dice: The update's place; the cap is drawn at this number of failures.
            retry_after_s: What the target's ``Retry-After`` said, if it said anything.
        """
        if failures < 1:
            raise ValueError(f"pause_s({failures}): nothing failed yet")
        if self.schedule_s:
            pause = self.schedule_s[min(failures, len(self.schedule_s)) - 1]
        elif failures == 1:
            pause = self.first_pause_s
        else:
            cap = dice.at("redelivery", failures).uniform(*self.cap_s)
            # Beyond 2**32 every doubling is past any cap; the bound keeps the float finite.
            pause = min(self.base_s * 2.0 ** min(failures - 2, 32), cap)
        if retry_after_s is None or not retry_after_s > 0:
            return pause
        return max(pause, min(retry_after_s, self.retry_after_cap_s))

    def lifetime_s(self, kind: str | None) -> float:
        """How long an update of this kind is delivered before it is given up."""
        return self.short_expiry_s if kind in self.short_kinds else self.expiry_s

    def expired(self, kind: str | None, age_s: float) -> bool:
        """Whether an update of this age is given up."""
        return age_s >= self.lifetime_s(kind)
