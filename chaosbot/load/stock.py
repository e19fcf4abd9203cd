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
from collections.abc import Callable
from typing import Final

from chaosbot.model.dialect import Endpoint, Request
from chaosbot.model.dice import Dice
from chaosbot.model.exchange import UpdateFacts

MOST_VARIANTS: Final = 8
"""So many encodings of one task of one user take turns at most."""
PEOPLE: Final = 400
"""Where a journey has this many users or more, one encoding each is variety enough."""
MOST: Final = 16_000

_SECRETS: Final = ("chaosbot-stock-a", "chaosbot-stock-b")

Build = Callable[[str, int | str, int, Dice, Endpoint], Request]


class _Template:
    """An encoded request and what is to be written over in it."""

    __slots__ = ("always", "data", "facts", "marker", "number", "ordinal", "task", "time")

    def __init__(self, request: Request, ordinal: int, time: int) -> None:
        self.data = request.data
        self.task = request.task
        self.facts = request.facts or UpdateFacts()
        self.ordinal = ordinal
        number = self.facts.update_id
        self.number = number if isinstance(number, int) else None
        self.marker = self.facts.marker.encode() if self.facts.marker else b""
        self.time = b"%d" % time
        # Nothing in it tells one delivery from another (a GET): it is sent as it is.
        constant = self.number is None and not self.marker and self.time not in self.data
        self.always = request if constant else None

    def renewed(self, ordinal: int, word: int, time: int) -> Request | None:
        """The request as another delivery; None where lengths would change."""
        if self.always is not None:
            return self.always
        data, marker = self.data, self.facts.marker
        number = self.facts.update_id
        if self.number is not None:
            number = self.number + ordinal - self.ordinal
            before, after = b"%d" % self.number, b"%d" % number
            if len(before) != len(after):
                return None
            data = data.replace(before, after, 1)
        if self.marker:
            marker = f"cbm{word & 0xFFFF_FFFF_FFFF:012x}"
            data = data.replace(self.marker, marker.encode())
        stamp = b"%d" % time
        if stamp != self.time:
            if len(stamp) != len(self.time):
                return None
            data = data.replace(self.time, stamp)
        old = self.facts
        facts = UpdateFacts(number, old.kind, old.chat, old.user, old.tier, old.command, marker)
        return Request(data, self.task, facts)


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

    def take(self, task: str, user: int | str, ordinal: int, endpoint: Endpoint, word: int, people: int) -> Request:
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
            request = templates[(word >> 48) % len(templates)].renewed(ordinal, word, endpoint.time)
            if request is not None:
                return request
        dice = self._dice.at(ordinal)
        request = self._build(task, user, ordinal, dice, endpoint)
        if self._size < MOST and self._is_fit(task, user, ordinal, dice, endpoint):
            if templates is None:
                templates = self._templates[task, user] = []
            if len(templates) < variants:
                templates.append(_Template(request, ordinal, endpoint.time))
                self._size += 1
        return request

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
