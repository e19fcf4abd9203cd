"""Plays a conversation with one of mitmproxy's layers, in the manner of its own tests: ``>>`` an event goes in, ``<<`` a command comes out.

Hooks and connections to upstreams are completed on the spot, so that a conversation shows bytes, closes and wake-ups only:

    play = Playbook(ScriptedHttp)
    play >> play.from_client(b"GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
    play << SendData(play.server, b"GET / …")
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import HTTPMode

from chaosbot.addons._mitm.http import ScriptedHttp


class Loader:
    """Declares an addon's options."""

    def __init__(self, manager: Any) -> None:
        self.add_option: Callable[..., None] = lambda name, spec, default, text, choices=None: manager.add_option(
            name, spec, default, text, choices
        )


class Sockets:
    """The connection below a layer, and its handler: nothing is ever pending, and what is done to sockets is written down."""

    def __init__(self, play: Playbook) -> None:
        self.gone = False
        self.handler = self
        self.resets: list[Any] = []
        self.closed: list[Any] = []
        self.held: set[Any] = set()
        self.reasons: dict[Any, str] = {}
        self.room = True
        self._play = play

    def left(self) -> None:
        self.gone = True

    def flush(self) -> None:
        pass

    def pending(self, _connection: Any) -> int:
        return 0 if self.room else 1 << 30

    def undelivered(self, _connection: Any) -> int:
        return 0

    def reset(self, connection: Any) -> None:
        self.resets.append(connection)

    def close(self, connection: Any) -> None:
        self.closed.append(connection)

    def hold(self, connection: Any, *, on: bool) -> None:
        (self.held.add if on else self.held.discard)(connection)

    def reason(self, server: Any) -> str:
        return self.reasons.get(server, "")

    def call(self, hook: commands.StartHook) -> None:
        """What a quick stream calls in place."""
        self._play.hook(hook)


class Playbook:
    """A conversation with an HTTP layer.

    Args:
        make: The layer's class.
        hooks: What happens at a hook, by its name; each is given the flow.
    """

    def __init__(self, make: type[ScriptedHttp], hooks: dict[str, Callable[[Any], None]] | None = None) -> None:
        manager: Any = options.Options()
        proxyserver: Any = Proxyserver()
        proxyserver.load(Loader(manager))
        manager.update(keep_host_header=True)
        self.client = Client(
            peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0.0, state=ConnectionState.OPEN
        )
        self.sockets = Sockets(self)
        self.hooks = hooks or {}
        self.hooked: list[str] = []
        self.servers: list[Server] = []
        self.said: deque[commands.Command] = deque()
        place = context.Context(self.client, manager)
        place.server.address = ("upstream", 80)
        self.layer = make(place, HTTPMode.transparent, self.sockets)
        self >> events.Start()

    @property
    def server(self) -> Server:
        """The upstream connection that was opened last."""
        return self.servers[-1]

    def from_client(self, data: bytes) -> events.DataReceived:
        return events.DataReceived(self.client, data)

    def from_server(self, data: bytes) -> events.DataReceived:
        return events.DataReceived(self.server, data)

    def closed(self, connection: Client | Server) -> events.ConnectionClosed:
        connection.state = ConnectionState.CLOSED
        return events.ConnectionClosed(connection)

    def hook(self, hook: commands.StartHook) -> None:
        self.hooked.append(hook.name)
        if hook.name in self.hooks:
            self.hooks[hook.name](*hook.args())

    def __rshift__(self, event: events.Event) -> Playbook:
        """Gives the layer an event; what it says waits for ``<<``."""
        waiting = deque([event])
        while waiting:
            for command in self.layer.handle_event(waiting.popleft()):
                if isinstance(command, commands.StartHook):
                    self.hook(command)
                    if command.blocking:
                        waiting.append(events.HookCompleted(command))
                elif isinstance(command, commands.OpenConnection):
                    command.connection.state = ConnectionState.OPEN
                    self.servers.append(command.connection)
                    waiting.append(events.OpenConnectionCompleted(command, None))
                elif not isinstance(command, commands.Log):
                    if isinstance(command, commands.CloseConnection) and not getattr(command, "half_close", False):
                        command.connection.state = ConnectionState.CLOSED  # at once, as a handler does
                    self.said.append(command)
        return self

    def __lshift__(self, expected: commands.Command) -> Playbook:
        """The next thing that the layer said must be this."""
        assert self.said, f"the layer said nothing more; expected {expected}"
        assert repr(self.said.popleft()) == repr(expected)
        return self

    def wake(self) -> Playbook:
        """Rings the wake-up that the layer asked for next."""
        asked = self.said.popleft()
        assert isinstance(asked, commands.RequestWakeup), asked
        return self >> events.Wakeup(asked)

    def silent(self) -> bool:
        """Whether the layer has said nothing more."""
        return not self.said

    def sent(self, connection: Client | Server) -> bytes:
        """The bytes that went to a connection and were not asked for by ``<<`` yet; everything that was said is taken."""
        taken, self.said = self.said, deque()
        return b"".join(
            each.data for each in taken if isinstance(each, commands.SendData) and each.connection is connection
        )
