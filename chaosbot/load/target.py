"""Where the load goes: address, TLS, timeouts; and the look before the first request.

Names are resolved once, before the start: a resolver in the hot path would measure the resolver.
"""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.errors import TargetRefused, TargetUnusable, UsageError
from chaosbot.transport import USUAL_TLS, Address, Tls, client_context, resolved

SPARE_DESCRIPTORS: Final = 64
"""Descriptors that the process needs beside its connections: journal, epoll, pipes, the terminal."""


@dataclass(frozen=True)
class LoadTarget:
    """A resolved address.

    Args:
        family: Of the address.
        address: What `connect` takes.
        name: ``host:port`` as people read it.
        server_name: Whose certificate is expected.
        tls: How to speak TLS; None for plain HTTP.
        connect_timeout_s: Most seconds for connection and handshake.
        timeout_s: Most seconds from a request's start to the end of its answer.
    """

    family: int
    address: Any
    name: str
    server_name: str
    tls: ssl.SSLContext | None
    connect_timeout_s: float
    timeout_s: float

    @property
    def connecting_s(self) -> float:
        """How long a request may wait for its connection."""
        return min(self.connect_timeout_s, self.timeout_s)

    @classmethod
    def resolve(
        cls,
        url: str,
        *,
        tls: Tls = USUAL_TLS,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 30.0,
        allow: Sequence[str] = (),
    ) -> LoadTarget:
        """Reads the URL and looks its host up.

        Raises:
            ConfigError: No http(s) URL.
            TargetRefused: The host is not allowed, or leads somewhere that is not.
            TargetUnusable: No such host.
        """
        place = Address.parse(url)
        try:
            family, _, _, _, address = resolved(place.host, place.port, allow)[0]
        except TargetRefused:
            raise
        except OSError as error:
            raise TargetUnusable(f"{url}: no address for '{place.host}' ({error.strerror}); check the name") from None
        return cls(
            family,
            address,
            place.host if place.on_socket else f"{place.host}:{place.port}",
            place.server_name,
            client_context(tls) if place.tls else None,
            connect_timeout_s,
            timeout_s,
        )

    def knock(self) -> None:
        """Connects once, so that a target that is not there is one clear line instead of a million errors.

        Raises:
            TargetUnusable: It refused, did not answer in time, or its TLS is none.
        """
        connected = False
        try:
            with socket.socket(self.family, socket.SOCK_STREAM) as knocking:
                knocking.settimeout(self.connect_timeout_s)
                knocking.connect(self.address)
                connected = True
                if self.tls is not None:
                    with self.tls.wrap_socket(knocking, server_hostname=self.server_name):
                        pass
        except TimeoutError:
            if connected:
                raise TargetUnusable(
                    f"{self.name}: connected, but no TLS handshake within {self.connect_timeout_s:g} s; is it plain http?"
                ) from None
            raise TargetUnusable(
                f"{self.name}: no connection within {self.connect_timeout_s:g} s; is the target running, and reachable from here?"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise TargetUnusable(
                f"{self.name}: its certificate is not trusted ({error.verify_message}); name its authority (--ca FILE), or take any (--insecure)"
            ) from None
        except ssl.SSLError as error:
            raise TargetUnusable(f"{self.name}: speaks no TLS ({error.reason}); is it plain http?") from None
        except OSError as error:
            raise TargetUnusable(
                f"{self.name}: cannot connect ({error.strerror or error}); start the target or correct the URL; nothing was sent"
            ) from None


def reserve_descriptors(connections: int) -> int:
    """Makes room for so many connections, raising the soft limit as far as the hard one allows.

    Returns:
        How many connections the limit has room for.

    Raises:
        UsageError: The hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = connections + SPARE_DESCRIPTORS
    unlimited = resource.RLIM_INFINITY
    if hard not in {unlimited, -1} and hard < need:
        raise UsageError(
            f"{connections} connections need {need} file descriptors, this process may have {hard}; "
            f"raise the limit (ulimit -n {need}, or LimitNOFILE in systemd) or use fewer users"
        )
    if soft != unlimited and soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need if hard in {unlimited, -1} else hard, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (1 << 20 if soft == unlimited else soft) - SPARE_DESCRIPTORS
