"""A proxy as a process, and a server behind it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET = "correct-horse-battery"
POST = b"POST /hook/%d HTTP/1.1\r\nHost: x\r\nX-Secret: " + SECRET.encode() + b"\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives every request with the body ``{}`` this answer; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(sock: socket.socket) -> None:
        data = b""
        while piece := sock.recv(65536):
            data += piece
            while b"\r\n\r\n{}" in data:
                data = data.partition(b"\r\n\r\n{}")[2]
                sock.sendall(answer)
        sock.close()

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def proxied(service: str, directory: Path, *options: str, secret: str = SECRET) -> Iterator[str]:
    """A proxy on the command line; its URL."""
    command = [sys.executable, "-m", "chaosbot", "proxy", service, "--listen", "127.0.0.1:0", "--out", str(directory)]
    environment = {**os.environ, "TELEGRAM_SECRET_TOKEN": secret, "COLUMNS": "200"}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        seen = ""
        try:
            for line in process.stdout:
                seen += line
                if found := re.search(r"listening on (http://\S+)", line):
                    break
            else:
                raise AssertionError(seen)
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(60) in (0, 3), seen + rest
