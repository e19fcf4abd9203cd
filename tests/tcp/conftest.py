"""A proxy and an upstream for raw-socket proofs, each on a loop or thread of its own, so that tests see only the wire."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.effect import BytesEffect, StreamDirection
from chaosbot.core.event import Event
from chaosbot.core.exchange import Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.plan import FaultPlan, Rule, Scope
from chaosbot.injection.bytestream import Ends, FaultyReader, FaultyWriter, refusal, refuse
from chaosbot.tcp.server import PipeServer
from chaosbot.workers import bind

DEADLINE = 30.0  # nothing takes so long unless it hangs; faults that must not be waited out are longer


class Loop:
    """An asyncio loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    def call(self, function: Callable[[], Any]) -> Any:
        async def inside() -> Any:
            return function()

        return self.run(inside())

    def stop(self) -> None:
        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


class PipeProxy:
    """The real byte pipe."""

    def __init__(self, loop: Loop, upstream: int, faults: tuple[Fault, ...]) -> None:
        self._loop = loop
        self.events: list[Event] = []

        async def start() -> PipeServer:
            server = PipeServer(
                bind(), "127.0.0.1", upstream, plan=plan_of(*faults), dice=Dice(7), emit=self.events.append
            )
            await server.start()
            return server

        self.server: PipeServer = loop.run(start())
        self.port = self.server.address[1]

    def set_faults(self, *faults: Fault) -> None:
        self._loop.call(lambda: self.server.set_plan(plan_of(*faults)))

    @property
    def connections(self) -> int:
        return self._loop.call(lambda: self.server.connections)

    def stop(self) -> None:
        self._loop.run(self.server.stop())


class StreamProxy:
    """The stream wrappers, used as mitmproxy uses its readers and writers; effects act in the writers."""

    in_readers = False

    def __init__(self, loop: Loop, upstream: int, faults: tuple[Fault, ...]) -> None:
        self._loop = loop
        self._upstream = upstream
        self._faults = faults
        self._wrapped: list[FaultyWriter | FaultyReader] = []
        self._transports: list[asyncio.WriteTransport] = []
        self.acted: list[BytesEffect] = []

        async def start() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0)

        self._server: asyncio.Server = loop.run(start())
        self.port = self._server.sockets[0].getsockname()[1]

    def _effects(self) -> tuple[BytesEffect, ...]:
        plan = plan_of(*self._faults)
        found: list[Any] = []
        for rule in plan.rules:
            found += rule.fault.effects(Dice(7).at("fault", rule.name), Exchange("one"))
        return tuple(found)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, effects = Ends(), self._effects()
        farewell = refusal(effects)
        self._transports.append(writer.transport)
        client_writer = FaultyWriter(writer, StreamDirection.DOWN, ends, acted=self.acted.append)
        if farewell is not None:
            refuse(ends, farewell)
            await reader.read()
            return
        client_reader = FaultyReader(reader, StreamDirection.UP, ends, acted=self.acted.append)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._transports.append(up_writer.transport)
        server_writer = FaultyWriter(up_writer, StreamDirection.UP, ends, acted=self.acted.append)
        server_reader = FaultyReader(up_reader, StreamDirection.DOWN, ends, acted=self.acted.append)
        client_reader.waits_for(server_writer)
        server_reader.waits_for(client_writer)
        wrapped = (client_reader, server_reader) if self.in_readers else (client_writer, server_writer)
        for each in wrapped:
            each.set_effects(effects)
        self._wrapped += wrapped

        async def relay(source: FaultyReader, target: FaultyWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65535):
                    target.write(data)
                    await target.drain()
            if not target.is_closing():
                target.write_eof()

        await asyncio.gather(relay(client_reader, server_writer), relay(server_reader, client_writer))
        client_writer.close()
        server_writer.close()

    def set_faults(self, *faults: Fault) -> None:
        self._faults = faults

        def apply() -> None:
            effects = self._effects()
            for each in self._wrapped:
                each.set_effects(effects)

        self._loop.call(apply)

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            for transport in self._transports:
                transport.abort()
            await asyncio.sleep(0)  # aborted transports close in the next turn

        self._loop.run(end())


class ReaderProxy(StreamProxy):
    """The same; effects act in the readers."""

    in_readers = True


def plan_of(*faults: Fault) -> FaultPlan:
    return FaultPlan(tuple(Rule(f"{fault.name}-{n}", fault, scope=Scope.CONNECTION) for n, fault in enumerate(faults)))


class Upstream:
    """A server whose every connection runs a script in a thread; what it saw stays."""

    def __init__(self, script: Callable[[socket.socket], None]) -> None:
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.accepted = 0
        self.errors: list[OSError] = []
        self.finished = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._socket.accept()
                self.accepted += 1
                threading.Thread(target=self._one, args=(conn,), daemon=True).start()

    def _one(self, conn: socket.socket) -> None:
        with conn:
            conn.settimeout(DEADLINE)
            try:
                self._script(conn)
            except OSError as error:
                self.errors.append(error)
        self.finished.release()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed by the test already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def echo(conn: socket.socket) -> None:
    while data := conn.recv(65536):
        conn.sendall(data)


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.stop()


@pytest.fixture
def upstream() -> Iterator[Callable[..., Upstream]]:
    made: list[Upstream] = []

    def make(script: Callable[[socket.socket], None] = echo) -> Upstream:
        made.append(Upstream(script))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(params=[PipeProxy, StreamProxy, ReaderProxy], ids=["pipe", "writers", "readers"])
def proxy(request: pytest.FixtureRequest, loop: Loop) -> Iterator[Callable[..., Any]]:
    """Makes a proxy with these faults: the byte pipe, and the stream wrappers with effects in writers or in readers."""
    made: list[Any] = []

    def make(upstream: Upstream, *faults: Fault) -> Any:
        made.append(request.param(loop, upstream.port, faults))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def pipe(loop: Loop) -> Iterator[Callable[..., PipeProxy]]:
    """Makes a byte pipe with these faults."""
    made: list[PipeProxy] = []

    def make(upstream: Upstream, *faults: Fault) -> PipeProxy:
        made.append(PipeProxy(loop, upstream.port, faults))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def connect() -> Iterator[Callable[[int], socket.socket]]:
    """Connects raw sockets that cannot hang and are closed at the end."""
    made: list[socket.socket] = []

    def make(port: int) -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE))
        made[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made[-1]

    yield make
    for each in made:
        each.close()
