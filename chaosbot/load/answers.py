"""Answers that were seen before: whole ones, known by their bytes, so that the parser reads each of them once.

A target under load says the same few things again and again (``200``, the same headers, ``{"ok":true}``). What the parser made
of such an answer it makes of the same bytes again, because it starts anew with each message; so the second time they are
looked up.

Rules:

- Learned is only what came in one piece, in answer to one request, and was exactly one whole answer.
- Memory is bounded: `MOST` answers of at most `LONGEST` bytes; when that is full, it starts over. (A date in the headers makes
  new answers every second, a serial number with each of them.)
"""

from __future__ import annotations

from typing import Final, NamedTuple

MOST: Final = 512
LONGEST: Final = 2048


class Answer(NamedTuple):
    """What a whole answer comes to.

    Args:
        status: Its status.
        keep: Whether its connection may be used again.
    """

    status: int
    keep: bool


class Answers:
    """The answers of one target."""

    __slots__ = ("_known", "known")

    def __init__(self) -> None:
        self._known: dict[bytes, Answer] = {}
        self.known = self._known.get
        """The answer that these bytes are; None where nobody knows."""

    def learn(self, data: bytes, status: int, *, keep: bool) -> None:
        """These bytes, on their own, were this answer."""
        if len(data) <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[data] = Answer(status, keep)
