"""Servers on raw sockets that do exactly what a test says, plain or over TLS."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chaosbot.transport import Address
from tests.support.tls import bundle

Handler = Callable[[socket.socket], None]
Serve = Callable[..., Address]


def until(sock: socket.socket, mark: bytes) -> bytes:
    """Reads until a mark has come (or the end)."""
    data = b""
    while mark not in data:
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return data


def reset(sock: socket.socket) -> None:
    """Ends a connection by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers; each connection runs the handler in a thread of its own."""
    listeners: list[socket.socket] = []
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(handler: Handler, *, context: ssl.SSLContext | None = None, path: str = "/", **more: object) -> Address:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def one(sock: socket.socket) -> None:
            with suppress(OSError):
                if context is not None:
                    sock = context.wrap_socket(sock, server_side=True)
                    open_sockets.append(sock)
                handler(sock)
            with suppress(OSError):
                sock.close()

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                open_sockets.append(sock)
                thread = threading.Thread(target=one, args=(sock,), daemon=True)
                threads.append(thread)
                thread.start()

        thread = threading.Thread(target=accept, daemon=True)
        threads.append(thread)
        thread.start()
        return Address("127.0.0.1", listener.getsockname()[1], tls=context is not None, path=path, **more)

    yield start
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for sock in open_sockets:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    return bundle(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    """A server's TLS context with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
