"""Byte effects around asyncio streams: the wrappers that stand in for a connection's reader and writer.

Rules:

- What happens to bytes is decided by a `ByteStream` (pure); here it meets the clock of the loop and the sockets.
- A stream without effects costs nothing: bytes go straight to the stream below.
- Back pressure runs through `read`: a reader waits until the writers that its bytes go to have room. `drain` waits for
  nothing, because mitmproxy drains all directions under one lock, and two full directions would wait for each other.
- Effects may be changed at any time, on connections in use too. What was held leaves at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, assert_never

from chaosbot.core.effect import BytesEffect, Farewell, RefuseConnection, StreamDirection
from chaosbot.injection._bytes_ends import Ends, finish
from chaosbot.injection._bytes_stages import Item, Mark
from chaosbot.injection._bytes_stream import Acted, ClockedStream

__all__ = ["Ends", "FaultyReader", "FaultyWriter", "refusal", "refuse"]

_READ_ON_S = 0.5


def refusal(effects: Iterable[BytesEffect]) -> Farewell | None:
    """How a new connection is to be refused; None when it is welcome."""
    return next((effect.farewell for effect in effects if isinstance(effect, RefuseConnection)), None)


def refuse(ends: Ends, farewell: Farewell) -> None:
    """Turns a new connection away; SILENCE leaves it open, unanswered."""
    match farewell:
        case Farewell.RST:
            ends.reset()
        case Farewell.FIN:
            ends.close()
        case Farewell.SILENCE:
            pass
        case _:
            assert_never(farewell)


class FaultyWriter(ClockedStream):
    """Stands in for a `StreamWriter`: what is written meets the effects of one direction on its way out.

    Args:
        writer: The real one; its transport is added to `ends`.
        stream: UP for the writer to the upstream, DOWN for the one to the client.
        ends: All sockets of this client connection.
        effects: What acts from the start.
        acted: Called once for each effect, when it really did something.
    """

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        stream: StreamDirection,
        ends: Ends,
        *,
        effects: tuple[BytesEffect, ...] = (),
        acted: Acted | None = None,
    ) -> None:
        self._writer = writer
        self._closing = False
        self._end_passed = False
        self._room = asyncio.Event()
        self._room.set()
        self._fed = self._passed = 0  # bytes that met effects, and those of them that have come out
        self._awaited: deque[tuple[int, Callable[[bool], None]]] = deque()
        ends.add(writer.transport)  # type: ignore[arg-type]  # a socket's transport reads too
        super().__init__(stream, ends, effects, acted)

    @property
    def transport(self) -> asyncio.WriteTransport:
        """The transport below."""
        return self._writer.transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends bytes, now or when the effects let them go."""
        if self._ends.over:
            return
        if not self._bytes.active:
            self._writer.write(data)
            return
        self._fed += len(data)
        self._bytes.feed(bytes(data), self._loop.time())
        self._pump()

    @property
    def active(self) -> bool:
        """Whether anything acts on what is written."""
        return self._bytes.active

    def when_out(self, call: Callable[[bool], None]) -> None:
        """Calls when all that was written so far has come out, just before its last byte leaves.

        Args:
            call: Takes whether all of it came out. What an effect swallows never does, nor what comes after the connection's end.
        """
        self._awaited.append((self._fed, call))
        self._tell()

    def _tell(self, *, more: bool = False) -> None:
        """Calls those whose bytes are out, or can come out no more; `more` says that some are in between."""
        while self._awaited:
            end, call = self._awaited[0]
            gone = self._ends.over or self._writer.is_closing()
            if self._passed < end and not gone and (more or self._bytes.holds):
                return
            self._awaited.popleft()
            call(self._passed >= end and not gone)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Sends several pieces as one."""
        self.write(b"".join(data))

    async def drain(self) -> None:
        """Waits for nothing; the readers wait for room instead (`FaultyReader.waits_for`)."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits, in the stream and in the socket, so that there is room without waiting."""
        return self._room.is_set() and not self._writer.transport.get_write_buffer_size()

    async def room(self) -> None:
        """Waits until there is room for more, in the stream and in the socket; a connection that is gone has room."""
        await self._room.wait()
        if not self.is_closing():
            with contextlib.suppress(OSError):
                await self._writer.drain()

    def can_write_eof(self) -> bool:
        """Whether one direction can be finished alone."""
        return self._writer.can_write_eof()

    def write_eof(self) -> None:
        """Finishes this direction, behind the bytes that are still held."""
        if self._ends.over:
            return
        if not self._bytes.active:
            self._end_passed = True
            self._writer.write_eof()
            return
        self._bytes.feed_end(self._loop.time())
        self._pump()

    def is_closing(self) -> bool:
        """Whether the owner or the connection has ended it."""
        return self._closing or self._ends.over or self._writer.is_closing()

    def close(self) -> None:
        """Closes the connection, behind the bytes that are still held."""
        if self._closing:
            return
        self._closing = True
        if self._ends.over:
            self._stop()
            self._room.set()
            return
        if not self._bytes.active or self._end_passed or self._writer.is_closing():
            self._stop()
            self._room.set()
            self._writer.close()
            return
        self._bytes.feed_end(self._loop.time())
        self._pump()
        if self._bytes.due() is None and not self._writer.is_closing():
            self._leave_open()

    def _leave_open(self) -> None:
        """The end was swallowed: the connection stays until its peer has enough, or the silence is lifted."""
        transport = self._writer.transport
        former = transport.get_protocol()
        transport.set_protocol(_Abandoned(former))
        with contextlib.suppress(RuntimeError, AttributeError):
            transport.resume_reading()  # type: ignore[attr-defined]  # a socket's transport reads too
        if isinstance(former, asyncio.StreamReaderProtocol) and self._peer_finished(former):
            self._writer.close()

    @staticmethod
    def _peer_finished(protocol: asyncio.StreamReaderProtocol) -> bool:
        reader: asyncio.StreamReader | None = getattr(protocol, "_stream_reader", None)
        return reader is not None and bool(getattr(reader, "_eof", False))

    async def wait_closed(self) -> None:
        """Waits until the connection is closed."""
        await self._writer.wait_closed()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows."""
        return self._writer.get_extra_info(name, default)

    def _pump(self) -> None:
        super()._pump()
        self._tell()
        if self._bytes.room or self._bytes.closed or self.is_closing():
            self._room.set()
        else:
            self._room.clear()

    def _pass(self, data: bytes) -> None:
        self._passed += len(data)
        self._tell(more=True)
        if not self._ends.over and not self._writer.is_closing():
            self._writer.write(data)

    def _finished(self) -> None:
        self._end_passed = True
        if self._ends.over or self._writer.is_closing():
            return
        if self._closing:
            finish(self._writer.transport)  # type: ignore[arg-type]  # a socket's transport reads too
        elif self._writer.can_write_eof():
            with contextlib.suppress(OSError):
                self._writer.write_eof()

    def _over(self) -> None:
        self._closing = True


class _Abandoned(asyncio.Protocol):
    """Watches a connection whose owner has left: ends it when the peer goes."""

    def __init__(self, former: asyncio.BaseProtocol) -> None:
        self._former = former

    def eof_received(self) -> bool:
        """The peer has had enough; the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on to whoever waits for the end."""
        self._former.connection_lost(exc)


class FaultyReader(ClockedStream):
    """Stands in for a `StreamReader`: what is read has met the effects of one direction on its way in.

    Args:
        reader: The real one.
        stream: UP for the reader from the client, DOWN for the one from the upstream.
        ends: All sockets of this client connection.
        effects: What acts from the start.
        acted: Called once for each effect, when it really did something.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        stream: StreamDirection,
        ends: Ends,
        *,
        effects: tuple[BytesEffect, ...] = (),
        acted: Acted | None = None,
    ) -> None:
        self._reader = reader
        self._ready: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._pending: asyncio.Task[bytes] | None = None
        self._source_ended = False
        self._ended = False
        self._writers: list[FaultyWriter] = []
        self._since: float | None = None
        self._held: asyncio.Event | None = None
        super().__init__(stream, ends, effects, acted)

    def hold(self, *, on: bool) -> None:
        """Reads nothing while its owner has no room for it."""
        if on:
            self._held = asyncio.Event()
        elif self._held is not None:
            self._held.set()
            self._held = None

    def waits_for(self, writer: FaultyWriter) -> None:
        """Reads on only while this writer (where its bytes go to) has room; writers that have closed are forgotten."""
        self._writers = [each for each in self._writers if not each.is_closing()]
        self._writers.append(writer)

    def waited(self) -> float:
        """For how many seconds what was read was held back, from the first byte that came while nothing was inside; 0 if asked again."""
        since, self._since = self._since, None
        return 0.0 if since is None else self._loop.time() - since

    def at_eof(self) -> bool:
        """Whether everything was read."""
        return not self._ready and (self._ended or (not self._bytes.active and self._reader.at_eof()))

    async def read(self, n: int = -1) -> bytes:
        """Reads up to `n` bytes; empty at the end. `-1` reads until the end.

        Raises:
            ConnectionError: As the real reader does, when the connection was reset.
        """
        if n < 0:
            parts = []
            while part := await self.read(1 << 16):
                parts.append(part)
            return b"".join(parts)
        while True:
            while self._ready:
                item = self._ready[0]
                if isinstance(item, bytes):
                    return self._first(item, n)
                self._ready.popleft()
                self._perform(item)
            if self._ended or n == 0:
                return b""
            if self._held is not None:
                await self._held.wait()
            for writer in self._writers:
                if not writer.empty:
                    await writer.room()
            if self._ready or self._ended:
                continue
            if self._pending is None and not self._bytes.active:
                data = await self._reader.read(n)
                if not self._bytes.active:
                    return data
                self._take_in(data)
            else:
                await self._step()

    def _first(self, data: bytes, n: int) -> bytes:
        self._ready.popleft()
        if len(data) > n:
            self._ready.appendleft(data[n:])
        return data[:n]

    def _take_in(self, data: bytes) -> None:
        if not self._bytes.held and not self._ready:
            self._since = self._loop.time()
        if data:
            self._bytes.feed(data, self._loop.time())
        else:
            self._source_ended = True
            self._bytes.feed_end(self._loop.time())
        self._pump()
        if (
            self._source_ended
            and self._bytes.stream is StreamDirection.UP
            and self._bytes.due() is None
            and not self._ready
        ):
            # A silence swallows what the client sent, its end included. The client has given up; so does the owner.
            self._ended = True

    async def _step(self) -> None:
        """Waits until the source sends, or the stream gives something out."""
        self._wake.clear()
        if self._pending is None and self._bytes.room and not self._source_ended:
            self._pending = self._loop.create_task(self._reader.read(1 << 16))
        waker = self._loop.create_task(self._wake.wait())
        waits: set[asyncio.Task[Any]] = {waker}
        if self._pending is not None:
            waits.add(self._pending)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The owner leaves, or will read again: what has arrived is kept, what has not stays in the real reader.
            if self._pending is not None and not self._pending.done():
                self._pending.cancel()
                self._pending = None
            raise
        finally:
            waker.cancel()
        if self._pending is not None and self._pending.done():
            finished, self._pending = self._pending, None
            self._take_in(finished.result())

    def _pump(self) -> None:
        super()._pump()
        # The stream has room again, holds bytes for the reader, or has ended: each is a reason to look.
        self._wake.set()

    def _pass(self, data: bytes) -> None:
        self._ready.append(data)

    def _mark(self, mark: Mark) -> None:
        """An end takes place when the bytes before it were read (and so written on by the owner)."""
        if not self._ready:
            self._perform(mark)
            return
        self._ready.append(mark)
        if mark is not Mark.END:
            # An owner that does not read on cannot hold FIN or RST up for ever.
            self._loop.call_later(_READ_ON_S, self._perform_late, mark)

    def _perform_late(self, mark: Mark) -> None:
        if mark in self._ready:
            self._ready.clear()
            self._perform(mark)
            self._wake.set()

    def _finished(self) -> None:
        self._ended = True

    def _over(self) -> None:
        self._ended = True
