"""What the bot keeps for its users: reminders, tasks, modes, improvements. All bounded, all owned.

Numbers are handed out one after the other, hence easy to guess; the owner is what protects a thing, not its number.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from chaosbot.demo.bugs import Bug

MAX_THINGS: Final = 5_000
MAX_USERS: Final = 20_000
SKILLS: Final = {
    "language": ("translate", "summarize", "rewrite"),
    "planning": ("remind", "task"),
    "insight": ("explain", "compare"),
}


@dataclass(frozen=True, slots=True)
class Thing:
    """Something kept for a user."""

    number: int
    owner: int
    text: str


class Drawer:
    """Things of one sort, by number; the oldest go when there are too many."""

    def __init__(self, anyones: bool = False) -> None:
        """Starts empty."""
        self._anyones = anyones
        self._things: OrderedDict[int, Thing] = OrderedDict()
        self._last = 0

    def put(self, owner: int, text: str) -> Thing:
        """Keeps something new for its owner."""
        self._last += 1
        thing = self._things[self._last] = Thing(self._last, owner, text)
        if len(self._things) > MAX_THINGS:
            self._things.popitem(last=False)
        return thing

    def get(self, number: int, owner: int) -> Thing | None:
        """Returns a thing to its owner and to nobody else."""
        thing = self._things.get(number)
        if thing is None or (thing.owner != owner and not self._anyones):
            return None
        return thing

    def take(self, number: int, owner: int | None) -> Thing | None:
        """Like `get`, and the thing is gone; None for the owner asks for nobody's leave."""
        thing = self._things.get(number) if owner is None else self.get(number, owner)
        if thing is not None:
            del self._things[number]
        return thing

    def of(self, owner: int, limit: int = 20) -> list[Thing]:
        """Returns the newest things of an owner."""
        return [thing for thing in reversed(self._things.values()) if thing.owner == owner][:limit]

    def __len__(self) -> int:
        """How many things there are."""
        return len(self._things)


_V = TypeVar("_V")


class Recent(Generic[_V]):
    """A value per user, for the users seen last."""

    def __init__(self) -> None:
        """Starts empty."""
        self._values: OrderedDict[int, _V] = OrderedDict()

    def put(self, user_id: int, value: _V) -> None:
        """Sets the value of a user."""
        self._values[user_id] = value
        self._values.move_to_end(user_id)
        if len(self._values) > MAX_USERS:
            self._values.popitem(last=False)

    def get(self, user_id: int, default: _V) -> _V:
        """Returns the value of a user."""
        return self._values.get(user_id, default)

    def drop(self, user_id: int) -> None:
        """Forgets the value of a user."""
        self._values.pop(user_id, None)


class Desk:
    """Everything kept, in one place."""

    def __init__(self, bugs: frozenset[Bug]) -> None:
        """Starts empty."""
        self.reminders = Drawer(anyones=Bug.FOREIGN_REMINDERS in bugs)
        self.tasks = Drawer()
        self.improvements = Drawer()
        self.modes: Recent[str] = Recent()
        self.skills: Recent[str] = Recent()


REMEMBERED: Final = 50_000
_T = TypeVar("_T")


class Deduplicator:
    """Runs the work of an update unless that has been done.

    Rules:
    1. The first delivery of an id claims it, before anything is awaited.
    2. A duplicate that comes meanwhile waits for the first; when that one fails, the next in line does the work.
    3. A failed first attempt gives the id back, so that the platform's redelivery can do the work.
    4. Memory is bounded: the oldest finished ids are forgotten. A restart forgets all of them.

    Ids are not compared with each other: gaps, old ids and any order are fine.
    """

    def __init__(self, bugs: frozenset[Bug], capacity: int = REMEMBERED) -> None:
        """Starts with nothing seen."""
        self._bugs = bugs
        self._capacity = capacity
        self._done: OrderedDict[int, None] = OrderedDict()
        self._running: dict[int, asyncio.Future[None]] = {}

    async def once(self, update_id: int, work: Callable[[], Awaitable[_T]]) -> _T | None:
        """Does the work of an update at most once.

        Returns:
            What the work returned, or None when it was done already.
        """
        if Bug.NO_DEDUP in self._bugs:
            return await work()
        if Bug.RACY_DEDUP in self._bugs:
            return await self._racy(update_id, work)
        while (running := self._running.get(update_id)) is not None:
            await asyncio.shield(running)
        if update_id in self._done:
            return None
        mine = self._running[update_id] = asyncio.get_running_loop().create_future()
        try:
            result = await work()
            self._remember(update_id)
            return result
        finally:
            del self._running[update_id]
            mine.set_result(None)

    async def _racy(self, update_id: int, work: Callable[[], Awaitable[_T]]) -> _T | None:
        if update_id in self._done:
            return None
        await asyncio.sleep(0.2)  # BUG: like a look-up in a busy database; duplicates pass meanwhile
        result = await work()
        self._remember(update_id)
        return result

    def _remember(self, update_id: int) -> None:
        self._done[update_id] = None
        if len(self._done) > self._capacity:
            self._done.popitem(last=False)

    def __len__(self) -> int:
        """How many finished ids are remembered."""
        return len(self._done)
