"""A proxy worker: one process, one event loop, mitmproxy's core, and a line to its parent.

Rules:

- Started by `chaosbot.addons.proxy` as ``python -O -m chaosbot.addons.worker FD``; everything else comes over that socket pair,
  as JSON lines. Questions carry an id and are acknowledged; events go the other way, in order.
- The end of the line is the end of the worker: no parent, no worker, whatever way the parent went.
- The listening sockets are inherited; requests that come before the worker is ready wait in their backlog.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import operator
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from chaosbot.addons._mitm import plain
from chaosbot.addons._mitm.connection import Connection
from chaosbot.addons._mitm.runtime import Mode, Runtime
from chaosbot.addons.ca import default_directory
from chaosbot.addons.chaos import ChaosAddon
from chaosbot.addons.engine import ExchangeEngine
from chaosbot.addons.spec import ListenerSpec, ProxySpec
from chaosbot.core.event import Event, ExchangeSeen, to_json
from chaosbot.tcp.server import PipeServer
from chaosbot.transport import enforce

_EXCHANGE_FIELDS = operator.attrgetter(*ExchangeSeen.__struct_fields__)
_FLUSH_S = 0.005
_FLUSH_BYTES = 1 << 16


class Line(asyncio.Protocol):
    """The worker's end of the line to its parent."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is open."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a socket's is
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Questions from the parent."""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            task = asyncio.get_running_loop().create_task(self._answer(orjson.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The parent is gone. So is everything that could be told to anybody."""
        os._exit(0)

    async def _answer(self, question: dict[str, Any]) -> None:
        try:
            answer = await self._ask(question)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.send({"ack": question["id"], **answer})
        self.flush()
        if question["op"] == "stop":
            self._leave()

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["op"] == "serve":
            spec = _unpack(question["spec"])
            upstreams = [item.address[0] for item in spec.listeners if item.address is not None]
            enforce((*spec.allow_hosts, *upstreams))
            self.worker = Worker(spec, self, question["index"])
            await self.worker.serve(question["sockets"])
            return {}
        if self.worker is None:
            raise RuntimeError("not serving yet")
        return self.worker.ask(question)

    def emit(self, event: Event) -> None:
        """Tells the parent of an event."""
        if type(event) is ExchangeSeen:
            # One for every exchange: a bare list is read without a look at types (2 µs instead of 60).
            self.send({"seen": list(_EXCHANGE_FIELDS(event))})
        else:
            self.send({"event": to_json(event)})

    def tape(self, line: dict[str, Any]) -> None:
        """Hands a line of the recording to the parent."""
        self.send({"har": line})

    def send(self, message: dict[str, Any]) -> None:
        """Sends a line, together with those that follow soon."""
        try:
            line = orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # what peers send may be no UTF-8, or no number of 64 bits
            line = orjson.dumps(_speakable(message), option=orjson.OPT_APPEND_NEWLINE)
        self._waiting.append(line)
        self._size += len(line)
        if self._size > _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Sends what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._transport is not None:
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()
        self._size = 0

    def _leave(self) -> None:
        if self._transport is not None:
            self._transport.close()  # what was written still leaves; then connection_lost ends the process


def _speakable(value: Any) -> Any:
    """A value as JSON can say it: odd characters spelled out, numbers that are too long as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    if isinstance(value, dict):
        return {_speakable(key): _speakable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_speakable(item) for item in value]
    return value


def _unpack(text: str) -> Any:
    # From our own parent, over a pair of sockets that nobody else holds: faults of third parties travel like built-in ones.
    return pickle.loads(base64.b64decode(text))  # noqa: S301


class Worker:
    """Serves the listeners of one process.

    Args:
        spec: What the proxy is to be.
        line: To the parent.
        index: The worker's number.
    """

    def __init__(self, spec: ProxySpec, line: Line, index: int) -> None:
        self._spec = spec
        self._index = index
        self.engine = ExchangeEngine(spec, line.emit, index, line.tape)
        self._runtime = _runtime(spec, self.engine)
        self._addon = ChaosAddon(self.engine, self._runtime)
        self._runtime.add(self._addon, self)
        self._servers: list[asyncio.Server] = []
        self._pipes: list[PipeServer] = []

    async def serve(self, sockets: list[int]) -> None:
        """Begins to accept on the inherited sockets, one for each listener."""
        for listener, number in zip(self._spec.listeners, sockets, strict=True):
            # The protocol must be said: without it asyncio sets no TCP_NODELAY on what it accepts (p50 20 → 48 ms).
            family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=number)
            if listener.address is not None and listener.upstream.startswith("tcp:"):
                await self._serve_bytes(listener, sock)
                continue
            self._servers.append(await asyncio.start_server(self._acceptor(listener, sock.getsockname()[1]), sock=sock))
        self.engine.follow_windows()

    async def _serve_bytes(self, listener: ListenerSpec, sock: socket.socket) -> None:
        """What is no HTTP runs on a direct pipe."""
        assert listener.address is not None  # noqa: S101 - the caller looked
        pipe = PipeServer(
            sock,
            *listener.address,
            direction=listener.direction,
            emit=self.engine.emit,
            clock=self.engine.now,
            rules=self.engine.rules,
            numbers=itertools.count(self._index + 1, max(1, self._spec.workers)),
        )
        await pipe.start()
        self._pipes.append(pipe)

    def _acceptor(self, listener: ListenerSpec, port: int) -> Callable[..., Coroutine[Any, Any, None]]:
        mode = Mode(listener, port)
        connection_class = _connection_class()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await connection_class(self._runtime, mode, reader, writer).run()

        return accept

    # ── hooks of the proxy that is ours ──────────────────────────────────────────────────────────────────────────────

    def server_connect(self, data: Any) -> None:
        """An upstream is to be connected to: the allow-list decides."""
        host, port = data.server.address[:2]
        if not self.engine.may_connect(data.client.id, host, port):
            data.server.error = f"{host}:{port} is not allowed; name it by --allow-host"

    def tcp_message(self, flow: Any) -> None:
        """All messages of a connection are kept by mitmproxy; none is needed here."""
        flow.messages.clear()

    def websocket_message(self, flow: Any) -> None:
        """As above; the last one is needed."""
        del flow.websocket.messages[:-1]

    # ── questions of the parent ──────────────────────────────────────────────────────────────────────────────────────

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Does what the parent wants."""
        match question["op"]:
            case "plan":
                self.engine.set_plan(_unpack(question["plan"]))
                self._refresh_pipes()
            case "phase":
                self.engine.set_phase(question["phase"])
                self._refresh_pipes()
            case "clear":
                self._clear()
            case "flush":
                pass  # the acknowledgement follows everything that was told before
            case "stop":
                for server in self._servers:
                    server.close()
                self._clear()
                return {"tallies": [to_json(tally) for tally in self.engine.rules.tallies()]}
            case unknown:
                raise ValueError(f"unknown question {unknown!r}")
        return {}

    def _clear(self) -> None:
        self.engine.clear()
        self._refresh_pipes()

    def _refresh_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.refresh()


def _connection_class() -> type[Connection]:
    if plain():
        return Connection
    from chaosbot.addons._mitm.quick import QuickConnection  # noqa: PLC0415 - not loaded when it is switched off

    return QuickConnection


def _runtime(spec: ProxySpec, engine: ExchangeEngine) -> Runtime:
    values: dict[str, Any] = {
        "connection_strategy": "lazy",  # a refused or answered request must not touch the upstream
        "upstream_cert": False,
        "keep_host_header": True,  # the engine changes a Host that names the proxy itself, and leaves others
        "http2": spec.http2,
        "confdir": spec.confdir or str(default_directory()),
        "ssl_insecure": spec.insecure_upstream,
        "ssl_verify_upstream_trusted_ca": spec.upstream_ca or None,
        "client_certs": spec.upstream_cert or None,
    }
    return Runtime(values, engine.broke, engine.note_once)


async def _run(number: int) -> None:
    line = Line()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: line, sock=socket.socket(fileno=number))
    await asyncio.Event().wait()


def main() -> None:
    """Runs until the line to the parent ends."""
    # Ctrl-C in a terminal reaches all processes; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_run(int(sys.argv[1])))


if __name__ == "__main__":
    main()
