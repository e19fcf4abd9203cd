"""A case: what the fuzzer sends, as bytes plus timing, with the outcome that a correct server shows.

A serializer cannot express the worst requests, so a case is pre-encoded bytes cut into segments with pauses, an ending and a
way of reading. What is expected stands with each case, never "status below 500" alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chaosbot.core.jsontext import read_json
from chaosbot.core.verdict import Mechanism, Threat


class Ending(StrEnum):
    """What the sender does after its last segment."""

    WAIT = "wait"  # waits for the answer, then closes
    HALF_CLOSE = "half_close"  # FIN at once, still reads
    CLOSE = "close"  # FIN at once, reads nothing
    RESET = "reset"  # RST at once


class Reading(StrEnum):
    """How the sender reads the answer."""

    ALL = "all"
    NEVER = "never"


class Reach(StrEnum):
    """Which effect the case may have (outgoing calls, replies, state)."""

    NONE = "none"  # refused: no work, no outgoing call
    ANY = "any"  # handled or ignored
    ONCE = "once"  # exactly one
    AT_MOST_ONCE = "at_most_once"


class Role(StrEnum):
    """What a case is for where cases are compared with each other."""

    ATTEMPT = "attempt"  # tries something
    PLAIN = "plain"  # tries the same without any trick
    BACKGROUND = "background"  # shows what a meaningless request gets
    SETUP = "setup"  # does what others then try something with: makes an object, opens a menu
    AFTERWARDS = "afterwards"  # ends a scenario: an ordinary delivery that shows whether the target still answers


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """What makes a case differ from an ordinary delivery.

    Args:
        mechanism: What kind of thing is changed.
        place: Which one: the member (``*.chat``), the kind (``message``), the technique (``json/truncated``).
        operator: What is done to it: ``drop``, ``null``, ``wrap`` …; empty where there is one way only.
    """

    mechanism: Mechanism = Mechanism.BEHAVIOUR
    place: str = ""
    operator: str = ""


ORDINARY: Final = Change()
"""No change: an ordinary delivery."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes that leave together, after a pause (seconds)."""

    data: bytes
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer must be beside its status, where the sender reads it.

    Args:
        body: The body is exactly this; JSON where it begins like JSON, otherwise text.
        holds: The body holds this.
        lacks: The body must not hold this.
        types: Content types of which it must have one.
        empty: Whether an empty body is as good.
    """

    body: str = ""
    holds: str = ""
    lacks: str = ""
    types: tuple[str, ...] = ()
    empty: bool = False

    def wrong(self, content_type: str, body: bytes) -> str:
        """What is wrong with an answer, in words; empty when nothing is."""
        text = body.decode("utf-8", "replace").strip()
        if self.empty and not text:
            return ""
        if self.body and not _same(text, self.body):
            return f"its body is not exactly {self.body[:80]}"
        if self.holds and self.holds not in text:
            return f"its body does not hold {self.holds[:80]}"
        if self.lacks and self.lacks in text:
            return f"its body holds {self.lacks[:80]}"
        kind = content_type.partition(";")[0].strip().lower()
        if self.types and kind not in self.types:
            return f"its content type is {kind or 'missing'}, not {' or '.join(self.types)}"
        return ""


def _same(text: str, wanted: str) -> bool:
    if text == wanted:
        return True
    try:
        return wanted[:1] in "{[" and bool(read_json(text) == read_json(wanted))
    except (ValueError, RecursionError):
        return False


@dataclass(frozen=True, slots=True)
class Expect:
    """The outcome of a correct server.

    Args:
        statuses: Statuses that are right: whole classes (``2`` for 2xx) or single codes (``401``).
        close: Whether closing or resetting the connection without an answer is right too.
        within_s: Bound on the answer in seconds; None leaves it to the campaign's own.
        reach: Which effect it may have.
        text: The exact text that a reply must carry unharmed, when it matters.
        answer: What the answer must be beside its status, where the sender reads it.
    """

    statuses: frozenset[int] = frozenset({2})
    close: bool = False
    within_s: float | None = None
    reach: Reach = Reach.ANY
    text: str = ""
    answer: Answer | None = None

    def allows_status(self, status: int) -> bool:
        """Whether this status is right."""
        return status in self.statuses or status // 100 in self.statuses


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to send.

    Args:
        name: Unique in its campaign and stable over runs (``auth/secret-prefix``).
        group: The group of the catalogue it belongs to.
        threat: Who can send it.
        segments: What leaves, in order.
        expect: The outcome of a correct server.
        summary: What is special about it, in one line.
        ending: What the sender does after the last segment.
        reading: How it reads the answer.
        marker: The unique text planted in it, which joins it to the calls that the bot makes afterwards.
        chat: The chat that its reply belongs to.
        update_id: The delivery id that it carries.
        check: The check that judges it first, where its group does not say so.
        control: The name of the case that shows what the rightful one gets; of a background, the case whose background it is alone.
        change: What makes it differ from an ordinary delivery.
        role: What it is for where cases are compared.
        scenario: The scenario that it is a step of; empty where it stands alone.
        copies: How many times its request holds the same delivery.
        user: Who acts in it.
        message: The id of the message that a reply would quote.
        callback: The id by which its button press is answered.
        recalls: A phrase of the request that ends with a number which the bot had told in reply to the case before; sent again, it
            ends with the number that the bot tells then.
        nth: Which of the numbers in that reply it is.
    """

    name: str
    group: str
    threat: Threat
    segments: tuple[Segment, ...]
    expect: Expect
    summary: str = ""
    ending: Ending = Ending.WAIT
    reading: Reading = Reading.ALL
    marker: str = ""
    chat: int | str | None = None
    update_id: int | str | None = None
    check: str = ""
    control: str = ""
    change: Change = ORDINARY
    role: Role = Role.ATTEMPT
    scenario: str = ""
    copies: int = 1
    user: int | str | None = None
    message: int | str | None = None
    callback: str | None = None
    recalls: str = ""
    nth: int = 0

    @property
    def request(self) -> bytes:
        """All bytes that leave, without their timing."""
        return b"".join(segment.data for segment in self.segments)


# ── requests that are kept without their secret ───────────────────────────────────────────────────────────────────────

# Placeholders say which piece of it stood where: a forger's case may carry only the beginning of a secret, or the
# whole in another letter case; replaying it needs exactly that.

_PLACEHOLDER: Final = re.compile(rb"\{\{chaosbot:secret:(\d+):(\d+):(as-is|upper|lower|swap)\}\}")
_SHORTEST_PIECE: Final = 4
_CASES: Final[dict[str, Callable[[str], str]]] = {
    "as-is": str,
    "upper": str.upper,
    "lower": str.lower,
    "swap": str.swapcase,
}


def hide(data: bytes, secret: str) -> bytes:
    """The bytes without the secret and without its beginnings and ends."""
    if not secret:
        return data
    size = len(secret)
    shortest = min(size, max(_SHORTEST_PIECE, size // 2))
    for length in range(size, shortest - 1, -1):
        for start in {0, size - length}:
            for name, change in _CASES.items():
                piece = change(secret[start : start + length]).encode()
                if piece in data:
                    data = data.replace(piece, b"{{chaosbot:secret:%d:%d:%b}}" % (start, start + length, name.encode()))
    return data


def reveal(data: bytes, secret: str) -> bytes:
    """The bytes with the secret's pieces where they belong."""

    def piece(match: re.Match[bytes]) -> bytes:
        return _CASES[match[3].decode()](secret[int(match[1]) : int(match[2])]).encode()

    return _PLACEHOLDER.sub(piece, data)
