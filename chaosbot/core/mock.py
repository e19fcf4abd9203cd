"""What a mock is: an API that stands in for one that the target calls, so that its calls meet faults and are seen.

Rules:

- A `Mock` is an entry of the registry: a frozen dataclass with its options. `Mock.api` makes the API that answers.
- A `MockApi` is colourless and synchronous: a request in, an answer out. It opens no socket and waits for nothing; what is to take
  time is said by the answer (`MockAnswer.hold_s`, `Part.delay_s`), and the server or the proxy around it waits.
- Faults stand in front of a mock, never inside: it answers as the real API would on a good day.
- An *upstream* is one API that the target calls, by its name: events and rules tell several of them apart by it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import ApiCalled, Event, ModelCalled
from chaosbot.core.registry import Registry, name_of

if TYPE_CHECKING:
    from chaosbot.core.effect import Farewell

Headers = tuple[tuple[str, str], ...]
"""Names and values as they came, in order."""


@dataclass(frozen=True, slots=True)
class MockRequest:
    """One request of the target.

    Args:
        method: The HTTP method.
        path: Path with query.
        headers: The request's headers, names in any case.
        body: The whole body.
        exchange: The exchange's id, which events about the call carry; empty where the request brought none.
    """

    method: str
    path: str
    headers: Headers = ()
    body: bytes = b""
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer's body, such as one event of a stream.

    Args:
        data: Its bytes.
        delay_s: How long the real server would have waited before it, in seconds.
    """

    data: bytes
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """What goes back to the target.

    Args:
        status: HTTP status.
        headers: Headers without Content-Length and Transfer-Encoding: the server frames the body.
        parts: The body; one part is sent with its length, several are sent in chunks, each when its time has come.
        hold_s: How long the real server would have waited before it answers at all (long polling), in seconds.
        end: None ends the answer as it should; otherwise the connection ends after the last part (`Farewell.FIN` or ``RST``), and the
            client sees that something is missing.
    """

    status: int
    headers: Headers
    parts: tuple[Part, ...] = ()
    hold_s: float = 0.0
    end: Farewell | None = None

    @classmethod
    def of(cls, status: int, headers: Headers, body: bytes, *, hold_s: float = 0.0) -> MockAnswer:
        """An answer that comes in one piece."""
        return cls(status, headers, (Part(body),), hold_s)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(part.data for part in self.parts)

    @property
    def total_s(self) -> float:
        """How long it takes until the last part leaves, in seconds."""
        return self.hold_s + sum(part.delay_s for part in self.parts)


@dataclass(frozen=True, slots=True)
class MockServices:
    """What a mock gets from whatever runs it.

    Args:
        now: Seconds since the run started.
        emit: Takes the events of the run. `ApiCalled` is for calls by which the target speaks to its users: checks look there for replies.
        ids: Rising numbers that no other process of the run uses.
        dice: The mock's own chance, from the run's seed.
        admin: The id of the target's admin (`Platform.administrator`), who administers every group as well; None where nobody is known to.
        alone: Whether all calls of the target to this API come to this process, so that what it remembers of them is whole.
    """

    now: Callable[[], float]
    emit: Callable[[Event], None]
    ids: Iterator[int]
    dice: Dice = field(default_factory=lambda: Dice(0))
    admin: int | None = None
    alone: bool = True


SHORTEST: Final = {"key": 12, "instructions": 40}
"""So many characters of it show that a confidential text was told."""


def told_of(text: str, confidential: dict[str, str]) -> str:
    """What of the confidential texts a message tells: the name of the first of which a long enough piece stands in it."""
    for secret, what in confidential.items():
        size = SHORTEST[what]
        step = 1 if what == "key" else 10  # a key may be shown in pieces, instructions are told in sentences
        if any(text[place : place + size] in secret for place in range(0, len(text) - size + 1, step)):
            return what
    return ""


class MockApi(ABC):
    """One API that answers."""

    @abstractmethod
    def answer(self, request: MockRequest) -> MockAnswer:
        """Answers one request."""

    def refusal(self, status: int, reason: str) -> MockAnswer:
        """Answers what is no request of this API at all: broken HTTP (400), a body beyond `Mock.most_body` (413)."""
        return MockAnswer.of(status, (("content-type", "text/plain; charset=utf-8"),), f"{reason}\n".encode())

    def note(  # noqa: B027 - most mocks need not know
        self, request: MockRequest, *, status: int | None, retry_after_s: float | None = None, body: bytes = b""
    ) -> None:
        """Hears of a request that was answered elsewhere: by a fault in front of the mock, by the real API, or refused by its server.

        Args:
            request: The request.
            status: What it was answered; None when nothing went back.
            retry_after_s: How long the answer says to wait.
            body: The answer's body; of a long one the beginning and the end.
        """

    def confidential(self, request: MockRequest) -> tuple[tuple[str, str], ...]:  # noqa: ARG002 - most APIs have none
        """What of a request no user may read: each text with its name in `ApiCalled.tells`."""
        return ()

    def heard(  # noqa: B027 - only a few APIs are called so
        self, body: bytes, content_type: str, exchange: str
    ) -> None:
        """Hears how the target answered a delivery of the platform, which may itself be a call of the API."""


class Mock(ABC):
    """A mock of one API; subclasses are frozen dataclasses, one per folder or file of the registry.

    ``--outbound mock:NAME`` puts it behind the target's own calls, and ``chaosbot mock NAME`` serves it alone.
    """

    streams: ClassVar[bool] = False
    """Whether answers come in several parts or end otherwise than clean. Then the mock has a server of its own behind the proxy; others
    are answered by the proxy's workers themselves, one API in each, which spares a connection."""
    most_body: ClassVar[int] = 50 * 1024 * 1024
    """The longest request body that the API takes, in bytes."""
    speaks: ClassVar[bool] = True
    """Whether the target speaks to its users by this API; otherwise it only works with it, and replies are never looked for there."""
    reads_answers: ClassVar[bool] = False
    """Whether `MockApi.note` hears of calls that the real API answered, with the answers' bodies."""

    @property
    def name(self) -> str:
        """The mock's name: its folder's or file's."""
        return name_of(type(self))

    @abstractmethod
    def api(self, services: MockServices) -> MockApi:
        """The API that answers in one process."""

    def hints(self, url: str) -> tuple[str, ...]:  # noqa: ARG002 - only some mocks have any
        """What a person may want to type so that programs call it, one line each.

        Args:
            url: Its base URL, without a slash at the end.
        """
        return ()


MOCKS: Final[Registry[Mock]] = Registry("chaosbot.mocks", Mock, "mock", skip=frozenset({"server"}))
MODELS: Final = "llm"
"""What the upstream of a target's language models is called, and the mock behind it."""
PREFIX: Final = "mock:"
"""What an upstream that is a mock begins with; name and options follow (``mock:NAME;option=value``), and no name means the platform's own."""


def is_mock(upstream: str) -> bool:
    """Whether an upstream is a mock."""
    return upstream.startswith(PREFIX)


def mock_of(upstream: str, default: str = "") -> Mock:
    """The mock that an upstream names.

    Args:
        upstream: ``mock:NAME`` or ``mock:NAME;option=value``; ``mock:`` alone takes the default.
        default: The mock that the platform names (`Platform.api_mock`); without one, the first of all, which is right only where nothing answers.

    Raises:
        ConfigError: There is none of this name (the message lists all), or an option is wrong.
    """
    name, *options = upstream.removeprefix(PREFIX).split(";")
    values = dict(item.partition("=")[::2] for item in options)
    return MOCKS.build(name or default or MOCKS.names()[0], values)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One API that the target calls.

    Args:
        name: What events and rules call it.
        where: ``mock:NAME``, a base URL, or empty for wherever the target asks (a forward proxy).
    """

    name: str
    where: str


_NAMED: Final = re.compile(r"([A-Za-z][\w.-]*)=(.*)", re.DOTALL)


def upstreams_of(text: str, default: str = "") -> tuple[Upstream, ...]:
    """Reads where the target's own calls go: ``mock``, ``mock:NAME``, ``forward``, a base URL, or several with commas.

    Each may be named: ``llm=https://api.example.com``. Without a name a mock's is its own, and another's the default.

    Args:
        text: What was written; empty and ``off`` mean none.
        default: The platform's own API (`Platform.api_mock`).

    Raises:
        ConfigError: Two have one name, or a mock is not there.
    """
    found: list[Upstream] = []
    for item in text.split(",") if text not in ("", "off") else ():
        named = _NAMED.fullmatch(item.strip())
        name, where = (named[1], named[2]) if named else ("", item.strip())
        where = {"mock": PREFIX, "forward": ""}.get(where, where)
        if is_mock(where):
            mock = mock_of(where, default)
            name = name or mock.name
            where = where if where != PREFIX else PREFIX + mock.name
        name = name or default or "api"
        if any(name == other.name for other in found):
            raise ConfigError(text, f"two upstreams are called '{name}'; name them, e.g. other={item.strip()}")
        found.append(Upstream(name, where))
    return tuple(found)


def with_llm(outbound: str, llm: str) -> str:
    """The upstreams of the target with the one called ``llm``, for its calls of language models; one that is there already goes.

    Args:
        outbound: As `upstreams_of` reads it.
        llm: ``mock`` (or ``mock:llm;option=value``), a base URL, or ``off``.
    """
    kept = [item for item in outbound.split(",") if item.strip() not in ("", "off")]
    kept = [item for item in kept if not item.strip().startswith((f"{MODELS}=", PREFIX + MODELS))]
    if llm not in ("", "off"):
        kept.append(f"{MODELS}={PREFIX}{MODELS}" if llm == "mock" else f"{MODELS}={llm}")
    return ",".join(kept) or "off"


def of_upstream(name: str, emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """An `emit` by which calls say which upstream they went to."""

    def marked(event: Event) -> None:
        if isinstance(event, ApiCalled | ModelCalled) and not event.upstream:
            event = msgspec.structs.replace(event, upstream=name)
        emit(event)

    return marked
