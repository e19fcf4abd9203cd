"""A proxy worker: one process, one event loop, mitmproxy's core. `chaosbot.addons.proxy` starts it through `chaosbot.workers`.

The listening sockets are inherited; requests that come before the worker is ready wait in their backlog.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from chaosbot.addons._mitm import plain
from chaosbot.addons._mitm.connection import Connection
from chaosbot.addons._mitm.runtime import Mode, Runtime
from chaosbot.addons.ca import default_directory
from chaosbot.addons.chaos import ChaosAddon
from chaosbot.addons.engine import ExchangeEngine
from chaosbot.addons.spec import ListenerSpec, ProxySpec
from chaosbot.core.event import RuleTallied
from chaosbot.core.exchange import Direction
from chaosbot.tcp.server import PipeServer, pipe_of
from chaosbot.transport import enforce, is_socket
from chaosbot.workers import AsyncParent


class ProxyService:
    """Serves the listeners of one process.

    Args:
        spec: What the proxy is to be.
        parent: Takes the events.
        index: The worker's number.
    """

    def __init__(self, spec: ProxySpec, parent: AsyncParent, index: int) -> None:
        self._spec = spec
        self._index = index
        self.engine = ExchangeEngine(spec, parent.send, index, parent.send)
        self._runtime = _runtime(spec, self.engine)
        self._addon = ChaosAddon(self.engine, self._runtime)
        self._runtime.add(self._addon, self)
        self._servers: list[asyncio.Server] = []
        self._pipes: list[PipeServer] = []

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Begins to accept on the inherited sockets, one for each listener."""
        for listener, sock in zip(self._spec.listeners, sockets, strict=True):
            if listener.pipe is not None:
                await self._serve_bytes(listener.pipe, sock)
                continue
            port = 0 if is_socket(listener.host) else sock.getsockname()[1]
            self._servers.append(await asyncio.start_server(self._acceptor(listener, port), sock=sock))
        self.engine.follow_windows()

    async def _serve_bytes(self, upstream: tuple[Direction, str, int, str], sock: socket.socket) -> None:
        """What is no HTTP runs on a direct pipe."""
        engine, workers = self.engine, self._spec.workers
        pipe = pipe_of(upstream, sock, engine.rules, engine.emit, engine.now, index=self._index, workers=workers)
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
        behind = self.engine.connections[data.client.id].listener.address
        if behind is not None and is_socket(behind[0]):
            data.server.address = behind  # known to mitmproxy as localhost
        elif not self.engine.may_connect(data.client.id, host, port):
            data.server.error = f"{host}:{port} is not allowed; name it by --allow-host"

    def tcp_message(self, flow: Any) -> None:
        """All messages of a connection are kept by mitmproxy; none is needed here."""
        flow.messages.clear()

    def websocket_message(self, flow: Any) -> None:
        """As above; the last one is needed."""
        del flow.websocket.messages[:-1]

    # ── questions of the parent ──────────────────────────────────────────────────────────────────────────────────────

    def answer(self, request: tuple[str, Any]) -> list[RuleTallied] | None:
        """Does what the parent wants."""
        word, value = request
        match word:
            case "plan":
                self.engine.set_plan(value)
                self._refresh_pipes()
            case "phase":
                self.engine.set_phase(value)
                self._refresh_pipes()
            case "clear":
                self._clear()
            case "flush":
                pass  # the reply follows everything that was sent before
            case "stop":
                for server in self._servers:
                    server.close()
                self._clear()
                return list(self.engine.rules.tallies())
            case _:
                raise ValueError(f"unknown request {word!r}")
        return None

    def _clear(self) -> None:
        self.engine.clear()
        self._refresh_pipes()

    def _refresh_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.refresh()


def _connection_class() -> type[Connection]:
    if plain():
        return Connection
    from chaosbot.addons._mitm.direct import DirectConnection  # noqa: PLC0415 - not loaded when it is switched off

    return DirectConnection


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


async def serve(parent: AsyncParent, spec: ProxySpec, index: int) -> None:
    """The worker's function: serves until the parent wants it to end."""
    upstreams = [item.address[0] for item in spec.listeners if item.address is not None]
    enforce((*spec.allow_hosts, *upstreams))
    service = ProxyService(spec, parent, index)
    await service.serve(parent.sockets)
    parent.answer = service.answer
    parent.ready()
    await parent.stopping.wait()
    # Connections that are still open end with the process; their clients were told by `stop`.
