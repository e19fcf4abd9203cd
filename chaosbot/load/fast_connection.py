"""The fast path beside `chaosbot.load.connection`: answers that were seen before are known by their bytes, not parsed.

A target under load says the same few things again and again (``200``, the same headers, ``{"ok":true}``). What the parser made
of such an answer it makes of the same bytes again, because it starts anew with each message; so the second time they are
looked up.

Rules:

- Learned is only what came in one piece, in answer to one request, and was exactly one whole answer.
- Memory is bounded: `MOST` answers of at most `LONGEST` bytes; when that is full, it starts over. (A date in the headers makes
  new answers every second, a serial number with each of them.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from chaosbot.core.outcome import Fate
from chaosbot.load.connection import CHUNK, LoadConnection
from chaosbot.load.event_loop import READ, EventLoop
from chaosbot.load.target import LoadTarget

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
    """The answers of one target."""

    __slots__ = ("_known", "known")

    def __init__(self) -> None:
        self._known: dict[bytes, KnownAnswer] = {}
        self.known = self._known.get
        """The answer that these bytes are; None where nobody knows."""

    def learn(self, data: bytes, status: int, *, keep: bool) -> None:
        """These bytes, on their own, were this answer."""
        if len(data) <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[data] = KnownAnswer(status, keep)


_ANSWERED: Final = Fate.ANSWERED


class FastConnection(LoadConnection):
    """A connection that recognises whole answers.

    Args:
        loop: The loop that serves it.
        target: Where it goes.
        answers: The target's answers that are known; a run's connections share them.
    """

    __slots__ = ("_answers", "_known")

    def __init__(self, loop: EventLoop, target: LoadTarget, answers: KnownAnswers) -> None:
        super().__init__(loop, target)
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


def fast_connections() -> Callable[[EventLoop, LoadTarget], FastConnection]:
    """Opens fast connections that share what they know."""
    answers = KnownAnswers()
    return lambda loop, target: FastConnection(loop, target, answers)
