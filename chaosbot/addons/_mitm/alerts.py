"""TLS alerts of upstreams, so that a refused connection is reported at once and by its reason.

In TLS 1.3 a server says only after the handshake that it wants a client certificate; mitmproxy logs that alert and goes on waiting
for an answer. This addon ends the connection when a fatal alert comes and remembers what it said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from OpenSSL import SSL

if TYPE_CHECKING:
    from mitmproxy.connection import Server

    from chaosbot.addons._mitm.connection import Connection, OwnCarrier

_FATAL: Final = 2
# RFC 8446, section 6.
_NAMES: Final = {
    10: "unexpected message",
    20: "bad record MAC",
    40: "handshake failure",
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown CA",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
    112: "unrecognized name",
    116: "certificate required",
    120: "no application protocol",
}
_ABOUT_OUR_CERTIFICATE: Final = frozenset({40, 42, 43, 44, 45, 46, 48, 49, 116})


class AlertWatch:
    """Listens for alerts on TLS connections to upstreams.

    Args:
        connections: The open connections by their client's id.
    """

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections
        self._watched: WeakKeyDictionary[SSL.Connection, tuple[str, Any]] = WeakKeyDictionary()

    def tls_start_server(self, data: Any) -> None:
        """A handshake with an upstream begins; mitmproxy has made its TLS connection."""
        if data.ssl_conn is not None:
            self._watched[data.ssl_conn] = (data.context.client.id, data.conn)
            # pyOpenSSL 26.2 refuses to change a context that has connections; before 25.2 only contexts have the callback.
            has_own = hasattr(data.ssl_conn, "set_info_callback")
            (data.ssl_conn if has_own else data.ssl_conn.get_context()).set_info_callback(self._told)

    def _told(self, connection: SSL.Connection, where: int, code: int) -> None:
        level, alert = code >> 8, code & 0xFF
        if not where & SSL.SSL_CB_ALERT or not where & SSL.SSL_CB_READ or level != _FATAL:
            return
        client, server = self._watched.get(connection, ("", None))
        carrier = getattr(self._connections.get(client), "carrier", None)
        if carrier is not None:
            hint = "; give the proxy a certificate by --upstream-cert" if alert in _ABOUT_OUR_CERTIFICATE else ""
            carrier.reasons[server] = f"TLS alert from the upstream: {_NAMES.get(alert, alert)}{hint}"
            # Not from within OpenSSL.
            asyncio.get_running_loop().call_soon(_end, connection, carrier, server)


def _end(connection: SSL.Connection, carrier: OwnCarrier, server: Server) -> None:
    # OpenSSL takes a fatal alert for an end in good order, and mitmproxy then believes that it has passed the end on.
    connection.set_shutdown(connection.get_shutdown() & ~SSL.RECEIVED_SHUTDOWN)
    carrier.close(server)
