"""One client connection of chaosbot's own core: mitmproxy's connection handler on sockets whose bytes meet effects.

Rules:

- Hooks are functions of the `Runtime`; one that has something to wait for returns a coroutine.
- Nothing raises: a connection that breaks is reported and ended.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

from mitmproxy.connection import Client, Server
from mitmproxy.connection import Connection as MitmConnection
from mitmproxy.proxy import commands, events, layer, mode_servers, server_hooks

from chaosbot.addons._mitm import Later
from chaosbot.addons._mitm.carrier import HandlerCarrier
from chaosbot.addons._mitm.runtime import Mode, Runtime
from chaosbot.addons.answers import own_error
from chaosbot.core.effect import BytesEffect, Farewell, StreamDirection
from chaosbot.injection.bytestream import Ends, FaultyReader, FaultyWriter, refuse
from chaosbot.transport import is_socket

_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class _Guarded:
    """The top of a connection's layers; an exception below becomes the end of the connection."""

    def __init__(self, top: layer.Layer, client: Client, runtime: Runtime) -> None:
        self.context = top.context
        self._top = top
        self._client = client
        self._runtime = runtime

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Handles an event."""
        try:
            yield from self._top.handle_event(event)
        except NotImplementedError as error:  # what mitmproxy does not speak (trailers of chunked bodies)
            yield commands.SendData(self._client, own_error(501, str(error)))
            yield commands.CloseConnection(self._client)
        except Exception as error:  # noqa: BLE001 - one broken connection must be seen and must not end the worker
            self._runtime.broke("connection", error)
            yield commands.CloseConnection(self._client)


class OwnBytes:
    """The byte effects of one connection: its client's reader and writer, and the writers to upstreams."""

    def __init__(self, handler: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handler = handler
        self._ends = Ends()
        self.acted: Callable[[BytesEffect], None] = lambda _effect: None
        self._upward: tuple[BytesEffect, ...] = ()
        self._reader = FaultyReader(reader, StreamDirection.UP, self._ends, acted=self._acted)
        self._writer = FaultyWriter(writer, StreamDirection.DOWN, self._ends, acted=self._acted)
        self._server_writers: list[FaultyWriter] = []
        self._lasting: tuple[BytesEffect, ...] = ()
        io = handler.transports[handler.client]
        io.reader, io.writer = self._reader, self._writer  # type: ignore[assignment]  # they have a stream's methods

    def _acted(self, effect: BytesEffect) -> None:
        self.acted(effect)

    def set_effects(self, lasting: tuple[BytesEffect, ...], armed: tuple[BytesEffect, ...]) -> None:
        """Replaces the byte effects of the connection and of the exchanges under way."""
        self._lasting = lasting
        self._reader.set_effects(lasting)
        self._writer.set_effects((*lasting, *armed))
        self._upward = tuple(effect for effect in armed if getattr(effect, "stream", None) is StreamDirection.UP)
        for writer in self._server_writers:
            writer.set_effects(self._upward)

    def admit(self) -> None:
        """Makes effects report what they have done; bytes may still be held when the connection's exchange is over."""
        for stream in (self._reader, self._writer, *self._server_writers):
            stream.admit()

    @property
    def holds_back(self) -> bool:
        """Whether effects act on what goes to the client."""
        return self._writer.active

    def when_out(self, call: Callable[[bool], None]) -> None:
        """Calls when what was written to the client has left, with whether all of it has."""
        self._writer.when_out(call)

    def waited(self) -> float:
        """For how many seconds the request that has just come was held back."""
        return self._reader.waited()

    def refuse(self, farewell: Farewell) -> Later | None:
        """Turns the new connection away; SILENCE leaves it open and reads until the client gives up."""
        self._handler.client.error = "refused"
        refuse(self._ends, farewell)
        return self._listen_only() if farewell is Farewell.SILENCE else None

    async def _listen_only(self) -> None:
        while self._lasting and await self._reader.read(1 << 16):
            pass

    def wrap(self, server: Server) -> None:
        """Puts streams with byte effects in place of an upstream's, and couples back pressure from end to end."""
        io = self._handler.transports[server]
        writer = FaultyWriter(io.writer, StreamDirection.UP, self._ends, acted=self._acted)  # type: ignore[arg-type]  # TCP only
        writer.set_effects(self._upward)
        reader = FaultyReader(io.reader, StreamDirection.DOWN, self._ends)  # type: ignore[arg-type]  # TCP only
        io.reader, io.writer = reader, writer  # type: ignore[assignment]
        self._reader.waits_for(writer)
        reader.waits_for(self._writer)
        self._server_writers = [each for each in self._server_writers if not each.is_closing()]
        self._server_writers.append(writer)


class OwnCarrier(HandlerCarrier):
    """A connection of chaosbot's own core."""

    def __init__(self, handler: Connection, mode: Mode, own_bytes: OwnBytes) -> None:
        super().__init__(handler, mode.listener, mode.own)
        self._bytes = own_bytes

    @property
    def bytes(self) -> OwnBytes:
        """What byte effects act on."""
        return self._bytes

    def hold(self, connection: MitmConnection, *, on: bool) -> None:
        """Reads no more from a connection, or again."""
        io = self.handler.transports.get(connection)
        if io is not None and isinstance(io.reader, FaultyReader):
            io.reader.hold(on=on)


class _OnSocket:
    """The writer of a Unix socket's client, which has no host and port; mitmproxy asks for them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("unix", 0) if name in ("peername", "sockname") else self._writer.get_extra_info(name, default)


class Connection(mode_servers.ProxyConnectionHandler):
    """One client connection with its upstream connections.

    Args:
        runtime: mitmproxy's configured parts and the hooks.
        mode: What the listener does with its connections.
        reader: From the client.
        writer: To the client.
    """

    carrier_class: type[OwnCarrier] = OwnCarrier

    def __init__(
        self, runtime: Runtime, mode: Mode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if is_socket(mode.listener.host):
            writer = cast("asyncio.StreamWriter", _OnSocket(writer))
        super().__init__(None, reader, writer, runtime.options, mode.spec)  # type: ignore[no-untyped-call]
        self.layer = _Guarded(mode.instance.make_top_layer(self.layer.context), self.client, runtime)  # type: ignore[assignment]  # it conducts the conversation like one
        self.carrier = self.carrier_class(self, mode, OwnBytes(self, reader, writer))
        self._runtime = runtime
        self.broke = runtime.broke

    async def run(self) -> None:
        """Serves the connection until it has ended."""
        self._runtime.connections[self.client.id] = self
        try:
            await self.handle_client()
        finally:
            del self._runtime.connections[self.client.id]

    def call(self, hook: commands.StartHook) -> Later | None:
        """Calls what belongs to a hook; what it returns must be waited for."""
        function = self._runtime.hooks.get(hook.name)
        if function is None:
            return None
        try:
            (data,) = hook.args()
            return function(data)
        except Exception as error:  # noqa: BLE001 - a broken hook must be seen and must not stop the exchange
            self._runtime.broke(hook.name, error)
            return None

    async def finish(self, name: str, later: Later) -> None:
        """Waits for a hook; the time does not count as the client's idleness."""
        with self.timeout_watchdog.disarm():
            try:
                await later
            except Exception as error:  # noqa: BLE001 - as in `call`
                self._runtime.broke(name, error)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Performs a hook."""
        if isinstance(hook, server_hooks.ServerConnectedHook):
            self.carrier.bytes.wrap(hook.data.server)
        later = self.call(hook)
        if later is not None:
            await self.finish(hook.name, later)

    async def drain_writers(self) -> None:
        """Nothing to wait for: the readers wait until the writers that their bytes go to have room.

        mitmproxy drains all directions under one lock, so two full directions would wait for each other.
        """

    def log(self, message: str, level: int = logging.INFO, exc_info: bool | _ErrorInfo | None = None) -> None:  # noqa: ARG002 - mitmproxy calls it so
        """Takes what mitmproxy would log; only an exception is of interest."""
        error = exc_info[1] if isinstance(exc_info, tuple) else sys.exc_info()[1] if exc_info else None
        if error is not None:
            self._runtime.broke("connection", error)
