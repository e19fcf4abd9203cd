"""Pre-encoded requests: most of what a fast run sends is taken from stock and only numbered and dated anew.

Encoding an update from scratch costs more than everything else about a request together. So each user's tasks are encoded
a few times, and afterwards delivery id, time and marker are written over the old ones, byte for byte, at equal length.

Rules:

- Only for runs whose single requests nobody joins with anything; a run through the proxy encodes every request.
- Only where that cannot be noticed: a task is fit for stock when two encodings that differ in secret and time differ in
  nothing but these two (a signed request is not).
- Memory is bounded: beyond `MOST` requests in stock, others are encoded as they come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from chaosbot.model.dialect import Endpoint, Request
from chaosbot.model.dice import Dice
from chaosbot.model.exchange import UpdateFacts

MOST_VARIANTS: Final = 8
"""So many encodings of one task of one user take turns at most."""
PEOPLE: Final = 400
"""Where a journey has this many users or more, one encoding each is variety enough."""
MOST: Final = 16_000

_NUMBER, _MARKER, _TIME = 0, 1, 2
_SECRETS: Final = ("chaosbot-stock-a", "chaosbot-stock-b")

Build = Callable[[str, int | str, int, Dice, Endpoint], Request]


class Renewed(NamedTuple):
    """A request from stock: its bytes, and what was written over in the facts of the one that it was made from."""

    data: bytes
    task: str
    facts: UpdateFacts | None
    update_id: int | str | None = None
    marker: str | None = None


class _Template:
    """An encoded request, cut where something is to be written over."""

    __slots__ = ("_cuts", "_digits", "_pieces", "_spots", "facts", "number", "ordinal", "task", "whole")

    def __init__(self, request: Request, ordinal: int, time: int) -> None:
        self.whole = request.data
        self.task = request.task
        self.facts = request.facts
        self.ordinal = ordinal
        facts = request.facts or UpdateFacts()
        self.number = facts.update_id if isinstance(facts.update_id, int) else None
        words = {_NUMBER: b"%d" % self.number if self.number is not None else b"", _TIME: b"%d" % time}
        words[_MARKER] = facts.marker.encode() if facts.marker else b""
        self._digits = len(words[_NUMBER]), len(words[_TIME])
        found = sorted((at, word) for word, text in words.items() if text for at in _places(request.data, text))
        self._pieces: list[bytes] = []
        self._spots: list[tuple[int, int]] = []  # which piece is which word
        end = 0
        for at, word in found:
            if at < end:
                continue  # inside what is written over already
            self._pieces += (request.data[end:at], words[word])
            self._spots.append((len(self._pieces) - 1, word))
            end = at + len(words[word])
        self._pieces.append(request.data[end:])
        self._cuts = {word for _, word in self._spots}

    def renewed(self, ordinal: int, word: int, stamp: bytes) -> Renewed | None:
        """The request as another delivery; None where lengths would change."""
        if not self._spots:
            return Renewed(self.whole, self.task, self.facts)
        number, marker, digits = None, None, b""
        if self.number is not None:
            number = self.number + ordinal - self.ordinal
            digits = b"%d" % number
        if (len(digits), len(stamp)) != self._digits:
            return None
        mark = b""
        if _MARKER in self._cuts:
            mark = b"cbm%012x" % (word & 0xFFFF_FFFF_FFFF)
            marker = mark.decode()
        texts = (digits, mark, stamp)
        pieces = self._pieces.copy()
        for place, which in self._spots:
            pieces[place] = texts[which]
        return Renewed(b"".join(pieces), self.task, self.facts, number, marker)


def _places(data: bytes, text: bytes) -> Iterator[int]:
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + len(text))


class Stock:
    """Requests of a source, encoded ahead.

    Args:
        build: Encodes one.
        dice: The plan's place in the tree of chance.
    """

    def __init__(self, build: Build, dice: Dice) -> None:
        self._build = build
        self._dice = dice
        self._fit: dict[str, bool] = {}
        self._templates: dict[tuple[str, int | str], list[_Template]] = {}
        self._size = 0
        self._endpoint: Endpoint | None = None
        self._stamp = b""

    def take(self, task: str, user: int | str, ordinal: int, endpoint: Endpoint, word: int, people: int) -> Renewed:
        """The request with this number.

        Args:
            task: What is done.
            user: By whom.
            ordinal: The request's number.
            endpoint: Where it goes.
            word: 64 bits of its chance.
            people: How many users share the journey.
        """
        variants = max(min(PEOPLE // people, MOST_VARIANTS), 1)
        templates = self._templates.get((task, user))
        if templates is not None and len(templates) >= variants:
            if endpoint is not self._endpoint:
                self._endpoint, self._stamp = endpoint, b"%d" % endpoint.time
            renewed = templates[(word >> 48) % len(templates)].renewed(ordinal, word, self._stamp)
            if renewed is not None:
                return renewed
        dice = self._dice.at(ordinal)
        request = self._build(task, user, ordinal, dice, endpoint)
        if self._size < MOST and self._is_fit(task, user, ordinal, dice, endpoint):
            if templates is None:
                templates = self._templates[task, user] = []
            if len(templates) < variants:
                templates.append(_Template(request, ordinal, endpoint.time))
                self._size += 1
        return Renewed(request.data, request.task, request.facts)

    def _is_fit(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> bool:
        fit = self._fit.get(task)
        if fit is None:
            try:
                fit = self._fit[task] = self._proves_fit(task, user, ordinal, dice, endpoint)
            except Exception:  # noqa: BLE001 - a source that refuses these secrets is simply not fit
                fit = self._fit[task] = False
        return fit

    def _proves_fit(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> bool:
        first, second = _SECRETS
        time = endpoint.time
        one = self._build(task, user, ordinal, dice, dataclasses.replace(endpoint, secret=first, now=time))
        other = self._build(task, user, ordinal, dice, dataclasses.replace(endpoint, secret=second, now=time + 1))
        expected = one.data.replace(first.encode(), second.encode()).replace(b"%d" % time, b"%d" % (time + 1))
        facts = one.facts or UpdateFacts()
        if facts.update_id is not None and (
            not isinstance(facts.update_id, int) or one.data.count(b"%d" % facts.update_id) != 1
        ):
            return False
        return other.data == expected
