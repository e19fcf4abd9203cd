"""Deliveries that differ from the sender's: again, later than others, or of a while ago.

Rules:

- A copy has its own connection and its own record, which names the exchange that it repeats.
- Nothing goes on after `cancel`: redeliveries that wait for their time are dropped, what is held goes on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any, Final

from chaosbot.addons.exchange_context import ExchangeContext, about
from chaosbot.addons.resend import Copy, send
from chaosbot.addons.services import Services
from chaosbot.core.effect import SendAgain
from chaosbot.core.event import ExchangeSeen
from chaosbot.core.exchange import Direction

# 64 earlier ones and the update itself.
_REMEMBERED: Final = 65


class Deliveries:
    """Sends again, holds back, replays; for one engine."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._earlier: dict[Direction, deque[tuple[float, Copy, str]]] = {
            direction: deque(maxlen=_REMEMBERED) for direction in Direction
        }
        self._held: dict[Direction, list[tuple[int, list[int], Callable[[], None]]]] = {
            direction: [] for direction in Direction
        }
        self._tasks: set[asyncio.Task[Any]] = set()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._services.spec.upstream_ca or None)
        if self._services.spec.upstream_cert:
            context.load_cert_chain(self._services.spec.upstream_cert)
        if self._services.spec.insecure_upstream:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def remember(self, context: ExchangeContext) -> None:
        """Keeps an update for those who replay it later."""
        self._earlier[context.exchange.direction].append((context.started, self._copy(context), context.exchange.key))

    def answered(self, context: ExchangeContext) -> None:
        """An exchange is over: those that wait to be overtaken hear of it, and its repetitions begin."""
        for ordinal, left, wake in tuple(self._held[context.exchange.direction]):
            if context.ordinal > ordinal:
                left[0] -= 1
                if left[0] <= 0:
                    wake()
        for copy, effect in context.again:
            self._start(self._deliver(context, copy, effect))

    def cancel(self) -> None:
        """Drops what has not been delivered yet."""
        for task in tuple(self._tasks):
            task.cancel()

    async def hold(self, context: ExchangeContext, count: int, at_most_s: float) -> int:
        """Waits until later exchanges of the direction were answered; returns how many."""
        left = [count]
        direction = context.exchange.direction
        waiting = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not waiting.done():
                waiting.set_result(None)

        entry = (context.ordinal, left, wake)
        self._held[direction].append(entry)
        timer = asyncio.create_task(self._services.pause(at_most_s, context.carrier))
        try:
            await asyncio.wait({waiting, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            self._held[direction].remove(entry)
        return count - max(0, left[0])

    def repeat(self, context: ExchangeContext, effect: SendAgain) -> None:
        """The request is to be sent again."""
        copy = self._copy(context)
        if effect.concurrent:
            self._start(self._deliver(context, copy, effect))
        else:
            context.again.append((copy, effect))

    def replay(self, context: ExchangeContext, back: int, age_s: float) -> bool:
        """Sends an earlier update again; whether there is one."""
        known = self._earlier[context.exchange.direction]
        earlier = [entry for entry in known if entry[2] != context.exchange.key and context.started - entry[0] >= age_s]
        if len(earlier) < back:
            return False
        _when, copy, key = earlier[-back]
        self._start(self._deliver(context, copy, SendAgain((0.0,), concurrent=True), key))
        return True

    def _copy(self, context: ExchangeContext) -> Copy:
        request = context.flow.request
        address = context.upstream or (request.host, request.port)
        tls = self._tls if request.scheme == "https" else None
        return Copy(
            request.method, request.path, tuple(request.headers.fields), request.raw_content or b"", address, tls
        )

    async def _deliver(self, context: ExchangeContext, copy: Copy, effect: SendAgain, earlier: str = "") -> None:
        key = context.exchange.key
        for number, pause_s in enumerate(effect.pauses_s, 1):
            await asyncio.sleep(pause_s)
            started = self._services.now()
            status = await send(copy)
            now = self._services.now()
            self._services.emit(
                ExchangeSeen(
                    now,
                    f"{earlier}@{key}" if earlier else f"{key}+{number}",
                    context.exchange.direction,
                    copy.method,
                    copy.target.partition("?")[0],
                    status,
                    "target",
                    now - started,
                    status,
                    repeat_of=earlier or key,
                    **about(None if earlier else context.exchange.update),
                )
            )
            if effect.until_ack and status is not None and 200 <= status < 300:
                return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._services.broke("repeat", error)
