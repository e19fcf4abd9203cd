"""One client connection with its upstreams: mitmproxy's conversation of events and commands, performed on chaosbot's sockets.

Rules:

- An event and all that follows from it is handled in place: no task for a hook that has nothing to wait for.
- What one event makes a connection send leaves together, a head with its body; whatever looks at sockets, or may change what
  happens to their bytes, sees it gone (`uncork`).
- Nothing raises: a broken connection is told of and ended.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events, mode_servers, server, server_hooks
from mitmproxy.proxy.layers.http import _http1

from chaosbot.addons._mitm import runtime
from chaosbot.core.effect import BytesEffect, StreamDirection
from chaosbot.injection._bytes_ends import reset
from chaosbot.injection.bytestream import Ends, FaultyReader, FaultyWriter


@cache
def _argument(hook: type[commands.StartHook]) -> str:
    """The name of the one thing that a hook is about."""
    (field,) = dataclasses.fields(hook)  # type: ignore[arg-type]  # every hook is one
    return field.name


class Handler(mode_servers.ProxyConnectionHandler):
    """One client connection with its upstreams.

    Args:
        core: The configured parts.
        mode: What the listener does.
        hooks: What happens at each hook.
        watch: Called for every HTTP layer that comes into being.
        broke: Called with an exception that nobody foresaw.
        reader: From the client.
        writer: To the client.
    """

    def __init__(
        self,
        core: runtime.Core,
        mode: runtime.Mode,
        hooks: Mapping[str, runtime.Hook],
        watch: Callable[[Handler, Any], None],
        broke: Callable[[str, BaseException], None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(None, reader, writer, core.options, mode.spec)  # type: ignore[no-untyped-call]
        self.layer = mode.instance.make_top_layer(self.layer.context)
        self.ends = Ends()
        self.acted: Callable[[BytesEffect], None] = lambda _effect: None
        self.upward: tuple[BytesEffect, ...] = ()
        self.client_reader = FaultyReader(reader, StreamDirection.UP, self.ends, acted=self._acted)
        self.client_writer = FaultyWriter(writer, StreamDirection.DOWN, self.ends, acted=self._acted)
        self.server_writers: list[FaultyWriter] = []
        io = self.transports[self.client]
        io.reader, io.writer = self.client_reader, self.client_writer  # type: ignore[assignment]  # they stand in for streams
        self.gone = False
        self.on_gone: set[Callable[[], None]] = set()
        self._hooks = hooks
        self._watch = watch
        self._broke = broke
        self._waiting: deque[events.Event] = deque()
        self._busy = False
        self._corked: list[tuple[Any, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def _acted(self, effect: BytesEffect) -> None:
        self.acted(effect)

    def admit(self) -> None:
        """Byte effects report what they have done so far; bytes may still be held when the connection's exchange is over."""
        for line in (self.client_reader, self.client_writer, *self.server_writers):
            line.admit()

    def send_upward(self, effects: tuple[BytesEffect, ...]) -> None:
        """From now on these byte effects act on what goes to upstreams."""
        self.upward = effects
        for writer in self.server_writers:
            writer.set_effects(effects)

    def watch(self, layer: Any) -> None:
        """Hands an HTTP layer on."""
        self._watch(self, layer)

    # ── events and commands, without a task for each hook ────────────────────────────────────────────────────────────

    async def server_event(self, event: events.Event) -> None:
        """Handles an event at once; one that comes up meanwhile waits for its turn."""
        self.handle(event)

    def handle(self, event: events.Event) -> None:
        """Handles an event and all that follow from it. Never raises."""
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                self._handle_one(self._waiting.popleft())
        finally:
            self._busy = False
            if self._corked:
                self.uncork()

    def _handle_one(self, event: events.Event) -> None:
        self.timeout_watchdog.register_activity()  # type: ignore[no-untyped-call]
        if type(event) is events.ConnectionClosed and event.connection is self.client:
            self._client_left()
        try:
            for command in self.layer.handle_event(event):
                self._perform(command)
        except (
            NotImplementedError
        ) as error:  # what mitmproxy does not speak (trailers of chunked bodies) is nobody's fault
            self._unspoken(str(error))
        except Exception as error:  # noqa: BLE001 - one broken connection must be seen and must not end the worker
            self._broke("connection", error)
            self.client_writer.transport.abort()

    def _unspoken(self, what: str) -> None:
        """Says so, and ends the connection."""
        make: Any = _http1.make_error_response
        self.uncork()
        self.client_writer.write(make(501, what))
        self.close_connection(self.client)

    def _client_left(self) -> None:
        self.gone = True
        for call in tuple(self.on_gone):
            call()

    def uncork(self) -> None:
        """Sends what was written while the present event was handled: a head and its body are one packet."""
        corked, self._corked = self._corked, []
        last: Any = None
        pieces: list[bytes] = []
        for writer, data in (*corked, (None, b"")):
            if writer is not last:
                if last is not None and not last.is_closing():
                    last.write(b"".join(pieces))
                last, pieces = writer, []
            pieces.append(data)

    def call(self, hook: commands.StartHook) -> Coroutine[Any, Any, None] | None:
        """Calls what belongs to a hook. It may change what happens to bytes, so those of before leave first."""
        if self._corked:
            self.uncork()
        return self._call(hook)

    def _perform(self, command: commands.Command) -> None:
        if isinstance(command, commands.SendData):
            io = self.transports.get(command.connection)
            if io is not None and io.writer is not None:
                self._corked.append((io.writer, command.data))
            return
        if self._corked:
            self.uncork()
        if isinstance(command, commands.StartHook):
            later = command.later if hasattr(command, "later") else self._call(command)
            if later is not None:
                self._start(self._complete(command, later))
            elif command.blocking:
                self._waiting.append(events.HookCompleted(command))
        elif isinstance(command, commands.OpenConnection):
            task = self._start(self.open_connection(command))
            self.transports[command.connection] = server.ConnectionIO(handler=task)
        elif isinstance(command, commands.RequestWakeup):
            self.wakeup_timer.add(self._start(self.wakeup(command)))
        elif isinstance(command, commands.CloseConnection):
            if command.connection in self.transports:
                half = isinstance(command, commands.CloseTcpConnection) and command.half_close
                self.close_connection(command.connection, half)
        elif not isinstance(command, commands.Log):
            raise TypeError(f"unexpected command: {command}")

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _call(self, hook: commands.StartHook) -> Coroutine[Any, Any, None] | None:
        function = self._hooks.get(hook.name)
        if function is None:
            return None
        data = getattr(hook, _argument(type(hook)))  # type: ignore[arg-type]  # classes hash
        try:
            return function(self, data)
        except Exception as error:  # noqa: BLE001 - a broken hook must be seen and must not stop the exchange
            self._broke(hook.name, error)
            return None

    async def _complete(self, hook: commands.StartHook, later: Coroutine[Any, Any, None]) -> None:
        await self._finish(hook.name, later)
        if hook.blocking:
            self.handle(events.HookCompleted(hook))

    async def _finish(self, name: str, later: Coroutine[Any, Any, None]) -> None:
        with self.timeout_watchdog.disarm():
            try:
                await later
            except Exception as error:  # noqa: BLE001 - as in _call
                self._broke(name, error)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """The hooks of connections, which mitmproxy waits for."""
        if isinstance(hook, server_hooks.ServerConnectedHook):
            self._wrap(hook.data.server)
        later = self._call(hook)
        if later is not None:
            await self._finish(hook.name, later)

    def _wrap(self, server: Server) -> None:
        """Puts the byte effects' writers in place of an upstream's, and couples back pressure from end to end."""
        io = self.transports[server]
        writer = FaultyWriter(io.writer, StreamDirection.UP, self.ends, acted=self._acted)  # type: ignore[arg-type]  # TCP only
        writer.set_effects(self.upward)
        reader = FaultyReader(io.reader, StreamDirection.DOWN, self.ends)  # type: ignore[arg-type]  # TCP only
        io.reader, io.writer = reader, writer  # type: ignore[assignment]
        self.client_reader.waits_for(writer)
        reader.waits_for(self.client_writer)
        self.server_writers = [each for each in self.server_writers if not each.is_closing()]
        self.server_writers.append(writer)

    async def drain_writers(self) -> None:
        """Nothing to wait for: the readers wait until the writers that their bytes go to have room."""

    def reset_server(self, server: Connection) -> None:
        """A real RST to an upstream, behind what was sent to it."""
        self.uncork()
        io = self.transports.get(server)
        if io is not None and io.writer is not None:
            writer: Any = io.writer
            reset(writer.transport)

    def pending(self, connection: Connection) -> int:
        """Bytes that were written to a connection and have not left yet."""
        self.uncork()
        io = self.transports.get(connection)
        writer: Any = None if io is None else io.writer
        return 0 if writer is None else int(writer.transport.get_write_buffer_size())
