"""All that chaosbot knows of mitmproxy's insides; works on 11.0.2 and on 12.2.

Rules:

- No other file imports mitmproxy, except for `mitmproxy.http` and its flows, which are documented.
- There is no Master and no addon manager: options are read once into a snapshot (each read of mitmproxy's manager copies deeply),
  and hooks are plain functions that are called in place; only one that returns a coroutine costs a task. Together with
  ``python -O`` that is what makes a worker two and a half times as fast as mitmdump.
- Runs in worker processes only: `mitmproxy.ctx` is global.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import types
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeAlias

from chaosbot.addons._bytes_ends import reset
from chaosbot.addons.bytestream import Ends, FaultyReader, FaultyWriter
from chaosbot.model.effect import BytesEffect, Direction


def _skip_the_collection() -> None:
    """Puts an empty package in place of ``mitmproxy.addons``, whose own file imports every addon there is (0.3 s)."""
    found = importlib.util.find_spec("mitmproxy")
    if "mitmproxy.addons" not in sys.modules and found is not None and found.submodule_search_locations:
        package = types.ModuleType("mitmproxy.addons")
        package.__path__ = [f"{place}/addons" for place in found.submodule_search_locations]
        sys.modules["mitmproxy.addons"] = package


_skip_the_collection()

from mitmproxy import ctx, options  # noqa: E402 - the stub above comes first
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig  # noqa: E402
from mitmproxy.connection import Client, Connection, Server  # noqa: E402
from mitmproxy.proxy import commands, events, layers, mode_servers, mode_specs, server, server_hooks  # noqa: E402
from mitmproxy.proxy.layers.http import _http1  # noqa: E402

Hook: TypeAlias = Callable[["Handler", Any], Coroutine[Any, Any, None] | None]
"""What happens at a hook: in place, or later when it returns a coroutine."""

FRAGMENT: Final = 1 << 16


class Snapshot:
    """mitmproxy's options with their values of now, as plain attributes."""

    def __init__(self, manager: Any) -> None:
        self.__dict__.update({name: option.current() for name, option in manager.items()})


class _Loader:
    """Lets an addon declare its options."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def add_option(self, name: str, typespec: Any, default: Any, help: str, choices: list[str] | None = None) -> None:
        self._manager.add_option(name, typespec, default, help, choices)


class Core:
    """The parts of mitmproxy that every connection of a worker needs, configured once.

    Args:
        values: Options that differ from mitmproxy's own.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        manager: Any = options.Options()
        # mitmproxy's addons are not annotated.
        listening: Any = proxyserver.Proxyserver
        self.next_layer: Any = next_layer.NextLayer()
        self.tls: Any = tlsconfig.TlsConfig()
        basics: Any = core.Core()
        for addon in (listening(), self.tls):
            addon.load(_Loader(manager))
        manager.update(**values)
        self.options = Snapshot(manager)
        ctx.options = self.options  # type: ignore[assignment]  # reads like one
        # Left out: only a warning hangs on the TLS versions, and looking for it fails on OpenSSL 4, which has no SSLv3 to try.
        everything = {name for name in manager.keys() if not name.startswith("tls_version")}  # noqa: SIM118 - no dict
        for configured in (basics, self.next_layer, self.tls):
            configured.configure(everything)
        logging.getLogger("mitmproxy").setLevel(logging.ERROR)

    def hooks(self) -> dict[str, Hook]:
        """What mitmproxy itself does in choosing protocols and in TLS."""
        names = ("tls_clienthello", "tls_start_client", "tls_start_server")
        found: dict[str, Hook] = {name: _own(getattr(self.tls, name)) for name in names}
        found["next_layer"] = self._choose_layer
        return found

    def _choose_layer(self, handler: Handler, chooser: Any) -> None:
        self.next_layer.next_layer(chooser)
        for layer in chooser.context.layers:
            if type(layer) is layers.HttpLayer:
                handler.watch(layer)


def _own(function: Callable[[Any], None]) -> Hook:
    def call(_handler: Handler, data: Any) -> None:
        function(data)

    return call


def tag_errors(make: Callable[[int, str], bytes]) -> None:
    """Lets `make` write the answers that mitmproxy gives of its own accord (502 and its like)."""
    _http1.make_error_response = make  # type: ignore[assignment]  # called by position


class Mode:
    """What a listener does with its connections: an upstream behind it, or a regular proxy when `upstream` is empty."""

    def __init__(self, upstream: str) -> None:
        self.spec = mode_specs.ProxyMode.parse(f"reverse:{upstream}" if upstream else "regular")
        manager: Any = _Manager()
        self.instance: Any = mode_servers.ServerInstance.make(self.spec, manager)

    @property
    def address(self) -> tuple[str, int] | None:
        """The upstream's host and port."""
        return self.spec.address if isinstance(self.spec, mode_specs.ReverseMode) else None


class _Manager:
    """What a server instance wants to know its connections by; nobody asks here."""

    connections: dict[Any, Any] = {}  # noqa: RUF012 - never filled


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
        core: Core,
        mode: Mode,
        hooks: Mapping[str, Hook],
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
        self.client_reader = FaultyReader(reader, Direction.UP, self.ends, acted=self._acted)
        self.client_writer = FaultyWriter(writer, Direction.DOWN, self.ends, acted=self._acted)
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
        self.client_writer.write(make(501, what))
        self.close_connection(self.client)

    def _client_left(self) -> None:
        self.gone = True
        for call in tuple(self.on_gone):
            call()

    def _perform(self, command: commands.Command) -> None:
        if isinstance(command, commands.SendData):
            io = self.transports.get(command.connection)
            if io is not None and io.writer is not None and not io.writer.is_closing():
                io.writer.write(command.data)
        elif isinstance(command, commands.StartHook):
            later = self._call(command)
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
        (data,) = hook.args()
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
        writer = FaultyWriter(io.writer, Direction.UP, self.ends, acted=self._acted)  # type: ignore[arg-type]  # TCP only
        writer.set_effects(self.upward)
        reader = FaultyReader(io.reader, Direction.DOWN, self.ends)  # type: ignore[arg-type]  # TCP only
        io.reader, io.writer = reader, writer  # type: ignore[assignment]
        self.client_reader.waits_for(writer)
        reader.waits_for(self.client_writer)
        self.server_writers = [each for each in self.server_writers if not each.is_closing()]
        self.server_writers.append(writer)

    async def drain_writers(self) -> None:
        """Nothing to wait for: the readers wait until the writers that their bytes go to have room."""

    def reset_server(self, server: Connection) -> None:
        """A real RST to an upstream."""
        io = self.transports.get(server)
        if io is not None and io.writer is not None:
            writer: Any = io.writer
            reset(writer.transport)

    def pending(self, connection: Connection) -> int:
        """Bytes that were written to a connection and have not left yet."""
        io = self.transports.get(connection)
        writer: Any = None if io is None else io.writer
        return 0 if writer is None else int(writer.transport.get_write_buffer_size())


__all__ = [
    "Client",
    "Connection",
    "Core",
    "Handler",
    "Hook",
    "Mode",
    "Server",
    "commands",
    "events",
    "layers",
    "tag_errors",
]
