"""Each update takes effect at most once, however often and however concurrently it is delivered.

Rules:
1. The first delivery of an id claims it, before anything is awaited.
2. A duplicate that comes meanwhile waits for the first; when that one fails, the next in line does the work.
3. A failed first attempt gives the id back, so that the platform's redelivery can do the work.
4. Memory is bounded: the oldest finished ids are forgotten. A restart forgets all of them.

Ids are not compared with each other: gaps, old ids and any order are fine.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chaosbot.demo.bugs import Bug

REMEMBERED: Final = 50_000
_T = TypeVar("_T")


class Deduplicator:
    """Runs the work of an update unless that has been done."""

    def __init__(self, bugs: frozenset[Bug], capacity: int = REMEMBERED) -> None:
        """Starts with nothing seen.

        Args:
            bugs: Planted bugs.
            capacity: How many finished ids are remembered.
        """
        self._bugs = bugs
        self._capacity = capacity
        self._done: OrderedDict[int, None] = OrderedDict()
        self._running: dict[int, asyncio.Future[None]] = {}

    async def once(self, update_id: int, work: Callable[[], Awaitable[_T]]) -> _T | None:
        """Does the work of an update at most once.

        Args:
            update_id: The update.
            work: What to do for it.

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
