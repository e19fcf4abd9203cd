"""`chaosbot proxy --replay` as a process: the same faults happen to the same exchanges, in whatever order they come."""

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

import pytest

from chaosbot.transport import Address, Connection

POST = b"POST /hook/%d HTTP/1.1\r\nHost: x\r\nX-Secret: correct-horse-battery\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A server that answers every request with 200."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(sock: socket.socket) -> None:
        data = b""
        while piece := sock.recv(65536):
            data += piece
            while b"\r\n\r\n{}" in data:
                data = data.partition(b"\r\n\r\n{}")[2]
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        sock.close()

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@contextmanager
def proxied(service: str, directory: Path, *options: str) -> Iterator[str]:
    """A proxy on the command line; its URL."""
    command = [sys.executable, "-m", "chaosbot", "proxy", service, "--listen", "127.0.0.1:0", "--out", str(directory)]
    environment = {**os.environ, "TELEGRAM_SECRET_TOKEN": "correct-horse-battery", "COLUMNS": "200"}
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


def statuses(url: str, order: list[int]) -> dict[int, int | None]:
    with Connection(Address.parse(url)) as connection:
        return {number: connection.exchange(POST % number).status for number in order}


def test_a_recorded_run_happens_again_to_the_same_exchanges(service: str, tmp_path: Path) -> None:
    faults = ("--fault", "abort:503;p=0.5;path=/hook/*", "--fault", "abort:502;every=7", "--seed", "7")
    with proxied(service, tmp_path / "first", *faults) as url:
        first = statuses(url, list(range(20)))
    assert set(first.values()) == {200, 502, 503}
    with proxied(service, tmp_path / "second", "--replay", str(tmp_path / "first")) as url:
        again = statuses(url, list(reversed(range(20))))
    assert again == first


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--replay", "{tmp}/none"), "name one that a run wrote"),
        (("--replay", "{tmp}", "--fault", "abort:503"), "brings its own plan"),
    ],
)
def test_what_cannot_be_replayed_is_said_at_once(
    service: str, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    command = [sys.executable, "-m", "chaosbot", "proxy", service, "--listen", "127.0.0.1:0", "--duration", "1s"]
    filled = [option.format(tmp=tmp_path) for option in options]
    ran = subprocess.run(
        [*command, *filled],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "300"},
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert why in " ".join((ran.stdout + ran.stderr).split())
