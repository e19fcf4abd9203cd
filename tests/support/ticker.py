"""A mock whose answers are streams, which the registry of this package knows nothing of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.effect import Farewell
from chaosbot.core.mock import Mock, MockAnswer, MockApi, MockRequest, MockServices, Part

SSE = (("content-type", "text/event-stream"),)


@dataclass(frozen=True)
class Ticker(Mock):
    """Ticks thrice, a pause before each tick; ``/fin`` and ``/rst`` break off instead of ending, ``/broken`` raises."""

    streams: ClassVar[bool] = True
    most_body: ClassVar[int] = 100
    delay_s: float = 0.05

    def api(self, services: MockServices) -> MockApi:
        """One ticker."""
        del services
        return _Ticker(self.delay_s)


class _Ticker(MockApi):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def answer(self, request: MockRequest) -> MockAnswer:
        if request.path == "/broken":
            raise ZeroDivisionError("division by zero")
        parts = tuple(Part(b"data: %d\n\n" % number, self._delay_s) for number in range(3))
        end = {"/fin": Farewell.FIN, "/rst": Farewell.RST}.get(request.path)
        return MockAnswer(200, SSE, parts, end=end)
