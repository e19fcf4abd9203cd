"""The one guard before every socket: which hosts may be spoken to.

Rules:

- Loopback is what is written as such: a literal address of 127.0.0.0/8, ::1, or the name localhost. Other spellings that a resolver
  may map there (127.1, 0x7f.1, 0.0.0.0, a name of one's own) have to be allowed by name (``--allow-host``).
- `guard` decides by the text of the host alone, before any name is looked up or any socket is opened.
- A host that begins with a slash is the path of a Unix socket, which is on this machine; it stands wherever a host's name does.
- `resolved` looks a name up and decides by what it leads to as well: localhost must be loopback, and an allowed name may not lead
  to link-local, multicast or unspecified addresses (a cloud's metadata service is one), unless that address is allowed itself.
- `enforce` makes both hold for a whole process, whatever library opens the socket: Python's audit hooks see every lookup and every
  connection. The command line and every worker process call it first; a program that only imports `chaosbot` is left alone.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from chaosbot.core.errors import TargetRefused

_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""One result of `socket.getaddrinfo`."""


class ConnectionRefusedByGuard(TargetRefused, PermissionError):
    """A socket was about to reach a host that nobody allowed; libraries see the system's own kind of error."""


def _bare(host: str) -> str:
    return host.strip("[]").lower()


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_socket(host: str) -> bool:
    """Whether a host is the path of a Unix socket."""
    return host.startswith("/")


def look_up(host: str, port: int) -> list[AddressInfo]:
    """The addresses of a host, a Unix socket's included.

    Raises:
        OSError: No such host.
    """
    if is_socket(host):
        return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", host)]
    found: list[AddressInfo] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[assignment]
    return found


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its text alone."""
    name = _bare(host)
    address = _literal(name)
    return (
        is_socket(host)
        or name == "localhost"
        or (address is not None and any(address in network for network in _LOOPBACK))
    )


def is_allowed(host: str, allow: Iterable[str], port: int | None = None) -> bool:
    """Whether an entry of the allow-list names the host: a name, an address, ``host:port``, or a glob over either."""
    name = _bare(host)
    address = _literal(name)
    for entry in allow:
        other = _bare(entry)
        if name == other or fnmatchcase(name, other) or (address is not None and address == _literal(other)):
            return True
        if port is not None and fnmatchcase(f"{name}:{port}", entry.lower()):
            return True
    return False


def guard(host: str, allow: Iterable[str] = (), *, port: int | None = None, where: str = "") -> None:
    """Lets loopback and explicitly allowed hosts pass, and nothing else.

    Args:
        host: The host as it was written.
        allow: Hosts that may be spoken to besides loopback.
        port: The port, where entries may name one.
        where: What the message begins with: the option or key that named the host.

    Raises:
        TargetRefused: Anything else; nothing was looked up or sent.
    """
    if is_loopback(host) or is_allowed(host, allow, port):
        return
    raise TargetRefused(
        f"{where}{': ' if where else ''}{host}: not sent anything; only loopback targets (127.0.0.0/8, ::1, localhost) are "
        f"allowed unasked; if this system is yours to break, add --allow-host {host}"
    )


def resolved(host: str, port: int, allow: Sequence[str] = ()) -> list[AddressInfo]:
    """Looks up a host that passes `guard`, and refuses addresses that it may not lead to.

    Raises:
        TargetRefused: The host is not allowed, or it leads somewhere that is not.
        OSError: No such host.
    """
    guard(host, allow, port=port)
    found = look_up(host, port)
    for *_, place in found:
        _check_lead(host, str(place[0]), allow, port)
    return found


def _check_lead(host: str, address: str, allow: Iterable[str], port: int | None) -> None:
    """Refuses an address that a name may not lead to."""
    literal = _literal(address.partition("%")[0])
    if literal is None or is_loopback(str(literal)) or is_allowed(str(literal), _literals(allow), port):
        return
    if not is_allowed(host, allow, port):
        raise ConnectionRefusedByGuard(
            f"{host}: leads to {address}, which is not this machine; not sent anything; check the name, or add --allow-host {address}"
        )
    if literal.is_link_local or literal.is_multicast or literal.is_unspecified:
        raise ConnectionRefusedByGuard(
            f"{host}: leads to {address}, which no service of yours has; not sent anything; if it is meant, add --allow-host {address}"
        )


def _literals(allow: Iterable[str]) -> list[str]:
    """The entries that are addresses themselves: a glob over names does not allow the addresses behind them."""
    return [entry for entry in allow if _literal(_bare(entry)) is not None]


class _Process:
    """What holds for this process, once `enforce` was called."""

    def __init__(self) -> None:
        self.allow: set[str] = set()
        self.own: set[str] = set()
        self.leads: set[str] = set()
        self.look_up = socket.getaddrinfo
        self.enforced = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Sees every audit event of the interpreter; most of them are none of its business."""
        if event not in _EVENTS or not self.enforced:
            return
        if event == "socket.connect" or event.startswith("socket.send"):
            self._connecting(arguments[1])
        else:
            self._looking_up(arguments[0])

    def _looking_up(self, host: object) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(name, str) or not name or _literal(_bare(name)) is not None:
            return  # nothing is asked of a resolver
        if _bare(name) not in self.own:
            self._guard(name, None)

    def _connecting(self, place: object) -> None:
        if not isinstance(place, tuple):
            return  # a Unix socket, or a stream that is connected already
        host, port = str(place[0]), place[1]
        if _literal(_bare(host.partition("%")[0])) is None:
            self._looking_up(host)
        elif host not in self.leads:
            self._guard(host.partition("%")[0], port)

    def _guard(self, host: str, port: int | None) -> None:
        # A name's port is not known when it is looked up; entries with a port are asked without it.
        names = self.allow if port is not None else {*self.allow, *(entry.rpartition(":")[0] for entry in self.allow)}
        try:
            guard(host, names, port=port)
        except TargetRefused as error:
            raise ConnectionRefusedByGuard(str(error)) from None

    def getaddrinfo(self, host: Any, *arguments: Any, **options: Any) -> Any:
        """`socket.getaddrinfo`, remembering where allowed names lead, so that connections there pass."""
        if isinstance(host, str) and is_socket(host):
            return look_up(host, 0)
        found = self.look_up(host, *arguments, **options)
        if isinstance(host, str) and host and _literal(_bare(host)) is None and _bare(host) not in self.own:
            for *_, place in found:
                _check_lead(host, str(place[0]), self.allow | {host} if not is_loopback(host) else self.allow, None)
                self.leads.add(str(place[0]))
        return found


_EVENTS: Final = frozenset(
    {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"}
)
_process: Final = _Process()


def enforce(allow: Iterable[str] = ()) -> None:
    """From now on no socket of this process reaches anything but loopback and these hosts; calls add up.

    It holds for as long as the process lives. What is refused fails as a connection does, with `ConnectionRefusedByGuard`.
    """
    _process.allow.update(allow)
    if not _process.enforced:
        _process.enforced = True
        sys.addaudithook(_process.hook)
        socket.getaddrinfo = _process.getaddrinfo


def permit(allow: Iterable[str]) -> None:
    """Adds hosts to those that this process may reach; does nothing where the guard is not enforced."""
    if _process.enforced:
        _process.allow.update(allow)


def permit_listening(host: str) -> None:
    """Lets this process look up the name of an address of its own that it is to listen on."""
    _process.own.add(_bare(host))
