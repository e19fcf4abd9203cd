"""A connection without a task for each hook and without a packet for each piece; what is sent is the same.

Rules:

- An event and all that follows from it is handled in place, and a hook that has nothing to wait for does not stop its stream.
- What one event makes a connection send leaves together, a head with its body; whatever looks at sockets, or may change what
  happens to their bytes, sees it gone (`flush`).
- Simple exchanges pass by mitmproxy's layers altogether (`chaosbot.addons._mitm.direct`).
- `tests/addons/_mitm/test_quick.py` holds these equal to the plain `connection` and `http`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from mitmproxy.proxy import commands, context, events, layer, server

from chaosbot.addons._mitm import Later
from chaosbot.addons._mitm.connection import Connection, OwnCarrier
from chaosbot.addons._mitm.http import Commands, ScriptedHttp
from chaosbot.addons._mitm.runtime import Mode, Runtime
from chaosbot.addons._mitm.streams import BoundedStream


@cache
def _argument(hook: type[commands.StartHook]) -> str:
    """The name of the one thing that a hook is about."""
    (field,) = dataclasses.fields(hook)  # type: ignore[arg-type]  # every hook is one
    return field.name


class PromptStream(BoundedStream):
    """One exchange inside mitmproxy; goes on at once after a hook that did what it had to do in place.

    Args:
        context: As mitmproxy makes it.
        stream_id: The exchange's number on its connection.
        call: Calls what belongs to a hook.
        nested: Whether the request was found while an event of another exchange is being handled (pipelining). Such a stream
            stops at its first hook as mitmproxy's own do, so that the other exchange is finished before this one goes upstream.
    """

    def __init__(
        self,
        context: context.Context,
        stream_id: int,
        call: Callable[[commands.StartHook], Later | None],
        *,
        nested: bool = False,
    ) -> None:
        super().__init__(context, stream_id)
        self._call = call
        self._nested = nested
        self.called: tuple[()] | tuple[Later | None] = ()
        """What the next hook has returned, where somebody else has called it already."""

    def handle_event(self, event: events.Event) -> Commands:
        """Handles an event; while a command is waited for, mitmproxy's own way of waiting holds."""
        if isinstance(event, events.CommandCompleted):
            self._nested = False
        if self._paused or self._nested:
            return super().handle_event(event)
        return self._go_on(self._handle_event(event))

    def _go_on(self, steps: Commands) -> Commands:
        for command in steps:
            # A hook of a layer inside (a tunnel's TLS) blocks that layer, and is nothing of this one's.
            if command.blocking is True:
                if isinstance(command, commands.StartHook):
                    later = self.called[0] if self.called else self._call(command)
                    self.called = ()
                    if later is None:
                        continue
                    command.later = later  # type: ignore[attr-defined]  # for whoever performs it
                command.blocking = self
                self._paused = layer.Paused(command, steps)
                yield command
                return
            yield command


class QuickHttp(ScriptedHttp):
    """The HTTP layer with streams that do not stop at hooks which have nothing to wait for."""

    sockets: QuickCarrier
    fresh = False

    def _handle_event(self, event: events.Event) -> Commands:
        # Only a request that comes from the client while no exchange is under way begins with nothing else on the stack.
        self.fresh = (
            isinstance(event, events.DataReceived) and event.connection is self.context.client and not self.streams
        )
        return super()._handle_event(event)

    def make_stream(self, stream_id: int) -> Commands:
        """An exchange begins."""
        nested, self.fresh = not self.fresh, False
        self.streams[stream_id] = PromptStream(self.context.fork(), stream_id, self.sockets.handler.call, nested=nested)
        return self.event_to_child(self.streams[stream_id], events.Start())


class QuickCarrier(OwnCarrier):
    """A connection whose writes are collected while an event is handled."""

    handler: QuickConnection
    layer_class = QuickHttp

    def flush(self) -> None:
        """Sends what was collected."""
        self.handler.uncork()

    def inject(self, event: events.Event) -> None:
        """Lets the connection handle an event, now or after the present one."""
        self.handler.handle(event)


class QuickConnection(Connection):
    """One client connection with its upstream connections."""

    carrier_class = QuickCarrier

    def __init__(
        self, runtime: Runtime, mode: Mode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(runtime, mode, reader, writer)
        self._waiting: deque[events.Event] = deque()
        self._busy = False
        self._corked: list[tuple[Any, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._hooks = runtime.hooks

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
        try:
            for command in self._said(event):
                self._perform(command)
        except Exception as error:  # noqa: BLE001 - one broken connection must be seen and must not end the worker
            self.broke("connection", error)
            self.close_connection(self.client)

    def _said(self, event: events.Event) -> Iterable[commands.Command]:
        """What follows from an event."""
        return self.layer.handle_event(event)

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

    def call(self, hook: commands.StartHook) -> Later | None:
        """Calls what belongs to a hook. It may change what happens to bytes, so those of before leave first."""
        if self._corked:
            self.uncork()
        function = self._hooks.get(hook.name)
        if function is None:
            return None
        try:
            return function(getattr(hook, _argument(type(hook))))  # type: ignore[arg-type]  # classes hash
        except Exception as error:  # noqa: BLE001 - a broken hook must be seen and must not stop the exchange
            self.broke(hook.name, error)
            return None

    def _perform(self, command: commands.Command) -> None:
        if isinstance(command, commands.SendData):
            io = self.transports.get(command.connection)
            if io is not None and io.writer is not None:
                self._corked.append((io.writer, command.data))
            return
        if self._corked:
            self.uncork()
        if isinstance(command, commands.StartHook):
            later = command.later if hasattr(command, "later") else self.call(command)
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

    def _start(self, work: Later) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _complete(self, hook: commands.StartHook, later: Later) -> None:
        await self.finish(hook.name, later)
        if hook.blocking:
            self.handle(events.HookCompleted(hook))
