"""The fast path beside `chaosbot.load.connection`: answers that were seen before are known by their bytes, not parsed.

A target under load says the same few things again and again (``200``, the same headers, ``{"ok":true}``). What the parser made
of such an answer it makes of the same bytes again, because it starts anew with each message; so the second time they are
looked up.

Rules:

- Learned is only what came in one piece, in answer to one request, and was exactly one whole answer.
- Memory is bounded: `MOST` answers of at most `LONGEST` bytes; when that is full, it starts over. (A date in the headers makes
  new answers every second, a serial number with each of them.)
- A user without pauses turns an answer into the next request in one step (`FastConnection.repeat`): what plain path, executor and
  aggregator do in a dozen calls. Whatever is not plain sailing (an unknown answer, a failure, a user who leaves, a send that is not
  taken whole) goes to them. A turn's request is due when it is written: such a user has no other plan.
- In between the kernel tells of what is new alone (`EDGE`), which spares it a second look at each connection. Whoever may leave
  something unread asks to be told of that first.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple, Protocol

from chaosbot.core.outcome import Fate
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.connection import CHUNK, HEAR, LoadConnection
from chaosbot.load.event_loop import EDGE, READ, EventLoop
from chaosbot.load.factory import Chance
from chaosbot.load.pending import PendingRequest
from chaosbot.load.target import LoadTarget
from chaosbot.load.templates import TemplatedRequests

MOST: Final = 512
LONGEST: Final = 2048


class KnownAnswer(NamedTuple):
    """What a whole answer comes to.

    Args:
        status: Its status.
        keep: Whether its connection may be used again.
    """

    status: int
    keep: bool


class KnownAnswers:
    """The answers of one target.

    Args:
        accepted: Statuses beside 2xx that are no failures.
    """

    __slots__ = ("_accepted", "_known", "good", "known")

    def __init__(self, accepted: frozenset[int] = frozenset()) -> None:
        self._accepted = accepted
        self.good: set[bytes] = set()
        """Of these answers, those that are no failures and keep the connection."""
        self._known: dict[bytes, KnownAnswer] = {}
        self.known = self._known.get
        """The answer that these bytes are; None where nobody knows."""

    def learn(self, data: bytes, status: int, *, keep: bool) -> None:
        """These bytes, on their own, were this answer."""
        if len(data) <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
                self.good.clear()
            self._known[data] = KnownAnswer(status, keep)
            if keep and (200 <= status < 300 or status in self._accepted):
                self.good.add(data)


_ANSWERED: Final = Fate.ANSWERED


class Repeater(Protocol):
    """A user who writes again as soon as an answer is there; the owner of their requests."""

    present: bool
    count: int
    chance: Iterator[Chance]

    @property
    def numbering(self) -> tuple[int, int]:
        """The number of their first request in the plan, and the step to the next one."""

    def draw(self) -> Chance:
        """The next chance, when `chance` has no more; it has again afterwards."""

    def finished(self, pending: PendingRequest) -> None:
        """A request has its fate, and the plain path decides about the next."""


class FastConnection(LoadConnection):
    """A connection that recognises whole answers.

    Args:
        loop: The loop that serves it.
        target: Where it goes.
        answers: The target's answers that are known; a run's connections share them.
    """

    __slots__ = ("_answers", "_known", "_repeating")

    def __init__(self, loop: EventLoop, target: LoadTarget, answers: KnownAnswers) -> None:
        super().__init__(loop, target)
        self._repeating = False
        self._answers = answers
        self._known = answers.known

    def ready(self, mask: int) -> None:
        """The loop says that the descriptor can be read, written, or is broken."""
        if mask != READ or not self._open:
            self._ready_otherwise(mask)
            return
        try:
            data = self._recv(CHUNK)
        except OSError as error:
            self._unreadable(error)
            return
        pending = self.pending
        answer = self._known(data) if len(data) <= LONGEST else None
        if answer is None or pending is None or pending.head or self._out:
            self._read(data)
            return
        self._idle_since = pending.ended = self._loop.clock()
        pending.head = data
        pending.status = answer.status
        pending.fate = _ANSWERED
        self.pending = None
        if not answer.keep:
            self._close()
        pending.owner.finished(pending)

    def _came_whole(self, data: bytes) -> None:
        self._answers.learn(data, self._parser.get_status_code(), keep=self._keep)

    def _close(self) -> None:
        super()._close()
        self._repeating = False

    def repeat(self, user: Repeater, requests: TemplatedRequests, aggregator: MetricsAggregator) -> None:
        """A user without pauses has this connection: its events go to one loop from now on, until it closes."""
        if self._repeating or not self._open or self._sock is None or isinstance(self._sock, ssl.SSLSocket):
            return
        self._repeating = True
        fd = self._sock.fileno()
        turns = self._turns(fd, user, requests, aggregator)
        next(turns)
        self._loop.rehandle(fd, turns.send)

    def _turns(  # noqa: PLR0915 - each call that it saves is a tenth of a request
        self, fd: int, user: Repeater, requests: TemplatedRequests, aggregator: MetricsAggregator
    ) -> Generator[bool | None, int, None]:
        """Takes the connection's events. A generator, because its locals cost a fraction of what attributes do."""
        recv, send, clock, good = self._recv, self._send, self._loop.clock, self._answers.good
        renew, turned = requests.renew, aggregator.turned
        first, step = user.numbering
        mine: PendingRequest | None = None  # the one object of the user's turns; nothing else refers to it
        last: bytes | None = None
        edge = False
        while True:
            mask = yield None
            pending = self.pending
            if mask != READ or pending is None or not user.present:
                mine = None
                if edge:
                    edge = self._level(fd)
                self.ready(mask)
                continue
            try:
                data = recv(CHUNK)
            except OSError as error:
                mine = None
                self._unreadable(error)
                continue
            if data != last or pending is not mine:
                if data not in good or pending.head or self._out:
                    mine = None
                    if edge and len(data) == CHUNK:
                        edge = self._level(fd)
                    self._read(data)
                    continue
                last = data
            now = clock()
            if pending is mine:
                turns = pending.label.turns
                if not turns:
                    turned.append(pending.label)
                turns.append(now - pending.started)
            else:
                pending.ended, pending.head, pending.fate = now, data, _ANSWERED
                answer = self._known(data)
                pending.status = answer and answer.status
                aggregator.ended(pending)
                aggregator.begun(0.0)
                pending = mine = PendingRequest(user, 0, b"", pending.label, None, now)
                if not edge:
                    edge = True
                    self._loop.rewatch(fd, HEAR | EDGE)
            chance = next(user.chance, None) or user.draw()
            ordinal = first + user.count * step
            user.count += 1
            if not renew(pending, ordinal, chance[0], chance[1]):
                mine, pending = None, requests.next(user, ordinal, now, chance)
            self.pending = pending
            data = pending.data
            # Not sent before all events of the batch are read: the target finds all requests at once, and is not woken for each of them.
            yield True
            pending.due = pending.started = clock()
            try:
                count = send(data)
            except OSError:
                mine = None
                self._write(data)  # which meets the same, and knows what to do
                continue
            if count < len(data):
                mine = None
                self._leave(data[count:])

    def _level(self, fd: int) -> bool:
        """From now on the kernel tells of whatever is unread; returns that it does not tell of news alone."""
        self._loop.rewatch(fd, HEAR)
        return False


def fast_connections(accepted: frozenset[int] = frozenset()) -> Callable[[EventLoop, LoadTarget], FastConnection]:
    """Opens fast connections that share what they know; `accepted` are statuses beside 2xx that are no failures."""
    answers = KnownAnswers(accepted)
    return lambda loop, target: FastConnection(loop, target, answers)
