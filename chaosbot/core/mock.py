"""What a mock is: an API that stands in for one that the target calls, so that its calls meet faults and are seen.

Rules:

- A `Mock` is an entry of the registry: a frozen dataclass with its options. `Mock.api` makes the API that answers; each worker
  process has one of its own.
- A `MockApi` is colourless and synchronous: a request in, an answer out. It opens no socket and waits for nothing; what is to take
  time is said by the answer (`MockAnswer.hold_s`).
- Faults stand in front of a mock, never inside: it answers as the real API would on a good day.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.core.event import Event
from chaosbot.core.registry import Registry, name_of

Headers = tuple[tuple[str, str], ...]
"""Names and values as they came, in order."""


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """What goes back to the target.

    Args:
        status: HTTP status.
        headers: Headers without Content-Length and Transfer-Encoding: the transport frames the body.
        body: The body.
        hold_s: How long the real server would have waited before it answers (long polling), in seconds.
    """

    status: int
    headers: Headers
    body: bytes
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MockServices:
    """What a mock gets from its worker.

    Args:
        now: Seconds since the run started.
        emit: Takes the events of the run; a call that checks shall see is an `ApiCalled`.
        ids: Rising numbers that no other worker of the run uses.
    """

    now: Callable[[], float]
    emit: Callable[[Event], None]
    ids: Iterator[int]


class MockApi(ABC):
    """One API that answers."""

    @abstractmethod
    def answer(self, method: str, path: str, headers: Headers, body: bytes, *, exchange: str = "") -> MockAnswer:
        """Answers one request.

        Args:
            method: The HTTP method.
            path: Path with query.
            headers: The request's headers, names in any case.
            body: The whole body.
            exchange: The exchange's id, which events about the call carry.
        """

    def note(  # noqa: B027 - most mocks need not know
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        status: int | None,
        exchange: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        """Hears of a call that was answered elsewhere: by a fault in front of the mock, or by the real API behind the proxy."""


class Mock(ABC):
    """A mock of one API; subclasses are frozen dataclasses, one per folder or file of the registry.

    ``--outbound mock:NAME`` puts it behind the target's own calls.
    """

    @property
    def name(self) -> str:
        """The mock's name: its folder's or file's."""
        return name_of(type(self))

    @abstractmethod
    def api(self, services: MockServices) -> MockApi:
        """The API that answers in one worker process."""


MOCKS: Final[Registry[Mock]] = Registry("chaosbot.mocks", Mock, "mock", skip=frozenset({"server", "worker"}))
PREFIX: Final = "mock:"
"""What an upstream that is a mock begins with; the name follows, and none means the platform's own."""


def is_mock(upstream: str) -> bool:
    """Whether an upstream is a mock."""
    return upstream.startswith(PREFIX)


def mock_of(upstream: str, default: str = "") -> Mock:
    """The mock that an upstream names.

    Args:
        upstream: ``mock:NAME``; ``mock:`` alone takes the default.
        default: The mock that the platform names (`Platform.api_mock`); without one, the first of all.

    Raises:
        UnknownName: There is none of this name; the message lists all.
    """
    return MOCKS.build(upstream.removeprefix(PREFIX) or default or MOCKS.names()[0])
