"""One control API in its real process, an upstream beside it, and raw sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from chaosbot.control.server import ControlServer
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event

DEADLINE = 30.0  # nothing takes so long unless it hangs


class Holder:
    """A plan holder that takes any plan but a broken one."""

    def __init__(self) -> None:
        self.plan: dict[str, Any] = {"rules": []}

    def read(self) -> dict[str, Any]:
        return self.plan

    def replace(self, plan: dict[str, Any]) -> None:
        for rule in plan.get("rules", []):
            if not rule.get("fault"):
                raise ConfigError("rules[0].fault", "missing; every rule needs a fault; name one")
        self.plan = plan


class Api:
    """The API with what came out of it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.holder = Holder()
        self.server = ControlServer(
            "127.0.0.1", 0, 11, self.events.append, self.holder, metrics=lambda: "chaosbot_more 1\n"
        )
        self.server.start()
        self.http = httpx.Client(base_url=self.server.url, timeout=DEADLINE)

    def clear(self) -> None:
        for name in self.http.get("/proxies").json():
            self.http.delete(f"/proxies/{name}")


@pytest.fixture(scope="session")
def shared_api() -> Iterator[Api]:
    api = Api()
    yield api
    api.http.close()
    api.server.stop()


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    yield shared_api
    shared_api.clear()


@pytest.fixture
def http(api: Api) -> httpx.Client:
    return api.http


@pytest.fixture(scope="session")
def echo() -> Iterator[str]:
    """The address of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve(conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            while data := conn.recv(65536):
                conn.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str], socket.socket]]:
    """Connects to what a proxy says it listens on; sockets cannot hang and are closed at the end."""
    made: list[socket.socket] = []

    def make(listen: str) -> socket.socket:
        host, _, port = listen.rpartition(":")
        made.append(socket.create_connection((host, int(port)), timeout=DEADLINE))
        return made[-1]

    yield make
    for each in made:
        each.close()
