"""A target may hang up after any answer without saying so; that costs a connection, never a request."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
import trio

from chaosbot.core.outcome import Fate
from chaosbot.load.connection import LoadConnection
from chaosbot.load.event_loop import READ, EventLoop
from chaosbot.load.pending import PendingRequest
from chaosbot.load.target import LoadTarget

ASK = b"POST / HTTP/1.1\r\nHost: target\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
WITH_ANSWER, WHILE_ASLEEP, BEFORE_NEXT = "with the answer", "while the loop sleeps", "just before the next request"


class Script:
    """Driver and target on one loop, so that their order is the test's and not the scheduler's."""

    def __init__(self, hang_up: str, requests: int = 3) -> None:
        self.hang_up = hang_up
        self.loop = EventLoop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.line = LoadConnection(self.loop, LoadTarget.resolve(f"http://127.0.0.1:{self.listener.getsockname()[1]}/"))
        self.left = requests
        self.asleep = trio.Event()
        self.connections: list[socket.socket] = []
        self.fates: list[tuple[Fate | None, str]] = []

    def run(self) -> None:
        self.loop.watch(self.listener.fileno(), READ, self._accept)
        self.loop.at(0.0, self._ask)
        trio.run(self._run)

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hang_up_while_asleep)
            await self.loop.run()
            nursery.cancel_scope.cancel()

    async def _hang_up_while_asleep(self) -> None:
        while True:
            await self.asleep.wait()
            self.asleep = trio.Event()
            self._close()
            self.loop.at(self.loop.clock(), self._ask)  # so the loop wakes to the end and to the next request at once

    def _ask(self) -> None:
        self.left -= 1
        self.line.fire(PendingRequest(self, 0, ASK, "task", None, self.loop.clock()))

    def finished(self, shot: PendingRequest) -> None:
        self.fates.append((shot.fate, shot.detail))
        if not self.left:
            self.loop.stop()
            return
        now = self.loop.clock()
        if self.hang_up == WITH_ANSWER:
            self.loop.at(now, self._ask)
        elif self.hang_up == WHILE_ASLEEP:
            self.asleep.set()
        else:
            self.loop.at(now + 0.1, self._close_and_ask)

    def _close_and_ask(self) -> None:
        self._close()
        self._ask()  # the loop cannot have heard of it

    def _accept(self, _mask: int) -> None:
        connection, _ = self.listener.accept()
        self.connections.append(connection)
        self.loop.watch(connection.fileno(), READ, self._answer)

    def _answer(self, _mask: int) -> None:
        connection = self.connections[-1]
        if not connection.recv(1 << 16):
            self._close()
            return
        if self.hang_up == WITH_ANSWER:  # answer and end leave in one segment
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.sendall(OK)
        if self.hang_up == WITH_ANSWER:
            connection.shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        self.loop.forget(self.connections[-1].fileno())
        self.connections[-1].close()


@pytest.fixture(params=(WITH_ANSWER, WHILE_ASLEEP, BEFORE_NEXT))
def script(request: pytest.FixtureRequest) -> Iterator[Script]:
    script = Script(request.param)
    yield script
    with contextlib.closing(script.listener):
        script.line.abandon()
        script.loop.close()
    for connection in script.connections:
        connection.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="the order of segments is forced with Linux' cork")
def test_a_hang_up_between_two_requests_costs_none(script: Script) -> None:
    script.run()
    assert script.fates == [(Fate.ANSWERED, "")] * 3
    assert len(script.connections) == 3
