"""A proxy under two thousand clients that connect, dribble, vanish and never read, its faults changing all the time, for ten minutes.

`CHAOSBOT_SOAK_S` sets another length; the shorter it is, the less it shows.
"""

import asyncio
import contextlib
import os
import random
import resource
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import httpx
import psutil
import pytest

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.control.server import ControlServer
from chaosbot.core.event import Event, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan

LENGTH_S = float(os.environ.get("CHAOSBOT_SOAK_S", "600"))
CLIENTS = 2000
BODY = b"x" * 2000
REQUEST = b"POST /soak HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200\r\n\r\n" + b"y" * 200
PROBE = b"GET /probe HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
TOXICS = (
    {"type": "latency", "attributes": {"latency": 50, "jitter": 50}},
    {"type": "bandwidth", "attributes": {"rate": 20}},
    {"type": "slicer", "attributes": {"average_size": 100, "size_variation": 50, "delay": 100}},
    {"type": "timeout", "attributes": {"timeout": 0}},
    {"type": "reset_peer", "attributes": {"timeout": 100}},
    {"type": "limit_data", "attributes": {"bytes": 500}},
    {"type": "slow_close", "attributes": {"delay": 500}},
    {"type": "latency", "stream": "upstream", "attributes": {"latency": 200}},
)
FAULTS = (
    "latency:50ms;p=0.5;path=/soak",
    "abort:503;p=0.3;path=/soak",
    "delay:300ms;path=/soak",
    "dribble:20b;pause=10ms;path=/soak",
    "hang_up;p=0.5;path=/soak",
    "garbage:4kb;p=0.3;path=/soak",
    "timeout:1s;p=0.2;path=/soak",
    "huge_body:200kb;p=0.2;path=/soak",
)


@dataclass
class Figures:
    """What was measured, second by second."""

    rss: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    added_s: list[float] = field(default_factory=list)
    bare_s: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def thirds(self, values: list[float]) -> tuple[list[float], list[float]]:
        """The second third and the last one: the first is warming up."""
        third = len(values) // 3
        return values[third : 2 * third], values[2 * third :]


@dataclass
class Rig:
    """A proxy to soak: where clients and probes go, its process, and how its faults change."""

    port: int
    probe_port: int
    pid: int
    change: Callable[[], None]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The upstream: an answer for each request."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"POST"):
                await reader.readexactly(200)
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


async def client(port: int, kind: str, dice: random.Random) -> None:
    """One connection of a client that does not behave."""
    sock = socket.socket()
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        if kind == "never reads":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        end = loop.time() + dice.uniform(2, 10)
        match kind:
            case "connects":
                await asyncio.sleep(end - loop.time())
            case "dribbles":
                for byte in REQUEST:
                    if loop.time() > end:
                        break
                    await loop.sock_sendall(sock, bytes([byte]))
                    await asyncio.sleep(0.2)
            case "vanishes":
                await loop.sock_sendall(sock, REQUEST)
                await asyncio.sleep(dice.uniform(0, 3))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            case _:
                async with asyncio.timeout_at(end):
                    while True:
                        await loop.sock_sendall(sock, REQUEST)
                        await asyncio.sleep(0.3)
    except (OSError, TimeoutError):
        await asyncio.sleep(dice.uniform(0.5, 2))
    finally:
        sock.close()


async def ask(port: int) -> float:
    """How long one well-behaved request takes, connection included."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PROBE)
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len(BODY))
    writer.close()
    return time.perf_counter() - began


async def soak(make: Callable[[int], contextlib.AbstractContextManager[Rig]]) -> tuple[Figures, int]:
    """Runs it; the figures, and how many descriptors are open when all clients have left."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    upstream = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    starting = make(upstream)
    rig = await asyncio.to_thread(starting.__enter__)
    figures = Figures()
    over = asyncio.Event()

    async def again(number: int) -> None:
        dice = random.Random(number)
        kinds = cycle(("connects", "dribbles", "vanishes", "never reads"))
        for _ in range(number % 4):
            next(kinds)
        await asyncio.sleep(dice.uniform(0, 5))
        while not over.is_set():
            await client(rig.port, next(kinds), dice)

    async def changing() -> None:
        while not over.is_set():
            await asyncio.to_thread(rig.change)
            await asyncio.sleep(1)

    async def probing() -> None:
        process = psutil.Process(rig.pid)
        before = sum(process.cpu_times()[:2]), time.monotonic()
        while not over.is_set():
            bare, through = await ask(upstream), await ask(rig.probe_port)
            figures.added_s.append(through - bare)
            figures.bare_s.append(bare)
            used = sum(process.cpu_times()[:2])
            figures.busy.append((used - before[0]) / (time.monotonic() - before[1]))
            before = used, time.monotonic()
            figures.rss.append(process.memory_info().rss / 1e6)
            figures.descriptors.append(process.num_fds())
            await asyncio.sleep(0.5)

    try:
        loop.call_later(LENGTH_S, over.set)
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(again(number))
            tasks.create_task(changing())
            tasks.create_task(probing())
        deadline = loop.time() + 60
        while (left := psutil.Process(rig.pid).num_fds()) > 100 and loop.time() < deadline:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.5)
        return figures, left
    finally:
        await asyncio.to_thread(starting.__exit__, None, None, None)
        server.close()


@contextmanager
def pipe(upstream: int, events: list[Event], _folder: Path) -> Iterator[Rig]:
    """A byte pipe under the control API."""
    with ControlServer("127.0.0.1", 0, 1, events.append) as api, httpx.Client(base_url=api.url, timeout=60) as http:
        ports = {}
        for name in ("soaked", "clean"):
            made = http.post("/proxies", json={"name": name, "upstream": f"127.0.0.1:{upstream}"}).json()
            ports[name] = int(made["listen"].rpartition(":")[2])
        turn = cycle(TOXICS)

        def change() -> None:
            for toxic in http.get("/proxies/soaked/toxics").json()[:-1]:
                http.delete(f"/proxies/soaked/toxics/{toxic['name']}").raise_for_status()
            toxic = next(turn)
            http.post("/proxies/soaked/toxics", json={"name": f"t{time.monotonic_ns()}", **toxic}).raise_for_status()

        yield Rig(ports["soaked"], ports["clean"], api.pid or 0, change)


@contextmanager
def exchanges(upstream: int, events: list[Event], folder: Path) -> Iterator[Rig]:
    """An HTTP proxy whose plan changes."""
    listener = ListenerSpec(Direction.INBOUND, f"http://127.0.0.1:{upstream}")
    kept = [event for event in events if isinstance(event, Trouble)]

    def emit(event: Event) -> None:
        if isinstance(event, Trouble):
            events.append(event)

    with Proxy(ProxySpec((listener,), 1, FaultPlan(), confdir=str(folder)), emit) as proxy:
        turn = cycle(FAULTS)
        port = int(proxy.url(Direction.INBOUND).rpartition(":")[2])
        assert not kept
        yield Rig(port, port, proxy.pids[0], lambda: proxy.replace_plan(plan_of([parse_fault(next(turn))])))


@pytest.mark.slow
@pytest.mark.timeout(LENGTH_S + 240)
@pytest.mark.parametrize("make", [pipe, exchanges])
def test_memory_descriptors_and_latency_stay_flat(make: Callable[..., object], tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * CLIENTS:
        pytest.skip(f"needs {4 * CLIENTS} descriptors, there are {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * CLIENTS), hard))
    events: list[Event] = []
    figures, left = asyncio.run(soak(lambda upstream: make(upstream, events, tmp_path)))
    (rss, last_rss), (open_, last_open) = figures.thirds(figures.rss), figures.thirds(figures.descriptors)
    added, last_added = (statistics.median(values) for values in figures.thirds(figures.added_s))
    bare, last_bare = (statistics.median(values) for values in figures.thirds(figures.bare_s))
    busy, last_busy = (statistics.mean(values) for values in figures.thirds(figures.busy))
    told = (
        f"RSS {statistics.median(rss):.0f} → {statistics.median(last_rss):.0f} MB, descriptors {statistics.median(open_):.0f} → {statistics.median(last_open):.0f}, {left} "
        f"after the last client, added p50 {added * 1e3:.1f} → {last_added * 1e3:.1f} ms (without a proxy {bare * 1e3:.1f} → {last_bare * 1e3:.1f} ms), "
        f"processor time {busy:.0%} → {last_busy:.0%}"
    )
    print(told)  # noqa: T201 - what a long run is for
    assert not [event for event in events if isinstance(event, Trouble)]
    assert max(open_) > CLIENTS / 4, told
    assert statistics.median(last_rss) < statistics.median(rss) * 1.15 + 5, told
    assert statistics.median(last_open) < statistics.median(open_) * 1.3, told
    assert left < 100, told
    # A machine that gets busier slows both ways down; a proxy that does ever more for the same needs more processor time.
    assert last_added < max(3 * added, 3 * added * last_bare / bare) + 0.1, told
    assert last_busy < 1.4 * busy + 0.05, told
