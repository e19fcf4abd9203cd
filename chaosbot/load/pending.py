"""A pending request: one request on its way, from its due time to its fate.

It is the hot path's only object per request, so it is a plain mutable record; what leaves the engine (`RequestDone`) is
built from it only when somebody records single requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from chaosbot.core.event import RequestDone
from chaosbot.core.exchange import EXCHANGE_HEADER, UpdateFacts
from chaosbot.core.outcome import Fate, Outcome, acknowledged, error_kind

_NO_FACTS: Final = UpdateFacts()
_HEADER: Final = f"\r\n{EXCHANGE_HEADER}: ".encode()
KEPT_BODY: Final = 512


class Owner(Protocol):
    """What started a request and is called back at its end."""

    def finished(self, pending: PendingRequest) -> None:
        """The request has its fate."""


class RequestLabel:
    """What all requests of one kind share, and what the metrics aggregator counts of them in the current interval.

    Args:
        task: What is done, as reports count it.
        tier: By what kind of user.
        kind: The update's kind.
        command: The command, when it is one.
    """

    __slots__ = ("command", "ended", "errors", "kind", "response", "task", "tier", "turned", "turns", "unanswered")

    def __init__(self, task: str, tier: str = "", kind: str | None = None, command: str | None = None) -> None:
        self.task = task
        self.tier = tier
        self.kind = kind
        self.command = command
        self.clear()

    def clear(self) -> None:
        """Forgets what was counted: a metrics interval ends."""
        self.ended = 0  # cancelled requests do not count
        self.unanswered = 0
        self.errors: dict[str, int] = {}
        self.response: list[float] = []
        self.turns: list[
            float
        ] = []  # seconds of each that went well and was followed by the user's next request at once
        self.turned: Mapping[int, int] = {}  # cells of the turns, when an interval is folded


class PendingRequest:
    """One request on its way.

    All moments are the loop's clock. `due` is when it should have started, `started` when it did, `sent` when its first
    byte could leave (connected), `first` when the first byte of the answer came (0: none), `ended` when its fate was clear.
    """

    # Defaults stand in the class: a request that goes well sets a third of them, and setting costs more than looking up.
    exchange_label = ""  # an exchange id of its own, where the ordinal does not give one
    attempt = 1
    started = 0.0
    connect_s = 0.0
    first = 0.0  # where the answer came in more than one piece
    ended = 0.0
    pause_s = 0.0
    received = 0  # as `first`
    head = b""
    detail = ""
    fate: Fate | None = None
    status: int | None = None
    slow = ""  # how the client is slow on purpose: "body", "unread"
    update_id: int | None = None  # the template's own, in place of the facts'
    mark: int | None = None  # the marker that the template's gap was filled with, 48 bits
    user: int | None = None  # who sends the template, in place of whom it was made for
    trace = ""  # its W3C trace id
    connection: Any = None  # the pooled connection that carries it
    tag: Any = None  # the sender's delivery

    def __init__(
        self, owner: Owner, ordinal: int, data: bytes, label: RequestLabel, facts: UpdateFacts | None, due: float
    ) -> None:
        self.owner = owner
        self.ordinal = ordinal
        self.data = data
        self.label = label
        self.made_of = facts
        self.due = due

    @property
    def task(self) -> str:
        """What it does, as reports count it."""
        return self.label.task

    @property
    def facts(self) -> UpdateFacts | None:
        """What it is about; but for delivery id and marker, which `done` writes."""
        facts, user = self.made_of, self.user
        if user is None or facts is None or not isinstance(facts.user, int) or facts.user == user:
            return facts
        chats = {facts.user: user, -facts.user: -user}
        chat = chats.get(facts.chat, facts.chat) if isinstance(facts.chat, int) else facts.chat
        return replace(facts, user=user, chat=chat)

    @property
    def exchange(self) -> str:
        """The id under which proxy and mock know it too."""
        return self.exchange_label or (
            f"load-{self.ordinal}" if self.attempt == 1 else f"load-{self.ordinal}.{self.attempt}"
        )

    def add_exchange(self, due_s: float | None = None) -> None:
        """Writes the exchange id into the request, as its first header, with the moment on the run's clock that it is due."""
        cut = self.data.find(b"\r\n")
        value = self.exchange if due_s is None else f"{self.exchange}@{due_s:.6f}"
        self.data = b"%b%b%b%b" % (self.data[:cut], _HEADER, value.encode(), self.data[cut:])

    def add_trace(self, trace: str, span: str) -> None:
        """Writes a W3C trace context into the request, as its first header."""
        self.trace = trace
        cut = self.data.find(b"\r\n")
        self.data = b"%b\r\ntraceparent: 00-%b-%b-01%b" % (
            self.data[:cut],
            trace.encode(),
            span.encode(),
            self.data[cut:],
        )

    def again(self) -> PendingRequest:
        """The same update as its next attempt."""
        other = PendingRequest(self.owner, self.ordinal, self.data, self.label, self.made_of, self.due)
        other.attempt = self.attempt + 1
        other.tag, other.slow, other.trace = self.tag, self.slow, self.trace
        other.update_id, other.mark, other.user = self.update_id, self.mark, self.user
        start = self.data.find(_HEADER)
        if start >= 0:
            # Without the due time: an attempt belongs to the moment at which it is made.
            end = self.data.find(b"\r\n", start + len(_HEADER))
            other.data = self.data[:start] + _HEADER + other.exchange.encode() + self.data[end:]
        return other

    @property
    def ok(self) -> bool:
        """Whether it was acknowledged: a complete 2xx answer."""
        return acknowledged(self.fate, self.status)

    @property
    def error_kind(self) -> str | None:
        """Under which name reports count this failure; None for a 2xx answer, and for a stream's 101."""
        return error_kind(self.fate, self.status)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The answer's headers, read from the first bytes that came."""
        head = self.head.partition(b"\r\n\r\n")[0]
        pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        return tuple(
            (name.strip().lower().decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in pairs
        )

    def retry_after_s(self) -> float | None:
        """What the answer's ``Retry-After`` says in seconds; None when it says nothing (or a date)."""
        for name, value in self.headers():
            if name == "retry-after" and value.isdecimal():
                return float(value)
        return None

    def outcome(self, *, body: bool = True) -> Outcome:
        """Its fate with its phases, and with the answer's first bytes where they are wanted."""
        first = self.first or (self.ended if self.head else None)
        return Outcome(
            self.fate or Fate.CANCELLED,
            self.status,
            self.connect_s,
            None if first is None else first - self.started - self.connect_s,
            self.ended - self.started,
            self.received or len(self.head),
            self.headers() if self.head else (),
            self.head.partition(b"\r\n\r\n")[2][:KEPT_BODY] if body else b"",
            self.detail,
        )

    def done(self, origin: float, *, body: bool = True) -> RequestDone:
        """The event, with times counted from `origin`; see `outcome`."""
        facts = self.facts or _NO_FACTS
        return RequestDone(
            t=self.ended - origin,
            exchange=self.exchange,
            due=self.due - origin,
            started=self.started - origin,
            outcome=self.outcome(body=body),
            task=self.label.task,
            tier=self.label.tier or facts.tier or "",
            user=facts.user,
            update_id=facts.update_id if self.update_id is None else self.update_id,
            kind=facts.kind,
            chat=facts.chat,
            command=facts.command,
            marker=facts.marker if self.mark is None else f"cbm{self.mark:012x}",
            attempt=self.attempt,
            trace=self.trace,
            callback=facts.callback,
        )
