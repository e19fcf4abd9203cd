"""The fast path beside `chaosbot.load.factory`: most requests of a fast run are filled into templates instead of encoded.

Encoding an update from scratch costs more than everything else about a request together. So each user's tasks are encoded
a few times, and afterwards delivery id, time and marker are written over the old ones, byte for byte, at equal length; where a
platform's users are alike but for their ids (`Platform.alike`), they share templates, and their id is written over too.

Rules:

- Only for runs whose single requests nobody joins with anything; a run through the proxy encodes every request.
- Only where that cannot be noticed: a task is fit for templates when two encodings that differ in secret and time differ in
  nothing but these two (a signed request is not).
- Memory is bounded: beyond `MOST` requests in templates, others are encoded as they come.
- One request in `RENEWED` is encoded all the same and takes its template's place, so a long run meets all that the source can say; of
  users who pause, one in `RENEWED_AT_EASE`: they send too few for its cost to count.
"""

from __future__ import annotations

import dataclasses
import time
from binascii import hexlify
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import JourneySpec
from chaosbot.core.marker import MARKER
from chaosbot.core.platform import Endpoint, Request
from chaosbot.load.factory import Chance, RequestFactory, Source, UserRequests
from chaosbot.load.pending import Owner, PendingRequest, RequestLabel

MOST_VARIANTS: Final = 4
"""So many encodings of one task of one user take turns at most."""
PEOPLE: Final = 20
"""Where a journey has this many users or more, one encoding each is variety enough."""
MOST: Final = 16_000
RENEWED: Final = 1024
RENEWED_AT_EASE: Final = 16

MARKER_BITS: Final = (1 << 48) - 1
"""The bits of a request's chance that its marker shows."""
_NONE: Final = RequestLabel("")
_SECRETS: Final = ("chaosbot-templates-a", "chaosbot-templates-b")

Build = Callable[[str, int | str, int, Dice, Endpoint], Request]


class RequestTemplate:
    """An encoded request with gaps where something is written over, in parts that are joined for each request.

    The delivery id is `lead` plus the request's ordinal; hooks of ``low <= number < high`` it has another length, and the template
    does not fit.

    Args:
        request: What was encoded.
        label: What it counts as.
        ordinal: The number that it was encoded as.
        time: The time that it claims.
        user: The digits of the user who sends it, where others may send it too; empty for this one user's own.
    """

    __slots__ = (
        "facts",
        "high",
        "label",
        "lead",
        "low",
        "marks",
        "number",
        "parts",
        "senders",
        "times",
        "users",
        "whole",
    )

    def __init__(self, request: Request, label: RequestLabel, ordinal: int, time: int, user: bytes = b"") -> None:
        self.label = label
        self.facts = request.facts
        facts = request.facts or UpdateFacts()
        number = facts.update_id if isinstance(facts.update_id, int) else None
        marker = facts.marker if facts.marker and MARKER.fullmatch(facts.marker) else ""
        self.lead = (number or 0) - ordinal
        self.low, self.high = _of_equal_length(number)
        texts = (b"" if number is None else b"%d" % number, b"%d" % time, marker.encode(), user)
        gaps = sorted((at, which) for which, text in enumerate(texts) if text for at in _places(request.data, text))
        self.parts: list[bytes] = []
        places: tuple[list[int], ...] = ([], [], [], [])
        end = 0
        for at, which in gaps:
            if at < end:
                continue  # inside what is written over already
            end_of_gap = at + len(texts[which])
            self.parts += [request.data[end:at], request.data[at:end_of_gap]]
            places[which].append(len(self.parts) - 1)
            end = end_of_gap
        self.parts.append(request.data[end:])
        numbers, self.times, self.marks, self.users = map(tuple, places)
        self.number = numbers[0] if numbers else 0
        """Which part the delivery id is; 0 for none."""
        self.senders = bool(user) and facts.user == int(user)
        """Whether it is about whom it is filled for."""
        self.whole = b"" if places != ([], [], [], []) else request.data
        """The request itself, where nothing is written over."""


def _of_equal_length(number: int | None) -> tuple[int, int]:
    """From where to where numbers are as long as this one; none at all where it is not above 0, and all where there is none."""
    if number is None:
        return -(1 << 64), 1 << 64
    digits = len(str(number))
    return (10 ** (digits - 1), 10**digits) if number > 0 else (0, 0)


def _places(data: bytes, text: bytes) -> Iterator[int]:
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + len(text))


class TemplateStore:
    """What all templates of a source share: which tasks are fit for it, how many there are, who shares them, what time they claim.

    Args:
        source: Encodes one.
        dice: The plan's place in the tree of chance.
        endpoint: Where requests go.
    """

    def __init__(self, source: Source, dice: Dice, endpoint: Endpoint) -> None:
        self._build = source.build
        self._alike = source.alike
        self._dice = dice
        self._shared: dict[tuple[int, int, int], list[list[RequestTemplate]]] = {}
        self._fit: dict[str, bool] = {}
        self._size = 0
        self.tick(endpoint)

    def tick(self, endpoint: Endpoint) -> None:
        """Requests claim this endpoint's time from now on."""
        self._endpoint = endpoint
        self.stamp = b"%d" % endpoint.time

    def variants(self, people: int) -> int:
        """How many encodings of one task of one user take turns, where so many users share a journey."""
        return max(min(PEOPLE // min(people, self._alike or people), MOST_VARIANTS), 1)

    def of(self, journey: JourneySpec, user: int | str) -> tuple[list[list[RequestTemplate]], bytes]:
        """A user's templates, a list for each task, and the user's digits where others share them."""
        if not self._alike or not isinstance(user, int) or user <= 0:
            return [[] for _ in journey.tasks], b""
        digits = b"%d" % user
        key = id(journey), user % self._alike, len(digits)
        return self._shared.setdefault(key, [[] for _ in journey.tasks]), digits

    def accepts(self, task: str, user: int | str, ordinal: int) -> bool:
        """Whether another request of this task is taken into templates."""
        if self._size >= MOST:
            return False
        fit = self._fit.get(task)
        if fit is None:
            try:
                fit = self._fit[task] = self._proves_fit(task, user, ordinal)
            except Exception:  # noqa: BLE001 - a source that refuses these secrets is simply not fit
                fit = self._fit[task] = False
        self._size += fit
        return fit

    def _proves_fit(self, task: str, user: int | str, ordinal: int) -> bool:
        first, second = _SECRETS
        endpoint, dice = self._endpoint, self._dice.at(ordinal)
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


class TemplateFactory(RequestFactory):
    """A request factory that fills templates where a task is fit for it; arguments as `RequestFactory`'s."""

    def __init__(
        self,
        source: Source,
        endpoint: Endpoint,
        dice: Dice,
        *,
        slow_share: float = 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(source, endpoint, dice, slow_share=slow_share, wall=wall)
        self.templates = TemplateStore(source, dice, endpoint)

    def tick(self) -> None:
        """A second has passed: requests claim the new time."""
        super().tick()
        self.templates.tick(self._endpoint)

    @property
    def time(self) -> int:
        """The time that requests claim."""
        return self._endpoint.time

    def _requests_of(self, journey: JourneySpec, user: int | str, slow: str, *, kept: bool) -> UserRequests:
        if slow or not kept:
            return super()._requests_of(journey, user, slow, kept=kept)
        return TemplatedRequests(self, journey, user)


class TemplatedRequests(UserRequests):
    """One user whose requests are filled into templates once enough of them are there."""

    __slots__ = ("_digits", "_filling", "_number", "_renewed", "_store", "_templates", "_variants")

    def __init__(self, factory: TemplateFactory, journey: JourneySpec, user: int | str) -> None:
        super().__init__(factory, journey, user, "")
        self._filling = factory
        self._store = factory.templates
        self._variants = self._store.variants(len(journey.users))
        self._templates, self._digits = self._store.of(journey, user)
        self._number = user if isinstance(user, int) else None
        self._renewed = RENEWED_AT_EASE if self._pause_s or self._span_s else RENEWED

    def renew(self, pending: PendingRequest, ordinal: int, which: int, word: int) -> bool:
        """Makes a pending request of this user the one with this number and chance; says whether a template fits, or it must be encoded."""
        templates = self._templates[bisect_right(self._bounds, which)]
        variants = self._variants
        if len(templates) < variants or which % self._renewed == 1:
            return False
        template = templates[(word >> 48) % variants]
        number = template.lead + ordinal
        if not template.low <= number < template.high:
            return False
        pending.ordinal = ordinal
        pending.label = template.label
        pending.made_of = template.facts
        if template.whole:
            pending.data = template.whole
            pending.mark = pending.update_id = pending.user = None
            return True
        parts = template.parts
        pending.mark = mark = word & MARKER_BITS
        for at in template.marks:
            parts[at] = b"cbm" + hexlify(mark.to_bytes(6, "big"))  # two thirds of the time of %012x
        pending.update_id = number if template.number else None
        if template.number:
            parts[template.number] = b"%d" % number
        stamp, digits = self._store.stamp, self._digits
        for at in template.times:
            parts[at] = stamp
        if digits:
            pending.user = self._number if template.senders else None
            for at in template.users:
                parts[at] = digits
        pending.data = b"".join(parts)
        return True

    def next(self, owner: Owner, ordinal: int, due: float, chance: Chance) -> PendingRequest:
        """The request with this number in the plan; what `UserRequests.next` gives, in one step where a template fits."""
        which, word, pause = chance
        pending = PendingRequest(owner, ordinal, b"", _NONE, None, due)
        if not self.renew(pending, ordinal, which, word):
            pending = self._made(bisect_right(self._bounds, which), word, owner, ordinal, due)
        pending.pause_s = self._pause_s + self._span_s * pause
        return pending

    def _made(self, task: int, word: int, owner: Owner, ordinal: int, due: float) -> PendingRequest:
        """Encodes a request from scratch, and keeps it as a template while there are too few."""
        templates = self._templates[task]
        name = self._journey.tasks[task].name
        request = self._filling.encode(name, self._user, ordinal)
        pending = self._encoded(request, task, owner, ordinal, due)
        full = len(templates) == self._variants
        if full or self._store.accepts(name, self._user, ordinal):
            template = RequestTemplate(request, pending.label, ordinal, self._filling.time, self._digits)
            if full:
                templates[(word >> 48) % self._variants] = template
            else:
                templates.append(template)
        return pending
