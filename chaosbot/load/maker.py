"""Turns a task of a journey into a shot: what the dialect (or a journey file, or a corpus) encodes, numbered and dated."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from chaosbot.load.shot import Owner, Shot
from chaosbot.model.dialect import Dialect, Endpoint, Request
from chaosbot.model.dice import Dice
from chaosbot.model.journey import JourneySpec


class Source(Protocol):
    """What people do and how it is encoded; a dialect is one, a journey file and a corpus are others."""

    def journeys(self) -> Sequence[JourneySpec]:
        """The kinds of users."""

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task."""


class Maker:
    """Makes shots.

    Args:
        source: Who encodes.
        endpoint: Where it goes.
        dice: The plan's place in the tree of chance.
        exchange_header: Whether requests carry their exchange id (a proxy listens).
        named: Whether shots need an id at all.
        wall: The Unix time.
    """

    def __init__(
        self,
        source: Source | Dialect,
        endpoint: Endpoint,
        dice: Dice,
        *,
        exchange_header: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._build = source.build
        self._endpoint = endpoint
        self._dice = dice
        self._header = exchange_header
        self._wall = wall
        self._second = -1

    def tick(self) -> None:
        """A second has passed: requests claim the new time."""
        self._endpoint = dataclasses.replace(self._endpoint, now=int(self._wall()))

    def shot(self, owner: Owner, journey: JourneySpec, user: int | str, ordinal: int, due: float) -> Shot:
        """The request with this number in the plan."""
        dice = self._dice.at(ordinal)
        request = self._build(journey.draw(dice).name, user, ordinal, dice, self._endpoint)
        shot = Shot(owner, ordinal, request.data, request.task, request.facts, due, journey.name)
        shot.name_exchange(header=self._header)
        return shot
