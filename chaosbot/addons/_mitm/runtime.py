"""mitmproxy without its Master: the parts that connections need, configured once.

Rules:

- There is no addon manager: hooks are functions that are called in order, and only one that returns a coroutine is waited for.
- Runs in worker processes only: `mitmproxy.ctx` is global.
- The CA is made when the first TLS client comes: without TLS no file is written.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chaosbot.addons._mitm import Later, plain, shortcuts

if not plain():
    shortcuts.skip_the_collection()

from mitmproxy import ctx, options
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig
from mitmproxy.proxy import commands, events, layer, mode_servers, mode_specs

from chaosbot.addons._mitm.alerts import AlertWatch
from chaosbot.addons._mitm.carrier import HandlerCarrier, substitute
from chaosbot.addons.ca import unwritable
from chaosbot.addons.spec import ListenerSpec
from chaosbot.core.errors import UsageError
from chaosbot.core.mock import is_mock

if TYPE_CHECKING:
    from chaosbot.addons._mitm.connection import Connection

Hook = Callable[..., Later | None]
"""What happens at a hook: in place, or later when it returns a coroutine."""

HOOKS: Final = (
    "client_connected",
    "client_disconnected",
    "server_connect",
    "server_connected",
    "next_layer",
    "tls_clienthello",
    "tls_start_client",
    "tls_start_server",
    "requestheaders",
    "request",
    "responseheaders",
    "response",
    "error",
    "tcp_message",
    "websocket_message",
    "websocket_end",
)
"""The hooks that an addon of this core may have."""

_H2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Nothing listens on port 9 (discard); the mock answers before an upstream would be asked.
_NOWHERE: Final = "http://127.0.0.1:9"
_NO_H2: Final = "HTTP/2 in the clear (as insecure gRPC does), which this proxy does not offer; start it with --http2"
# Of mitmproxy's TLS addon. Not `tls_start_client`, which `Runtime` calls, and not `request` of mitmproxy 12.3, which answers lookups of
# the CA's revocation list: it fails while there is no CA, and then the hooks after it are not called.
_TLS_HOOKS: Final = frozenset({"tls_clienthello", "tls_start_server"})
_CA_OPTIONS: Final = frozenset({"confdir", "certs", "key_size", "cert_passphrase", "emudhra", "emudhra_old"})


class _Loader:
    """Lets an addon declare its options."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def add_option(self, name: str, typespec: Any, default: Any, help: str, choices: list[str] | None = None) -> None:
        self._manager.add_option(name, typespec, default, help, choices)


class Runtime:
    """mitmproxy's parts that every connection of a worker needs, and the hooks of the addons on them.

    Args:
        values: Options that differ from mitmproxy's own.
        broke: Called with an unexpected exception, and where it happened.
        note: Called with what a run should tell once: its area, the text, and data.

    Attributes:
        connections: The open connections by their client's id.
        hooks: What happens at each hook; filled by `add`.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        broke: Callable[[str, BaseException], None],
        note: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        manager: Any = options.Options()
        # mitmproxy's addons are not annotated.
        listening: Any = proxyserver.Proxyserver
        self._next_layer: Any = next_layer.NextLayer()
        self._tls: Any = tlsconfig.TlsConfig()
        basics: Any = core.Core()
        for addon in (listening(), self._tls):
            addon.load(_Loader(manager))
        manager.update(**values)
        self.options: Any = manager
        self.broke = broke
        self._note = note
        self.connections: dict[str, Connection] = {}
        self.hooks: dict[str, Hook] = {}
        self._directory = Path(manager.confdir)
        self._has_ca = False
        if not plain():
            self.options = shortcuts.Snapshot(manager)
            shortcuts.take()
        ctx.options = self.options
        # Left out: only a warning hangs on the TLS versions, and looking for it fails on OpenSSL 4, which has no SSLv3 to try.
        everything = {name for name in manager.keys() if not name.startswith("tls_version")}  # noqa: SIM118 - no dict
        for configured in (basics, self._next_layer, self._tls):
            configured.configure(everything - _CA_OPTIONS)
        logging.getLogger("mitmproxy").setLevel(logging.ERROR)

    def add(self, *addons: object) -> None:
        """Lets these addons act, after mitmproxy's own."""
        found: dict[str, list[Hook]] = {name: [] for name in HOOKS}
        for addon in (self, self._tls, AlertWatch(self.connections), *addons):
            for name in HOOKS:
                if addon is self._tls and name not in _TLS_HOOKS:
                    continue
                if (function := getattr(addon, name, None)) is not None:
                    found[name].append(function)
        self.hooks = {name: _in_order(functions) for name, functions in found.items() if functions}

    # ── mitmproxy's own part of the hooks ────────────────────────────────────────────────────────────────────────────

    def tls_clienthello(self, _hello: Any) -> None:
        """A TLS client: now the CA is needed. Several workers may meet their first at once; one of them makes it."""
        if self._has_ca:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self._directory / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._tls.configure(_CA_OPTIONS)
        except OSError as error:
            # The handshake then fails for want of a certificate, and the run tells why.
            raise UsageError(unwritable(self._directory, error)) from None
        self._has_ca = True

    def tls_start_client(self, data: Any) -> None:
        """A client's handshake begins. Without a CA there is nothing to answer it with."""
        if self._has_ca:
            self._tls.tls_start_client(data)

    # ── the door ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def carrier(self, client: Any) -> HandlerCarrier:
        """The connection of a client."""
        return self.connections[client.id].carrier

    def choose_layer(self, chooser: Any) -> None:
        """Chooses the next layer; an HTTP layer becomes one that follows scripts.

        Cleartext HTTP/2 with prior knowledge is recognised by its first bytes and spoken with the upstream too.
        """
        client = chooser.context.client
        if not client.tls and client.alpn is None:
            start = chooser.data_client()[: len(_H2_PREFACE)]
            if start == _H2_PREFACE:
                client.alpn = b"h2"
                if not self.options.http2:
                    self._note("http2", f"a client spoke {_NO_H2}", {})
                    chooser.layer = RefuseHttp2(chooser.context)
                    return
            elif start and _H2_PREFACE.startswith(start):
                return  # mitmproxy asks again when more has come
        self._next_layer.next_layer(chooser)
        if chooser.layer is not None:
            substitute(chooser, self.carrier(client))

    def server_connected(self, data: Any) -> None:
        """An upstream is spoken to as the client speaks to the proxy."""
        if data.client.alpn == b"h2" and not data.client.tls and not data.server.tls:
            data.server.alpn = b"h2"


class RefuseHttp2(layer.Layer):
    """Turns a client of cleartext HTTP/2 away, in HTTP/2, with the remedy as debug data of GOAWAY."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            remedy = _NO_H2.encode()
            settings = b"\0\0\0\x04\0\0\0\0\0"
            head = (8 + len(remedy)).to_bytes(3, "big") + b"\x07\0\0\0\0\0"
            last_stream, http_1_1_required = b"\0\0\0\0", b"\0\0\0\x0d"
            yield commands.SendData(event.connection, settings + head + last_stream + http_1_1_required + remedy)
            yield commands.CloseConnection(event.connection)


class Mode:
    """What a listener does with its connections.

    Args:
        listener: The listener: an upstream behind it, the mock, or nothing (a regular proxy).
        port: The port that it listens on.
    """

    def __init__(self, listener: ListenerSpec, port: int) -> None:
        self.listener = listener
        self.own = frozenset(f"{name}:{port}" for name in (listener.host, "localhost", "127.0.0.1", "[::1]"))
        upstream = _NOWHERE if is_mock(listener.upstream) else listener.origin if listener.upstream else ""
        self.spec = mode_specs.ProxyMode.parse(f"reverse:{upstream}" if upstream else "regular")
        manager: Any = _Manager()
        self.instance: Any = mode_servers.ServerInstance.make(self.spec, manager)


class _Manager:
    """What a server instance registers its connections with; the instance serves none here."""

    connections: dict[Any, Any] = {}  # noqa: RUF012 - never filled


def _in_order(functions: Sequence[Hook]) -> Hook:
    """One function that calls several, each when the one before has ended."""
    if len(functions) == 1:
        return functions[0]

    def call(*args: Any) -> Later | None:
        for number, function in enumerate(functions, 1):
            later = function(*args)
            if later is not None:
                return _and_then(later, functions[number:], args)
        return None

    return call


async def _and_then(later: Later, rest: Sequence[Hook], args: tuple[Any, ...]) -> None:
    await later
    for function in rest:
        more = function(*args)
        if more is not None:
            await more
