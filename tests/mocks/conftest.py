"""A running mock with its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from chaosbot.core.event import Event
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.mocks.telegram import Script, TelegramApi

Start = Callable[..., "Running"]
TOKEN = "4242424242:AAF-thirty-five-characters-of-token-x"


class Running(MockServer):
    """The server, with what it emitted."""

    def __init__(self, *scripts: Script) -> None:
        self.events: list[Event] = []
        super().__init__((MockListener(TelegramApi(scripts)),), self.events.append, monotonic())

    def calls(self) -> list[Any]:
        """All events of calls answered so far."""
        self.sync()
        return list(self.events)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts mocks and stops them."""
    running: list[Running] = []

    def one(*scripts: Script) -> Running:
        server = Running(*scripts)
        server.start()
        running.append(server)
        return server

    yield one
    for server in running:
        server.stop()
