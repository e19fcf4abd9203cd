"""One TCP connection, plain or TLS, that never blocks longer than it was told to.

TLS runs over memory buffers instead of `ssl.SSLSocket`, because that one reports a reset as an ordinary end of the stream,
and because segments, half-closes and resets have to reach the socket exactly when a case says so.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Final

from chaosbot.core.errors import ConfigError
from chaosbot.core.outcome import Fate
from chaosbot.files import regular
from chaosbot.transport.access import look_up
from chaosbot.transport.address import Address, Tls

_PIECE: Final = 1 << 16
_LINGER_NOT: Final = struct.pack("ii", 1, 0)
# Failures of this machine, not of the target: no more descriptors, memory or local ports.
_OWN_LIMITS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
_RESETS: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN})


class LinkFailed(Exception):
    """The connection came to an end that is a fate; never leaves this package."""

    def __init__(self, fate: Fate, detail: str) -> None:
        self.fate = fate
        self.detail = detail
        super().__init__(detail)


def explain(error: OSError) -> str:
    """An OS error in one line."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return f"{name}: {error.strerror or error}"


def failed(error: OSError, otherwise: Fate) -> LinkFailed:
    """The fate that an OS error on a socket means."""
    if error.errno in _OWN_LIMITS:
        return LinkFailed(Fate.CANCELLED, f"a limit of this machine, not of the target: {explain(error)}")
    if error.errno == errno.ETIMEDOUT:
        return LinkFailed(Fate.TIMEOUT, explain(error))
    return LinkFailed(Fate.RESET if error.errno in _RESETS else otherwise, explain(error))


@lru_cache(maxsize=8)
def client_context(tls: Tls) -> ssl.SSLContext:
    """How a client speaks TLS.

    Raises:
        ConfigError: A file that holds nothing of the kind.
    """
    try:
        context = ssl.create_default_context(cafile=_pem(tls.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            tls.ca_file, f"holds no certificates in PEM form ({error}); give a CA file that does"
        ) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if _pem(tls.cert_file):
        try:
            # Without a password: an encrypted key would ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, _pem(tls.key_file), password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"--cert {tls.cert_file}",
                f"holds no certificate with its unencrypted key in PEM form ({error}); --key names the key's file",
            ) from None
    return context


def _pem(name: str) -> str | None:
    """The name of a file for OpenSSL, which would wait for a pipe for ever; None where there is none."""
    return str(regular(Path(name), remedy="name a PEM file")) if name else None


class Link:
    """An open connection.

    `flush` writes what is queued as far as the socket takes it, `receive` returns what is there (None: nothing now, empty:
    the peer closed). Both raise `LinkFailed` on a reset.
    """

    __slots__ = ("_buffer", "_in", "_out", "_poll", "_tls", "connected_s", "sock")

    def __init__(self, sock: socket.socket, connected_s: float = 0.0) -> None:
        self.sock = sock
        self.connected_s = connected_s
        self._buffer = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._poll = select.poll()
        self._poll.register(sock, 0)

    @classmethod
    def open(cls, address: Address, timeout_s: float) -> Link:
        """Connects, with TLS where the address says so.

        Raises:
            LinkFailed: Refused, unreachable, too late, or no handshake.
            ConfigError: The address's CA file is unusable.
        """
        began = monotonic()
        deadline = began + timeout_s
        context = client_context(address.trust) if address.tls else None
        link = cls(_connect(address, deadline))
        if context is not None:
            try:
                link._handshake(context, address.server_name, deadline)
            except BaseException:
                link.close()
                raise
        link.connected_s = monotonic() - began
        return link

    def _handshake(self, context: ssl.SSLContext, host: str, deadline: float) -> None:
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        try:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self.flush()
                    _, writable = self.wait(deadline, write=self.unsent > 0)
                    if writable:
                        continue
                    if monotonic() >= deadline:
                        raise LinkFailed(Fate.CONNECT_TIMEOUT, "no TLS handshake in time") from None
                    if self._pull() == b"":
                        raise LinkFailed(Fate.TLS, "closed in the TLS handshake") from None
                else:
                    break
            self.flush()
        except ssl.SSLError as error:
            raise LinkFailed(Fate.TLS, str(error)) from None
        except LinkFailed as error:
            if error.fate is Fate.RESET:
                raise LinkFailed(Fate.TLS, f"reset in the TLS handshake ({error.detail})") from None
            raise

    @property
    def unsent(self) -> int:
        """Bytes queued that the socket has not taken yet."""
        return len(self._buffer) + self._out.pending

    def queue(self, data: bytes) -> None:
        """Queues bytes; `flush` sends them."""
        if self._tls is None:
            self._buffer += data
        else:
            view = memoryview(data)
            for start in range(0, len(view), _PIECE):
                self._tls.write(view[start : start + _PIECE])

    def flush(self) -> bool:
        """Sends what the socket takes now; True when nothing is left."""
        if self._out.pending:
            self._buffer += self._out.read()
        while self._buffer:
            try:
                with memoryview(self._buffer) as view:
                    sent = self.sock.send(view[: 1 << 20])
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                raise failed(error, Fate.CLOSED) from None
            del self._buffer[:sent]
        return True

    def _pull(self) -> bytes | None:
        try:
            data = self.sock.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise failed(error, Fate.CLOSED) from None
        if self._tls is not None:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()
        return data

    def receive(self) -> bytes | None:
        """What is there: bytes, None for nothing now, empty for the end of the stream."""
        if self._tls is None:
            return self._pull()
        pulled = self._pull()
        pieces = []
        try:
            while piece := self._tls.read(_PIECE):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            if not pieces:
                # No whole record yet; an end of the stream without close_notify is an end all the same.
                return b"" if pulled == b"" else None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        except ssl.SSLError as error:
            raise LinkFailed(Fate.PROTOCOL, f"TLS: {error}") from None
        return b"".join(pieces)

    def wait(self, until: float, *, read: bool = True, write: bool = False) -> tuple[bool, bool]:
        """Waits until the socket is readable or writable or the time has come; says which."""
        self._poll.modify(self.sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
        left = max(0.0, until - monotonic())
        events = 0
        for _, seen in self._poll.poll(left * 1000 if left < 1e6 else None):
            events |= seen
        broken = bool(events & (select.POLLERR | select.POLLHUP))
        return bool(events & select.POLLIN) or (broken and read), bool(events & select.POLLOUT) or (broken and write)

    def gone(self, until: float) -> Fate | None:
        """Waits, reading nothing, for the peer's end; None when it kept the connection until then."""
        rdhup: int = getattr(select, "POLLRDHUP", 0)
        poll = select.poll()
        poll.register(self.sock, rdhup)
        left = max(0.0, until - monotonic())
        events = 0
        for _, seen in poll.poll(left * 1000):
            events |= seen
        if events & (select.POLLERR | select.POLLHUP):
            return Fate.RESET
        return Fate.CLOSED if rdhup and events & rdhup else None

    def half_close(self) -> None:
        """Says that nothing more comes, and still reads."""
        if self._tls is not None:
            with suppress(ssl.SSLError):  # the peer has not answered our close_notify yet, which is not needed here
                self._tls.unwrap()
            self.flush()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise failed(error, Fate.CLOSED) from None

    def reset(self) -> None:
        """A real RST."""
        with suppress(OSError):  # the peer was faster; there is nothing left to reset
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self.sock.close()


def _connect(address: Address, deadline: float) -> socket.socket:
    """Tries the host's addresses in turn."""
    try:
        found = look_up(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise LinkFailed(Fate.REFUSED, f"{address.host} does not resolve: {error}") from None
    last = LinkFailed(Fate.REFUSED, f"{address.host} has no address")
    for family, kind, proto, _, where in found:
        try:
            sock = socket.socket(family, kind, proto)
        except OSError as error:
            last = failed(error, Fate.REFUSED)
            continue
        try:
            sock.settimeout(max(deadline - monotonic(), 0.001))
            sock.connect(where)
            sock.setblocking(False)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            late = isinstance(error, TimeoutError)
            last = LinkFailed(Fate.CONNECT_TIMEOUT, "no connection in time") if late else failed(error, Fate.REFUSED)
    raise last
