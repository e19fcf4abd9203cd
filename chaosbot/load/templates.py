"""The fast path beside `chaosbot.load.factory`: most requests of a fast run are filled into templates instead of encoded.

Encoding an update from scratch costs more than everything else about a request together. So each user's tasks are encoded
a few times, and afterwards delivery id, time and marker are written over the old ones, byte for byte, at equal length.

Rules:

- Only for runs whose single requests nobody joins with anything; a run through the proxy encodes every request.
- Only where that cannot be noticed: a task is fit for templates when two encodings that differ in secret and time differ in
  nothing but these two (a signed request is not).
- Memory is bounded: beyond `MOST` requests in templates, others are encoded as they come.
"""

from __future__ import annotations

import dataclasses
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import JourneySpec
from chaosbot.core.marker import MARKER
from chaosbot.core.platform import Endpoint, Request
from chaosbot.load.factory import Chance, RequestFactory, Source, UserRequests
from chaosbot.load.pending import Owner, PendingRequest, RequestLabel

MOST_VARIANTS: Final = 8
"""So many encodings of one task of one user take turns at most."""
PEOPLE: Final = 100
"""Where a journey has this many users or more, one encoding each is variety enough."""
MOST: Final = 16_000

MARKER_BITS: Final = (1 << 48) - 1
"""The bits of a request's chance that its marker shows."""
_SECRETS: Final = ("chaosbot-templates-a", "chaosbot-templates-b")

Build = Callable[[str, int | str, int, Dice, Endpoint], Request]


class RequestTemplate:
    """An encoded request with gaps where something is written over, as a form for the ``%`` operator.

    Fill it by ``form % pick((number, time, mark))``, where the number is `lead` plus the request's ordinal, the time has as
    many digits as the one it was made with, and the mark is below 2**48; hooks of ``low <= number < high`` the number has
    another length, and the form does not fit.

    Args:
        request: What was encoded.
        label: What it counts as.
        ordinal: The number that it was encoded as.
        time: The time that it claims.
    """

    __slots__ = ("facts", "form", "high", "label", "lead", "low", "numbered", "pick")

    def __init__(self, request: Request, label: RequestLabel, ordinal: int, time: int) -> None:
        self.label = label
        self.facts = request.facts
        facts = request.facts or UpdateFacts()
        number = facts.update_id if isinstance(facts.update_id, int) else None
        marker = facts.marker if facts.marker and MARKER.fullmatch(facts.marker) else ""
        self.numbered = number is not None
        self.lead = (number or 0) - ordinal
        self.low, self.high = _of_equal_length(number)
        texts = ("" if number is None else str(number), str(time), marker)
        gaps = sorted((at, which) for which, text in enumerate(texts) if text for at in _places(request.data, text))
        form, picked, end = [], [], 0
        for at, which in gaps:
            if at < end:
                continue  # inside what is written over already
            form += [request.data[end:at].replace(b"%", b"%%"), (b"%d", b"%b", b"cbm%012x")[which]]
            picked.append(which)
            end = at + len(texts[which])
        self.form = b"".join((*form, request.data[end:].replace(b"%", b"%%"))) if form else request.data
        self.pick: Callable[[tuple[int, bytes, int]], Any] | None = itemgetter(*picked) if picked else None


def _of_equal_length(number: int | None) -> tuple[int, int]:
    """From where to where numbers are as long as this one; none at all where it is not above 0, and all where there is none."""
    if number is None:
        return -(1 << 64), 1 << 64
    digits = len(str(number))
    return (10 ** (digits - 1), 10**digits) if number > 0 else (0, 0)


def _places(data: bytes, text: str) -> Iterator[int]:
    found = text.encode()
    at = data.find(found)
    while at >= 0:
        yield at
        at = data.find(found, at + len(found))


class TemplateStore:
    """What all stocked requests of a source share: which tasks are fit for it, how many there are, what time they claim.

    Args:
        build: Encodes one.
        dice: The plan's place in the tree of chance.
        endpoint: Where requests go.
    """

    def __init__(self, build: Build, dice: Dice, endpoint: Endpoint) -> None:
        self._build = build
        self._dice = dice
        self._fit: dict[str, bool] = {}
        self._size = 0
        self.tick(endpoint)

    def tick(self, endpoint: Endpoint) -> None:
        """Requests claim this endpoint's time from now on."""
        self._endpoint = endpoint
        self.stamp = b"%d" % endpoint.time

    @staticmethod
    def variants(people: int) -> int:
        """How many encodings of one task of one user take turns, where so many users share a journey."""
        return max(min(PEOPLE // people, MOST_VARIANTS), 1)

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
        self.templates = TemplateStore(source.build, dice, endpoint)

    def tick(self) -> None:
        """A second has passed: requests claim the new time."""
        super().tick()
        self.templates.tick(self._endpoint)

    def template(self, request: Request, label: RequestLabel, ordinal: int) -> RequestTemplate:
        """Cuts a request that was just encoded into a template."""
        return RequestTemplate(request, label, ordinal, self._endpoint.time)

    def _requests_of(self, journey: JourneySpec, user: int | str, slow: str, *, kept: bool) -> UserRequests:
        if slow or not kept:
            return super()._requests_of(journey, user, slow, kept=kept)
        return TemplatedRequests(self, journey, user)


class TemplatedRequests(UserRequests):
    """One user whose requests are filled into templates once enough of them are there."""

    __slots__ = ("_filling", "_store", "_templates", "_variants")

    def __init__(self, factory: TemplateFactory, journey: JourneySpec, user: int | str) -> None:
        super().__init__(factory, journey, user, "")
        self._filling = factory
        self._store = factory.templates
        self._variants = TemplateStore.variants(len(journey.users))
        self._templates: list[list[RequestTemplate]] = [[] for _ in journey.tasks]

    def next(self, owner: Owner, ordinal: int, due: float, chance: Chance) -> PendingRequest:
        """The request with this number in the plan; what `UserRequests.next` gives, in one step where a template fits."""
        which, word, pause = chance
        task = bisect_right(self._bounds, which)
        templates = self._templates[task]
        if len(templates) == self._variants:
            template = templates[(word >> 48) % self._variants]
            number = template.lead + ordinal
            if template.low <= number < template.high:
                if template.pick is None:
                    pending = PendingRequest(owner, ordinal, template.form, template.label, template.facts, due)
                else:
                    mark = word & MARKER_BITS
                    data = template.form % template.pick((number, self._store.stamp, mark))
                    pending = PendingRequest(owner, ordinal, data, template.label, template.facts, due)
                    pending.mark = mark
                    if template.numbered:
                        pending.update_id = number
                if self._span_s:
                    pending.pause_s = self._pause_s + self._span_s * pause
                else:
                    pending.pause_s = self._pause_s
                return pending
        pending = self._made(task, word, owner, ordinal, due)
        pending.pause_s = self._pause_s + self._span_s * pause
        return pending

    def _made(self, task: int, word: int, owner: Owner, ordinal: int, due: float) -> PendingRequest:  # noqa: ARG002 - as the plain path's
        """Encodes a request from scratch, and keeps it as a template while there are too few."""
        templates = self._templates[task]
        name = self._journey.tasks[task].name
        request = self._filling.encode(name, self._user, ordinal)
        pending = self._encoded(request, task, owner, ordinal, due)
        if len(templates) < self._variants and self._store.accepts(name, self._user, ordinal):
            templates.append(self._filling.template(request, pending.label, ordinal))
        return pending
