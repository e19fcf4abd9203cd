"""A served mock of language models, and what it saw."""

from __future__ import annotations

import time

from chaosbot.core.event import Event, ModelCalled
from chaosbot.core.mock import Mock
from chaosbot.mocks.server import MockListener, MockServer


class Models:
    """A running mock: where it is, and what it saw."""

    def __init__(self, mock: Mock) -> None:
        self.events: list[Event] = []
        self.server = MockServer((MockListener(mock),), self.events.append, time.monotonic(), seed=7)

    @property
    def url(self) -> str:
        return self.server.url

    def calls(self) -> list[ModelCalled]:
        self.server.sync()
        return [event for event in self.events if isinstance(event, ModelCalled)]
