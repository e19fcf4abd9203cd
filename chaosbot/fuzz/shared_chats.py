"""Cases in chats that they share (the admin's private chat), sent one at a time beside everything else.

Where nothing but the chat tells whose reply a reply is, the next case in the chat waits until the target has replied to the one before
and is quiet again. Other chats go on meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from time import monotonic, sleep
from typing import Final, Protocol

from chaosbot.core.case import Case, Role
from chaosbot.core.check import CHECKS
from chaosbot.fuzz.spec import Clock, TimeIsUp
from chaosbot.fuzz.target import CampaignTarget, CaseResult
from chaosbot.fuzz.threads import ThreadPool

_WIDTH: Final = 6
"""Chats at the same time."""
_BACKGROUND: Final = 3
"""So many cases show the background before the controls are sent; the others come later."""


def compared(cases: Sequence[Case]) -> frozenset[str]:
    """Names of the cases whose replies matter: controls, what is compared with them, and cases of checks that need the calls."""
    named = {case.control for case in cases if case.control}
    needing = {name for name in CHECKS.names() if CHECKS.get(name).needs_calls}
    return frozenset(
        case.name
        for case in cases
        if case.control or case.name in named or case.role is Role.BACKGROUND or case.check in needing
    )


def divided(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """The cases in shared chats in which a reply matters, the most telling first, and all the others."""
    uses = Counter(case.chat for case in cases if case.chat is not None)
    matter = compared(cases)
    chats = {case.chat for case in cases if case.name in matter and case.chat is not None and uses[case.chat] > 1}
    shared = [case for case in cases if case.chat is not None and case.chat in chats]
    named = {case.control for case in cases if case.control}
    return _ordered(shared, named), [case for case in cases if case.chat is None or case.chat not in chats]


def _ordered(cases: Sequence[Case], named: set[str]) -> list[Case]:
    """Some background, the controls, then the rest: what matters most comes first, however slow the target is."""
    background = [case for case in cases if case.role is Role.BACKGROUND]
    first = [*background[:_BACKGROUND], *(case for case in cases if case.name in named)]
    return [*first, *(case for case in cases if case not in first)]


class ResultSource(Protocol):
    """Sends cases by itself."""

    def take(self) -> list[CaseResult]:
        """What has come back since the last time."""

    def stop(self) -> None:
        """Sends no more; what waits ends."""


class SharedChats:
    """Sends the cases of each shared chat one after the other, in a thread for each chat.

    Args:
        target: The target.
    """

    def __init__(self, target: CampaignTarget) -> None:
        self._target = target
        self._pool = ThreadPool(_WIDTH, "fuzz-shared")
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._done: list[CaseResult] = []
        self._chats: dict[int | str | None, Future[None]] = {}
        self._beside: list[ResultSource] = []
        self._stopped = False
        self.planned = 0

    def beside(self, source: ResultSource, chat: int | str | None, work: Callable[[], None]) -> Future[None]:
        """Begins work that sends cases by itself and keeps a chat for itself, as soon as that is free; `take` gives its results as well."""
        if source not in self._beside:
            self._beside.append(source)
        before = self._chats.get(chat)

        def follow() -> None:
            if before is not None:
                before.result()
            with suppress(TimeIsUp):
                work()

        self._chats[chat] = future = self._pool.submit(follow)
        return future

    def add(self, cases: Iterable[Case], stage: str) -> None:
        """Begins to send them, each chat's in their order."""
        cases = list(cases)
        chats: dict[int | str | None, list[Case]] = defaultdict(list)
        for case in cases:
            chats[case.chat].append(case)
        self.planned += len(cases)
        for chat, queue in chats.items():
            # A chat that is under way already gets the new ones behind.
            before = self._chats.get(chat)
            self._chats[chat] = self._pool.submit(self._send, queue, stage, before)

    def _send(self, cases: Sequence[Case], stage: str, before: Future[None] | None) -> None:
        if before is not None:
            before.result()
        for case in cases:
            if self._stopped or self._target.should_stop():
                return
            with self.alone(case.chat):
                result = self._target.fire_quietly(case, stage)
            with self._lock:
                self._done.append(result)

    @property
    def busy(self) -> bool:
        """Whether cases are still under way or wait."""
        return any(not chat.done() for chat in self._chats.values())

    def alone(self, chat: int | str | None) -> AbstractContextManager[object]:
        """Entered while one case of a chat is under way, and by who looks at what comes there: no case leaves meanwhile; None is no chat."""
        return self._locks[str(chat)] if chat is not None else nullcontext()

    def reserves(self, chat: int | str | None) -> bool:
        """Whether nothing else may be sent in this chat now."""
        under_way = self._chats.get(chat) if chat is not None else None
        return under_way is not None and not under_way.done()

    def take(self) -> list[CaseResult]:
        """What has come back since the last time; raises what a thread ended with."""
        for chat in self._chats.values():
            if chat.done():
                chat.result()
        with self._lock:
            done, self._done = self._done, []
        return [*done, *(result for source in self._beside for result in source.take())]

    def finish(self, clock: Clock) -> list[CaseResult]:
        """Waits for the rest until the clock is over; what has not left by then is not sent."""
        while self.busy and not clock.over():
            sleep(0.02)
        self._stop()
        until = monotonic() + 10.0
        while self.busy and monotonic() < until:
            sleep(0.02)
        self._stopped = False
        done = self.take()
        self._chats.clear()
        self._beside.clear()
        return done

    def _stop(self) -> None:
        self._stopped = True
        for source in self._beside:
            source.stop()

    def close(self) -> None:
        """Sends no more."""
        self._stop()
        self._pool.close()
