"""The stream wrappers by themselves: what their owner may rely on when it writes, closes, reads and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.effect import (
    CorruptBytes,
    DelayLaw,
    HoldBytes,
    HoldClose,
    PaceBytes,
    ResetConnection,
    Shape,
    Silence,
    StreamDirection,
)
from chaosbot.injection.bytestream import Ends, FaultyReader, FaultyWriter

DOWN = StreamDirection.DOWN


def hold(seconds):
    return HoldBytes(DOWN, DelayLaw(Shape.CONSTANT, seconds), Dice(1))


class Wire:
    """A wrapped connection in a loop, and the raw socket of its peer."""

    def __init__(self, loop):
        self.loop = loop
        near, self.peer = socket.socketpair()
        self.peer.settimeout(30)

        async def wrap():
            reader, writer = await asyncio.open_connection(sock=near)
            self.raw = reader
            self.ends = Ends()
            self.writer = FaultyWriter(writer, DOWN, self.ends)
            self.reader = FaultyReader(reader, DOWN, self.ends)

        loop.run(wrap())

    def do(self, function, *arguments):
        return self.loop.call(lambda: function(*arguments))


@pytest.fixture
def wire(loop):
    made = Wire(loop)
    yield made
    made.do(made.writer.transport.abort)
    made.peer.close()


def test_closing_delivers_what_is_held_and_then_ends(wire):
    wire.do(wire.writer.set_effects, (hold(0.15), HoldClose(DOWN, 0.15)))
    began = time.monotonic()

    def answer_and_leave():
        wire.writer.write(b"late")
        wire.writer.close()
        assert wire.writer.is_closing()
        wire.writer.write(b"ignored?")

    wire.do(answer_and_leave)
    assert wire.peer.recv(4) == b"late"
    assert time.monotonic() - began >= 0.15
    while wire.peer.recv(100):
        pass
    assert time.monotonic() - began >= 0.3


def test_closing_under_silence_leaves_the_peer_waiting_until_it_goes(wire):
    wire.do(wire.writer.set_effects, (Silence(DOWN),))
    wire.do(wire.writer.write, b"nobody hears")
    wire.do(wire.writer.close)
    wire.peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        wire.peer.recv(1)
    wire.peer.settimeout(30)
    wire.peer.shutdown(socket.SHUT_WR)
    assert wire.peer.recv(1) == b"", "the peer has had enough, so the proxy ends its side"


def test_closing_under_silence_ends_when_the_silence_is_lifted(wire):
    wire.do(wire.writer.set_effects, (Silence(DOWN),))
    wire.do(wire.writer.close)
    wire.do(wire.writer.set_effects, ())
    assert wire.peer.recv(1) == b""


def test_drain_never_waits_and_room_does(loop, wire):
    wire.do(wire.writer.set_effects, (PaceBytes(DOWN, 400_000),))

    async def story():
        wire.writer.write(b"x" * 140_000)
        began = time.monotonic()
        draining = wire.writer.drain()
        with pytest.raises(StopIteration):
            draining.send(None)  # done without giving the loop a turn
        await wire.writer.room()
        return time.monotonic() - began

    roomy = loop.run(story())
    # 64 KiB may stay inside; the rest has to leave at its rate first.
    assert roomy >= (140_000 - 65_536) / 400_000 - 0.03


def test_room_comes_at_once_when_the_effects_go_or_the_connection_does(loop, wire):
    async def waits(release):
        wire.writer.set_effects((PaceBytes(DOWN, 1),))
        wire.writer.write(b"x" * 100_000)
        waiting = asyncio.create_task(wire.writer.room())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        release()
        await asyncio.wait_for(waiting, 30)

    loop.run(waits(lambda: wire.writer.set_effects(())))
    loop.run(waits(wire.ends.reset))


def test_a_reader_reads_on_only_while_its_writer_has_room(loop, wire):
    other = Wire(loop)
    other.do(other.writer.set_effects, (PaceBytes(DOWN, 1),))
    other.do(other.writer.write, b"x" * 100_000)
    wire.do(wire.reader.waits_for, other.writer)
    wire.peer.sendall(b"hello")

    async def story():
        reading = asyncio.create_task(wire.reader.read(100))
        await asyncio.sleep(0.05)
        waited = not reading.done()
        other.writer.set_effects(())
        return waited, await asyncio.wait_for(reading, 30)

    assert loop.run(story()) == (True, b"hello")
    other.do(other.writer.transport.abort)
    other.peer.close()


def test_effects_reach_a_read_that_is_waiting_already(loop, wire):
    async def story():
        reading = asyncio.create_task(wire.reader.read(100))
        await asyncio.sleep(0.02)
        wire.reader.set_effects((hold(0.15), CorruptBytes(DOWN, 1.0, Dice(1))))
        began = time.monotonic()
        wire.peer.sendall(b"data")
        data = await reading
        return data, time.monotonic() - began

    data, seconds = loop.run(story())
    assert len(data) == 4
    assert data != b"data"
    assert seconds >= 0.15


def test_a_timed_reset_reaches_a_read_that_waits_for_ever(loop, wire):
    async def story():
        reading = asyncio.create_task(wire.reader.read(100))
        await asyncio.sleep(0.02)
        wire.reader.set_effects((ResetConnection(DOWN, 0.1),))
        return await asyncio.wait_for(reading, 30)

    assert loop.run(story()) == b""
    assert wire.do(wire.writer.is_closing)


def test_a_cancelled_read_loses_nothing(loop, wire):
    wire.do(wire.reader.set_effects, (hold(0.05),))

    async def story():
        reading = asyncio.create_task(wire.reader.read(100))
        await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        wire.peer.sendall(b"kept")
        wire.peer.shutdown(socket.SHUT_WR)
        return await wire.reader.read(), wire.reader.at_eof()

    assert loop.run(story()) == (b"kept", True)


def test_a_client_that_gives_up_in_a_silence_is_gone_for_the_owner_too(loop, wire):
    async def story():
        reader = FaultyReader(wire.raw, StreamDirection.UP, wire.ends, effects=(Silence(StreamDirection.UP),))
        wire.peer.sendall(b"nobody hears")
        wire.peer.close()
        return await asyncio.wait_for(reader.read(100), 30)

    assert loop.run(story()) == b""


def test_small_reads_get_large_chunks_in_parts(loop, wire):
    wire.do(wire.reader.set_effects, (hold(0.01),))
    wire.peer.sendall(b"0123456789")

    async def story():
        return [await wire.reader.read(4) for _ in range(3)]

    assert loop.run(story()) == [b"0123", b"4567", b"89"]


def test_writing_after_an_effect_has_ended_the_connection_does_nothing(wire):
    wire.do(wire.writer.set_effects, (ResetConnection(DOWN, 0.0, 2),))
    wire.do(wire.writer.write, b"abc")
    wire.do(wire.writer.write, b"def")
    wire.do(wire.writer.write_eof)
    wire.do(wire.writer.close)
    assert wire.do(wire.writer.is_closing)
    with contextlib.suppress(ConnectionResetError):
        assert wire.peer.recv(10) in (b"ab", b"")
