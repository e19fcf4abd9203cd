"""The readiness loop: one epoll descriptor and one heap of timers, hosted in a trio task.

Why not a task per connection: at a thousand connections trio's own bookkeeping for each wait costs several times what the
request does. So connections are plain objects with a `ready` method, timers are plain calls, and trio sees a single
descriptor that is readable when any connection is (docs/decisions/0010-load-hot-path.md has the figures).

Rules:

- Everything that the loop calls is synchronous and short; it never blocks and never raises on purpose.
- What the sockets have to say is heard before a timer acts: a peer that hung up is known before the next request is written to it.
- The loop yields to trio at least every `SLICE_S` seconds of work, so intervals, probes and Ctrl-C get their turn.
- epoll waits in whole milliseconds; the last one before a timer is waited in `select`, which knows microseconds.
- Without sockets (`sockets=False`) the loop runs on trio's clock alone, so an hour passes in seconds under a mock clock.
"""

from __future__ import annotations

import heapq
import itertools
import select
import selectors
import time
from collections.abc import Callable
from typing import Final, Protocol

import trio

READ: Final = 1
WRITE: Final = 4
HUNG_UP: Final = 0x2000
"""The peer has said its last, of which some may still be unread (EPOLLRDHUP; kqueue leaves it out)."""
EDGE: Final = 1 << 31
"""Only what is new: a descriptor that was not read to its end is not told of again (EPOLLET; kqueue leaves it out)."""

SLICE_S: Final = 0.005
_TICK_S: Final = 0.001
_ONCE: Final = 128  # events taken from the kernel at once


class Poller(Protocol):
    """What the loop needs of epoll; the masks are epoll's (`READ`, `WRITE`, `HUNG_UP`, anything else means "look at it")."""

    def fileno(self) -> int:
        """The descriptor that is readable when an event waits."""

    def register(self, fd: int, mask: int, /) -> None:
        """Watches a descriptor."""

    def modify(self, fd: int, mask: int, /) -> None:
        """Watches for something else."""

    def unregister(self, fd: int, /) -> None:
        """Stops watching."""

    def poll(self, timeout: float, limit: int, /) -> list[tuple[int, int]]:
        """The events there are, as descriptor and mask."""

    def close(self) -> None:
        """Gives the descriptor back."""


class _Kqueue:
    """The same on systems without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.KqueueSelector()  # type: ignore[attr-defined,unused-ignore]

    def fileno(self) -> int:
        return int(self._selector.fileno())

    def register(self, fd: int, mask: int, /) -> None:
        self._selector.register(fd, self._words(mask))

    def modify(self, fd: int, mask: int, /) -> None:
        self._selector.modify(fd, self._words(mask))

    def unregister(self, fd: int, /) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float, _limit: int, /) -> list[tuple[int, int]]:
        return [
            (key.fd, (READ if words & selectors.EVENT_READ else 0) | (WRITE if words & selectors.EVENT_WRITE else 0))
            for key, words in self._selector.select(timeout)
        ]

    def close(self) -> None:
        self._selector.close()

    @staticmethod
    def _words(mask: int) -> int:
        return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


class EventLoop:
    """The loop.

    Args:
        clock: Seconds, monotonic.
        sockets: Whether there is anything but timers.
        grain_s: How often timers are looked at, at most, where there are no sockets; a virtual hour has millions of moments.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, sockets: bool = True, grain_s: float = 0.0
    ) -> None:
        self.clock = clock
        self._grain_s = grain_s
        self.poller: Poller | None = None
        if sockets:
            self.poller = select.epoll() if hasattr(select, "epoll") else _Kqueue()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ordinal = itertools.count()
        self._stopped = False

    def at(self, due: float, call: Callable[[], None]) -> None:
        """Calls at a moment (or as soon after it as the loop gets there)."""
        heapq.heappush(self._timers, (due, next(self._ordinal), call))

    def watch(self, fd: int, mask: int, handler: Callable[[int], object]) -> None:
        """Calls `handler` with the mask whenever the descriptor is ready, and with 0 after the whole batch where it returns True."""
        if self.poller is None:
            raise RuntimeError("a loop without sockets was asked to watch one")
        self.poller.register(fd, mask)
        self._handlers[fd] = handler

    def rewatch(self, fd: int, mask: int) -> None:
        """Watches for something else from now on."""
        if self.poller is not None:
            self.poller.modify(fd, mask)

    def rehandle(self, fd: int, handler: Callable[[int], object]) -> None:
        """Calls `handler` instead from now on."""
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Stops watching; call it before the descriptor is closed."""
        if self._handlers.pop(fd, None) is not None and self.poller is not None:
            self.poller.unregister(fd)

    def stop(self) -> None:
        """Ends the loop after what it is doing."""
        self._stopped = True

    def close(self) -> None:
        """Gives the descriptor back."""
        if self.poller is not None:
            self.poller.close()

    async def run(self) -> None:
        """Runs until stopped."""
        clock, timers = self.clock, self._timers
        yielded = clock()
        while not self._stopped:
            worked = self._drain(clock())
            self._due(clock())
            if self._stopped:
                break
            rest = timers[0][0] - clock() if timers else 3600.0
            if worked or rest <= 0:
                if clock() - yielded < SLICE_S:
                    continue
                await trio.lowlevel.checkpoint()
            elif rest < _TICK_S and self.poller is not None and clock() - yielded < SLICE_S:
                _nap(self.poller, rest)
                continue
            else:
                await self._sleep(rest)
            yielded = clock()
        await trio.lowlevel.checkpoint()

    def _due(self, now: float) -> None:
        """Makes the calls that are due, for at most a slice: descriptors must not starve behind them."""
        timers, clock, end = self._timers, self.clock, now + SLICE_S
        while timers and timers[0][0] <= now and not self._stopped:
            heapq.heappop(timers)[2]()
            if clock() > end:
                break

    def _drain(self, now: float) -> bool:
        """Serves the descriptors that are ready, for at most a slice; says whether there were any."""
        if self.poller is None:
            return False
        handlers, poll, clock = self._handlers, self.poller.poll, self.clock
        worked = False
        while events := poll(0, _ONCE):
            worked = True
            later: list[Callable[[int], object]] = []
            for fd, mask in events:
                # An earlier event of the same batch may have closed this one.
                handler = handlers.get(fd)
                if handler is not None and handler(mask):
                    later.append(handler)
            for handler in later:
                handler(0)
            moment = clock()
            if moment - now > SLICE_S or (self._timers and self._timers[0][0] <= moment) or self._stopped:
                break
        return worked

    async def _sleep(self, rest: float) -> None:
        if self.poller is None:
            await trio.sleep(max(rest, self._grain_s))
            return
        with trio.move_on_after(max(rest - _TICK_S, 0.0)):
            await trio.lowlevel.wait_readable(self.poller.fileno())


def _nap(poller: Poller, rest: float) -> None:
    """Waits for less than a millisecond, or until something is ready."""
    fd = poller.fileno()
    if fd < 1024:  # select knows no higher ones
        select.select((fd,), (), (), rest)
    else:
        poller.poll(rest, 1)  # peeks only: level-triggered events stay
