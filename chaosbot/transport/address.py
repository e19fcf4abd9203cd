"""Where a target is. An address is parsed once, where a person's text comes in; after that nothing looks at URLs again."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from chaosbot.core.errors import ConfigError, TargetRefused, TargetUnusable, shown
from chaosbot.core.units import MOST_PORT, format_duration
from chaosbot.transport.access import guard, is_socket, resolved

UNIX: Final = "unix:"
"""What stands in a URL instead of a host before the path of a Unix socket."""
_SCHEMES: Final = {"http": False, "https": True, "ws": False, "wss": True}


def bracketed(host: str) -> str:
    """A host as URLs carry it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Tls:
    """How TLS is spoken with a target.

    Args:
        verify: Whether its certificate is checked.
        ca_file: PEM file of the authorities that are trusted instead of the system's; empty for those.
        cert_file: PEM file of the client's own certificate; empty for none.
        key_file: PEM file of its key; empty where `cert_file` holds it too.
    """

    verify: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


USUAL_TLS: Final = Tls()


@dataclass(frozen=True, slots=True)
class Address:
    """A target's place.

    Args:
        host: Name or literal address, without brackets; the path of a Unix socket.
        port: TCP port.
        tls: Whether it is spoken to over TLS.
        path: Path with query, as it stands in the request line.
        trust: How TLS is spoken there.
    """

    host: str
    port: int
    tls: bool = False
    path: str = "/"
    trust: Tls = USUAL_TLS

    @classmethod
    def parse(cls, url: str, *, where: str = "TARGET") -> Address:
        """Reads ``http://127.0.0.1:8000/webhook`` (or https, ws, wss), or ``http://unix:/run/bot.sock:/webhook`` as nginx writes it.

        Raises:
            ConfigError: No such URL; the message names the rule and shows what to write.
        """
        example = "write for example http://127.0.0.1:8000/webhook"
        if any(character <= " " or character == "\x7f" for character in url):
            raise ConfigError(where, f"{shown(url)} holds blanks or control characters; a URL has none; {example}")
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError as error:
            raise ConfigError(where, f"{shown(url)} is not a URL ({error}); {example}") from None
        try:
            port = parts.port
        except ValueError:
            raise ConfigError(
                where, f"{shown(url)} has a port that is none; ports go from 1 to {MOST_PORT}; {example}"
            ) from None
        if parts.scheme not in _SCHEMES or not parts.netloc:
            raise ConfigError(where, f"{shown(url)} has no scheme of http, https, ws or wss; {example}")
        if not host:
            raise ConfigError(where, f"{shown(url)} names no host; {example}")
        if parts.username is not None or parts.password is not None:
            raise ConfigError(
                where, "the URL carries a user name or password; it would end in reports; use a header by --secret-env"
            )
        if parts.fragment:
            raise ConfigError(where, f"{shown(url)} has a fragment; it never reaches a server; leave '#…' out")
        if port == 0:
            raise ConfigError(where, f"{shown(url)} has port 0; nothing listens there; {example}")
        try:
            host = host.encode("idna").decode() if not host.isascii() else host
        except UnicodeError:
            raise ConfigError(where, f"{shown(url)} names no possible host; {example}") from None
        tls, path = _SCHEMES[parts.scheme], parts.path
        if parts.netloc == UNIX:
            host, _, path = path.partition(":")
            host = unquote(host)
            if not is_socket(host):
                raise ConfigError(
                    where, f"{shown(url)} names no socket; write for example http://unix:/run/bot.sock:/webhook"
                )
        path = (path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii():
            raise ConfigError(where, f"{shown(url)} has a path outside ASCII; percent-encode it")
        return cls(host, port or (443 if tls else 80), tls, path)

    def over(self, tls: Tls) -> Address:
        """The same place, spoken to with this TLS."""
        return replace(self, trust=tls)

    @property
    def on_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return is_socket(self.host)

    @property
    def server_name(self) -> str:
        """The name that requests and certificates go by."""
        return "localhost" if self.on_socket else self.host

    @property
    def authority(self) -> str:
        """The Host header's value: the port is left out where the scheme implies it."""
        host = bracketed(self.server_name)
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The address as requests name it: scheme and authority."""
        return f"http{'s' if self.tls else ''}://{self.authority}"

    @property
    def url(self) -> str:
        """The address as a person writes it."""
        if self.on_socket:
            return f"http{'s' if self.tls else ''}://{UNIX}{quote(self.host)}:{self.path}"
        return f"{self.origin}{self.path}"


def checked_address(url: str, allow: Sequence[str] = (), *, where: str = "TARGET") -> Address:
    """Reads a URL of an option or a file and refuses hosts that may not be spoken to; looks nothing up.

    Raises:
        ConfigError: No such URL.
        TargetRefused: Neither loopback nor allowed.
    """
    address = Address.parse(url, where=where)
    guard(address.host, allow, port=address.port, where="" if where == "TARGET" else where)
    return address


def require_reachable(address: Address, allow: Sequence[str] = (), *, timeout_s: float = 5.0) -> None:
    """Makes sure that something listens there, by one connection that says nothing.

    Raises:
        TargetRefused: The host is not allowed, or leads somewhere that is not.
        TargetUnusable: Nothing listens there; the message says what to start.
    """
    what = "the name does not resolve"
    try:
        for family, kind, proto, _, place in resolved(address.host, address.port, allow):
            with socket.socket(family, kind, proto) as sock:
                sock.settimeout(timeout_s)
                try:
                    sock.connect(place)
                except TargetRefused:
                    raise
                except TimeoutError:
                    what = f"no connection within {format_duration(timeout_s)}"
                except OSError as error:
                    what = (error.strerror or str(error)).lower()
                else:
                    return
    except TargetRefused:
        raise
    except (OSError, UnicodeError):
        what = "the name does not resolve"
    raise TargetUnusable(
        f"{address.url}: {what}; the target must listen; start it, or check host and port "
        "(run, load and fuzz without TARGET test the embedded demo)"
    )
