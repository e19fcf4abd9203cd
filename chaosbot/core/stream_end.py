"""How a client's connection to a stream ended: whether the server may end it so, and whether it fell silent.

Rules:

- A server may end a connection by a normal close (1000, 1001, or one without a code) after it has said something. What it said last must
  not be an error: many servers refuse a token by a text and close normally.
- One that it ended within the first messages is early: a refusal in words that nobody knows looks so, and so does a short stream that is
  complete. Only whoever wrote the scenario knows which (`StreamSpec.finite`).
- A connection has fallen silent when its client left it in a silence far longer than any gap of the stream that a message ended. That says
  something of streams alone that speak all the time: where all was said at the beginning, nothing is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.jsontext import read_json

FINE_CLOSES: Final = frozenset({"1000", "1001", "1005"})
"""Normal closes; 1005 stands for a close frame without a code, as Node's ``ws`` sends it by default (RFC 6455, 7.1.5)."""
FIRST: Final = 2
"""How many messages are the first: a greeting and an answer to it."""
_TIMES: Final = 5.0
"""A silence is a stream's own up to so many times its longest gap: of ten gaps drawn by chance (Poisson) one in 100 000 is longer."""
_SHORTEST_S: Final = 2.0
_BEGINNING_S: Final = 1.0
_ENOUGH: Final = 10  # messages after the beginning, until a stream is taken to speak all the time
_KINDS: Final = ("type", "event", "status", "op", "action", "kind", "code", "T")
_MOST_READ: Final = 4096
_ERROR: Final = re.compile(
    r"error|unauth|forbidden|denied|auth\w*(?:invalid|fail|expired|required)|(?:invalid|expired|bad)[ _-]?token",
    re.IGNORECASE,
)


def names_error(message: bytes) -> bool:
    """Whether a message says that something is wrong: JSON by its kind, ``error`` or ``ok`` (of a list the first), a text by its first words."""
    if len(message) > _MOST_READ:
        return False
    try:
        whole: Any = read_json(message)
    except ValueError:
        return _ERROR.match(message.decode("utf-8", "replace").lstrip(" \t\r\n[(\"'")) is not None
    one = whole[0] if isinstance(whole, list) and whole else whole
    if isinstance(one, str):
        return _ERROR.match(one) is not None
    if not isinstance(one, dict):
        return False
    said = (one.get(kind) for kind in _KINDS)
    return bool(
        one.get("error")
        or one.get("errors")
        or one.get("ok") is False
        or one.get("success") is False
        or any(isinstance(text, str) and _ERROR.search(text) for text in said)
    )


@dataclass(slots=True)
class Rhythm:
    """How a stream speaks, over all connections of a process."""

    longest_s: float = 0.0
    later: int = 0

    def heard(self, gap_s: float, connected_s: float) -> None:
        """A message came, so long after the one before, and so long after its handshake."""
        self.longest_s = max(self.longest_s, gap_s)
        self.later += connected_s > _BEGINNING_S

    def broken_by(self, silence_s: float) -> bool:
        """Whether such a silence is none of the stream's own."""
        return self.later >= _ENOUGH and silence_s > max(_SHORTEST_S, _TIMES * self.longest_s)
