"""A target on a real socket that does exactly what a test scripts, and a driver whose events are kept."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chaosbot.core.event import Event, IntervalMeasured
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.driver import drive
from chaosbot.load.spec import LoadResult, LoadSpec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Asked:
    """A request as the target received it."""

    number: int
    head: bytes
    body: bytes
    connection: int
    at: float

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == name:
                return value.strip()
        return None


class Hand:
    """What a script can do to the connection beside answering."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()

    def say(self, data: bytes) -> None:
        self.writer.write(data)


Script = Callable[[Asked, Hand], Awaitable[bytes | None]]


async def fine(_asked: Asked, _hand: Hand) -> bytes | None:
    return OK


@dataclass
class Target:
    """A server in a thread; `script` answers each request (None: it did so itself)."""

    script: Script = fine
    tls: ssl.SSLContext | None = None
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    connections: int = 0
    idle: threading.Event = field(default_factory=threading.Event)
    """Set while no connection is open."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/webhook/telegram"

    def run(self, ready: threading.Event, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._serve(ready, stop))
        loop.close()

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.open += 1
        self.idle.clear()
        self.most_open = max(self.most_open, self.open)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                asked = Asked(len(self.asked), head, await reader.readexactly(length), number, time.monotonic())
                self.asked.append(asked)
                answer = await self.script(asked, Hand(reader, writer))
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()
            if not self.open:
                self.idle.set()


@pytest.fixture
def serve() -> Iterator[Callable[..., Target]]:
    """Starts targets; they end with the test."""
    running = []

    def start(script: Script = fine, tls: ssl.SSLContext | None = None) -> Target:
        target = Target(script, tls)
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()
        thread = threading.Thread(target=target.run, args=(ready, stop, loop), daemon=True)
        thread.start()
        assert ready.wait(60)
        running.append((thread, loop, stop))
        return target

    yield start
    for thread, loop, stop in running:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)


@dataclass
class Run:
    """A finished run."""

    result: LoadResult
    events: list[Event]

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    @property
    def frames(self) -> list[IntervalMeasured]:
        return self.all(IntervalMeasured)

    def errors(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for frame in self.frames:
            for kind, count in frame.errors.items():
                total[kind] = total.get(kind, 0) + count
        return total


def spec_for(url: str, profile: str = "steady", options: dict[str, object] | None = None, **more: Any) -> LoadSpec:
    host = url.split("/")[2]
    endpoint = more.pop("endpoint", Endpoint(host, "/webhook/telegram"))
    built = PROFILES.build(
        profile, ({"rate": "100/s", "duration": "1s"} if profile == "steady" else {}) if options is None else options
    )
    return LoadSpec(url=url, endpoint=endpoint, profile=built, **({"platform": "telegram", "seed": 7} | more))


@pytest.fixture
def load() -> Callable[..., Run]:
    """Drives a load and checks its sums; `hooks` goes to `drive`, everything else into the spec."""

    def run(
        url: str, profile: str = "steady", options: dict[str, object] | None = None, hooks: Any = None, **more: Any
    ) -> Run:
        events: list[Event] = []
        result = drive(spec_for(url, profile, options, **more), events.append, **(hooks or {}))
        accounted(result, events)
        return Run(result, events)

    return run


def accounted(result: LoadResult, events: list[Event]) -> None:
    """Nothing vanishes: the sums of every run in this folder are checked."""
    assert result.planned == result.started + result.dropped
    assert result.started == result.completed + result.failed + result.timed_out + result.cancelled
    frames = [event for event in events if isinstance(event, IntervalMeasured)]
    for name in ("planned", "started", "completed", "failed", "timed_out", "cancelled", "dropped"):
        assert sum(getattr(frame, name) for frame in frames) == getattr(result, name), name
    assert sum(sum(frame.errors.values()) for frame in frames) == result.failed + result.timed_out
    for shard in {frame.shard for frame in frames}:
        mine = [frame.second for frame in frames if frame.shard == shard]
        assert mine == list(itertools.islice(itertools.count(), len(mine)))
