"""One proxied connection of the byte pipe: two sockets, two directions, no HTTP.

Rules:

- A direction without effects is one call: what the socket receives is written to the other one.
- Back pressure: a socket is read on only while the other one, and the line between, have room.
- An end is passed on alone (half close); both sockets close when both directions have ended. A reset is passed on as a reset.
- Where one direction is to be reset, the end of the other is passed on as a reset too, as Toxiproxy does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from chaosbot.core.effect import BytesEffect, StreamDirection
from chaosbot.injection._bytes_ends import Ends, reset
from chaosbot.injection._bytes_stream import Acted, ClockedStream


class Side(asyncio.Protocol):
    """One of the two sockets.

    Args:
        link: The connection that it belongs to.
        made: Called when the socket is there.
    """

    __slots__ = ("_made", "inward", "link", "lost", "outward", "received", "sink", "transport")

    def __init__(self, link: Link, made: Callable[[Side], None] | None = None) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.inward: Way  # what this socket receives
        self.outward: Way  # what it sends
        self.sink: Callable[[bytes], None] = self._drop
        self.received = 0
        self.lost = False
        self._made = made

    def _drop(self, data: bytes) -> None:
        """There is nobody to hand it to: the client was turned away in silence (else reading is paused until there is)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a pipe runs on sockets")
        self.transport = transport
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._made is not None:
            self._made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.received += len(data)
        self.sink(data)

    def eof_received(self) -> bool:
        """The peer has finished; the other direction goes on."""
        if self.link.abandoned:
            return False
        self.inward.source_ended()
        return True

    def pause_writing(self) -> None:
        """This socket takes no more for now."""
        self.outward.set_blocked(True)

    def resume_writing(self) -> None:
        """It does again."""
        self.outward.set_blocked(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.lost = True
        self.link.side_lost(self, exc)


class Way(ClockedStream):
    """One stream: from a socket through the line to the other socket."""

    def __init__(self, link: Link, stream: StreamDirection, source: Side, target: Side, acted: Acted | None) -> None:
        self._link = link
        self._source = source
        self._target = target
        self._blocked = False
        self._paused = False
        self._taken = 0  # bytes that went into the line and came out of it; others never touch it
        self._given = 0
        self.received_end = False
        self.finished = False
        super().__init__(stream, link.ends, (), acted)

    @property
    def sent(self) -> int:
        """Bytes that the target was given."""
        return self._source.received - self._taken + self._given

    @property
    def swallowed(self) -> bool:
        """Whether its source has ended and nothing of that will ever come out."""
        return self.received_end and not self.finished and not self._bytes.holds

    @property
    def resets(self) -> bool:
        """Whether it is to end by a reset."""
        return self._bytes.resets

    def receive(self, data: bytes) -> None:
        """The source sent bytes."""
        self._taken += len(data)
        self._bytes.feed(data, self._loop.time())
        self._pump()

    def source_ended(self) -> None:
        """The source has finished."""
        self.received_end = True
        if self._link.reset_instead(self):
            return
        self._bytes.feed_end(self._loop.time())
        self._pump()
        self._link.maybe_done()

    def set_blocked(self, blocked: bool) -> None:
        """Whether the target has no room."""
        self._blocked = blocked
        self._adjust()

    def open(self) -> None:
        """Both sockets are there: bytes may flow."""
        self._paused = True
        self._pump()

    def stop(self) -> None:
        """The connection is over."""
        self._stop()

    def _pump(self) -> None:
        super()._pump()
        self._adjust()

    def _adjust(self) -> None:
        source, target = self._source.transport, self._target.transport
        if source is None or target is None or self._link.ends.over:
            return
        self._source.sink = self.receive if self._bytes.active else target.write
        pause = self._blocked or not self._bytes.room
        if pause != self._paused:
            self._paused = pause
            with contextlib.suppress(RuntimeError):  # closing already
                if pause:
                    source.pause_reading()
                else:
                    source.resume_reading()

    def _pass(self, data: bytes) -> None:
        target = self._target.transport
        if target is not None and not self._link.ends.over and not target.is_closing():
            self._given += len(data)
            target.write(data)

    def _finished(self) -> None:
        self.finished = True
        target = self._target.transport
        if target is not None and not self._link.ends.over and not target.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                target.write_eof()
        self._link.maybe_done()

    def _over(self) -> None:
        self._link.over()


class Link:
    """One client connection with its connection to the upstream.

    Args:
        number: Ordinal of the client connection.
        made: Called when the client's socket is there.
        done: Called when both sockets are gone.
        acted: Called when an effect really did something.
    """

    def __init__(
        self,
        number: int,
        made: Callable[[Link], None],
        done: Callable[[Link], None],
        acted: Callable[[Link, BytesEffect], None],
    ) -> None:
        self.number = number
        self.ends = Ends()
        self.client = Side(self, lambda _side: made(self))
        self.server = Side(self)
        self._done = done
        self.abandoned = False
        self._awaits_reset = False
        self._closed = False

        def report(effect: BytesEffect) -> None:
            acted(self, effect)

        self.up = Way(self, StreamDirection.UP, self.client, self.server, report)
        self.down = Way(self, StreamDirection.DOWN, self.server, self.client, report)
        self.client.inward = self.server.outward = self.up
        self.client.outward = self.server.inward = self.down

    def accepted(self) -> None:
        """The client is there; nothing is read from it before the upstream is."""
        if self.client.transport is not None:
            self.ends.add(self.client.transport)
            self.client.transport.pause_reading()

    async def connect(self, host: str, port: int, timeout_s: float) -> None:
        """Connects to the upstream and lets bytes flow.

        Raises:
            OSError: The upstream cannot be reached (TimeoutError included).
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(lambda: self.server, host, port)
        if self.server.transport is None:
            return
        if self.client.lost:
            self.server.transport.close()
            return
        self.ends.add(self.server.transport)
        if not self.ends.over:
            self.up.open()
            self.down.open()

    def abandon(self) -> None:
        """Nobody will answer: keeps the client's connection until the client leaves."""
        self.abandoned = True
        if self.client.transport is not None:
            self.client.transport.resume_reading()

    def set_effects(self, effects: tuple[BytesEffect, ...]) -> None:
        """From now on these effects act on both directions."""
        if not self._closed:
            self.up.set_effects(effects)
            self.down.set_effects(effects)

    def admit(self) -> None:
        """Effects report what they have done so far, bytes that they still hold included."""
        self.up.admit()
        self.down.admit()

    def over(self) -> None:
        """An effect has ended the connection."""
        self.up.stop()
        self.down.stop()

    def reset_instead(self, ended: Way) -> bool:
        """Resets the peer of a direction that has ended, where the other one is to be reset: that one's time runs from now.

        Returns:
            Whether it did.
        """
        other = self.down if ended is self.up else self.up
        peer = self.server if ended is self.up else self.client
        if not other.resets or peer.transport is None:
            return False
        self._awaits_reset = ended.finished = True
        reset(peer.transport)
        other.source_ended()
        return True

    def maybe_done(self) -> None:
        """Closes both sockets when both directions have ended, or can never end by themselves.

        A client that has finished while a silence swallows what it sent has most likely given up; if it were kept, clients
        that give up would use up all descriptors. An upstream that has finished is no reason: the client still waits.
        """
        if self.up.swallowed or all(way.finished or way.swallowed for way in (self.up, self.down)):
            self.close()

    def close(self) -> None:
        """Closes what is open, behind what was written."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()

    def abort(self) -> None:
        """Ends everything now."""
        self.over()
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()

    def side_lost(self, side: Side, exc: Exception | None) -> None:
        """One socket is gone; the other one follows in the same manner."""
        other = self.server if side is self.client else self.client
        if other.transport is not None and not other.lost and not self.ends.over and not self._awaits_reset:
            if isinstance(exc, ConnectionResetError):
                reset(other.transport)
            else:
                other.transport.close()
        gone = side.lost and (other.lost or other.transport is None)
        if gone and not self._closed:
            self._closed = True
            self.over()
            self._done(self)
