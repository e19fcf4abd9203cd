"""A served mock of language models, alone or behind a proxy with faults, and what was seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from chaosbot.addons.proxy import Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.event import Event, ModelCalled, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.mock import Mock
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.session.listeners import launched, outbound_listeners

E = TypeVar("E", bound=Event)


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


@dataclass
class Behind:
    """Upstreams behind a proxy, and everything that was seen."""

    proxy: Proxy
    events: list[Event]

    def url(self, name: str = "llm") -> str:
        return self.proxy.url(Direction.OUTBOUND, name)

    def all(self, kind: type[E], count: int = 1) -> list[E]:
        """The events of a kind, when there are so many of them: those of two processes come by two ways."""
        until = time.monotonic() + 20
        while True:
            self.proxy.flush()
            found = [event for event in self.events if isinstance(event, kind)]
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.01)


@contextmanager
def behind_proxy(outbound: str, *faults: str, allow: tuple[str, ...] = ()) -> Iterator[Behind]:
    """The upstreams behind a proxy whose plan holds these faults."""
    events: list[Event] = []
    plan = plan_of([parse_fault(text) for text in faults])
    listeners = outbound_listeners(outbound, "telegram", ("127.0.0.1", 0), allow)
    spec = ProxySpec(listeners, 7, plan, platform="telegram", started=time.monotonic())
    with launched(spec, events.append) as proxy:
        proxy.ready()
        yield Behind(proxy, events)
        proxy.flush()
    assert [event for event in events if isinstance(event, Trouble)] == []
