"""The server of all mocks: HTTP/1 in, `MockApi` inside, events up; one worker process, one address for each mock.

Rules:

- The parent binds the listening sockets, so ports are known at once and early calls wait in the backlog; the worker inherits them.
- A call's event is written before its answer leaves: after `sync` the parent has the events of every call that was answered before.
- The HTTP server is small and its own: a mock must never be the slow part of a load test, and must take whatever a client sends.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import httptools

from chaosbot.core.dice import Dice
from chaosbot.core.errors import WorkerDied
from chaosbot.core.event import Event, Trouble
from chaosbot.core.exchange import EXCHANGE_HEADER, split_exchange
from chaosbot.core.mock import Mock, MockAnswer, MockApi, MockRequest, MockServices, Part, of_upstream
from chaosbot.injection.bytestream import Ends, refuse
from chaosbot.transport import bracketed, enforce
from chaosbot.workers import AsyncParent, Startable, Worker, listen

_MOST_HEADERS: Final = 64 * 1024
"""A longer head is refused, and so are such trailers."""
_MOST_DROPPED: Final = 1 << 30
"""So much of a body that is too long is read and thrown away, so that its client reads the refusal; then the connection ends."""
_MOST_WAITING: Final = 256
"""So many answers wait for their time; a client that asks for more is read when some have left."""
_LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True)
class MockListener:
    """One mock and where it listens.

    Args:
        mock: The mock.
        host: Where to listen.
        port: On which port; 0 for any free one.
        name: The upstream's name in events; by default the mock's own.
    """

    mock: Mock
    host: str = "127.0.0.1"
    port: int = 0
    name: str = ""

    @property
    def upstream(self) -> str:
        """The upstream's name."""
        return self.name or self.mock.name


class MockServer(Startable):
    """The parent's end: starts, watches and stops the worker.

    Args:
        listeners: The mocks and their addresses.
        emit: Takes the events, on a thread of this class.
        started: The run's start on the monotonic clock, which all processes of a machine share.
        seed: The run's seed.
    """

    def __init__(
        self, listeners: Sequence[MockListener], emit: Callable[[Event], None], started: float, seed: int = 0
    ) -> None:
        self._listeners = tuple(listeners)
        self._emit = emit
        self._started = started
        self._seed = seed
        self._worker: Worker | None = None
        self.urls: dict[str, str] = {}
        """The base URL of each upstream, without a slash at the end."""

    @property
    def url(self) -> str:
        """The first mock's base URL."""
        return next(iter(self.urls.values()))

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return self._worker.pid if self._worker else None

    def start(self) -> None:
        """Listens and starts the worker; returns when it answers.

        Raises:
            PortBusy: An address is taken.
            EngineError: The worker did not come up.
        """
        sockets: list[socket.socket] = []
        try:
            for each in self._listeners:
                sockets.append(listen(each.host, each.port))
                host, port = sockets[-1].getsockname()[:2]
                self.urls[each.upstream] = f"http://{bracketed(host)}:{port}"
            self._worker = Worker(
                "mock server",
                "chaosbot.mocks.server:serve",
                self._started,
                self._seed,
                self._listeners,
                sockets=sockets,
                on_message=self._emit,
                on_death=self._died,
            )
        finally:
            for sock in sockets:
                sock.close()
        self._worker.ready()

    def _died(self, how: str) -> None:
        self._emit(Trouble(monotonic() - self._started, "mock", f"its worker {how}"))

    def sync(self, timeout_s: float = 5.0) -> None:
        """Waits until the events of all calls answered so far have been emitted.

        Raises:
            WorkerDied: It has ended, or did not answer in time.
        """
        if self._worker is None:
            raise WorkerDied("the mock server does not run; nothing can be known of the target's calls")
        self._worker.ask(None, timeout_s, "its events")

    def stop(self) -> None:
        """Ends the worker and takes its last events; does nothing when it has ended already."""
        if self._worker is not None:
            self._worker.stop()


# ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Turn:
    """The answers of one turn of the loop: first the events of all leave together, which is one call of the system, then the answers."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._replies: list[Callable[[], None]] = []

    def add(self, reply: Callable[[], None]) -> None:
        """Answers when the turn is over."""
        if not self._replies:
            asyncio.get_running_loop().call_soon(self._end)
        self._replies.append(reply)

    def _end(self) -> None:
        self._flush()
        replies, self._replies = self._replies, []
        for reply in replies:
            reply()


class _Client(asyncio.Protocol):
    """One connection of the target."""

    def __init__(self, api: MockApi, most_body: int, turn: _Turn, broke: Callable[[Exception], None]) -> None:
        self._api = api
        self._broke = broke
        self._most_body = most_body
        self._turn = turn
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._answers: deque[tuple[MockAnswer, str, bool]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._read = 0  # bytes since the parser last gave anything out: it keeps them
        self._refused = False
        self._full = False
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0

    # transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._full = True
        self._regulate()

    def resume_writing(self) -> None:
        self._full = False
        self._regulate()

    def _regulate(self) -> None:
        """Reads only while answers leave: what a client asks for and does not take is not kept."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._full or self._refused or len(self._answers) >= _MOST_WAITING:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as asked:
                if self._parser.get_method() == b"CONNECT":
                    self._refuse(400, "Bad Request")
                    return
                # Another protocol is wanted, which no mock speaks: the request is read once more, without the wish.
                data = self._unwished() + data[asked.args[0] :]
                self._begin()
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self._refuse(400, "Bad Request")
                return
            else:
                break
        if self._read > _MOST_HEADERS:
            self._refuse(431, "Request Header Fields Too Large")
        elif self._size > self._most_body + _MOST_DROPPED:
            self._refuse(413, "Request Entity Too Large")

    def _refuse(self, status: int, phrase: str) -> None:
        """Answers what is no request, and ends the connection."""
        self._refused = True
        self._regulate()
        self._reply(self._api.refusal(status, phrase), "GET", keep=False)

    def _unwished(self) -> bytes:
        """The head that was read last, without its wish for another protocol."""
        kept = [f"{name}: {value}\r\n" for name, value in self._headers if name != "upgrade"]
        head = f"{self._parser.get_method().decode('latin-1')} {self._url.decode('latin-1')} HTTP/1.1\r\n{''.join(kept)}\r\n"
        return head.encode("latin-1")

    # parser callbacks

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > _MOST_HEADERS:
            raise httptools.HttpParserError("the head is too long")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._read = 0
        if ("expect", "100-continue") in [(name, value.lower()) for name, value in self._headers]:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._read = 0
        self._size += len(body)
        if self._size <= self._most_body:
            self._body.append(body)
        else:
            self._body.clear()  # the rest is read and thrown away; the call is refused by its size

    def on_message_complete(self) -> None:
        self._read = 0
        if self._parser.should_upgrade():
            return
        method = self._parser.get_method().decode("latin-1")
        exchange = next((value for name, value in self._headers if name == EXCHANGE_HEADER), "")
        request = MockRequest(
            method,
            self._url.decode("latin-1"),
            tuple(self._headers),
            b"".join(self._body),
            split_exchange(exchange)[0],
        )
        try:
            answer = self._answer(request)
        except Exception as error:  # noqa: BLE001 - a mock's own, which the parser would take for a broken request
            self._broke(error)
            answer = self._api.refusal(500, "Internal Server Error")
        self._begin()
        self._reply(answer, method, keep=self._parser.should_keep_alive())

    def _answer(self, request: MockRequest) -> MockAnswer:
        if self._size > self._most_body:
            self._api.note(request, status=413)
            return self._api.refusal(413, "Request Entity Too Large")
        return self._api.answer(request)

    # answers

    def _reply(self, answer: MockAnswer, method: str, *, keep: bool) -> None:
        self._turn.add(partial(self._begin_reply, answer, method, keep=keep))

    def _begin_reply(self, answer: MockAnswer, method: str, *, keep: bool) -> None:
        """Answers in the order of the requests; what needs no time is written at once."""
        if self._sending is None and answer.total_s == 0.0 and answer.end is None:
            self._whole(answer, method, keep=keep)
            return
        self._answers.append((answer, method, keep))
        self._regulate()
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._answers:
            answer, method, keep = self._answers.popleft()
            self._regulate()
            await _wait(answer.hold_s)
            if answer.end is None and len(answer.parts) <= 1:
                await _wait(sum(part.delay_s for part in answer.parts))
                self._whole(answer, method, keep=keep)
            else:
                await self._in_parts(answer, method, keep=keep)
        self._sending = None

    def _whole(self, answer: MockAnswer, method: str, *, keep: bool) -> None:
        """Sends an answer at once; one of several parts is framed as a stream all the same."""
        body = answer.body
        if len(answer.parts) <= 1:
            framing = f"content-length: {len(body)}"
        elif self._chunks:
            framing, body = "transfer-encoding: chunked", _chunk(body) + _LAST_CHUNK
        else:
            framing, keep = "", False
        self._write(_head(answer, framing, keep=keep) + (b"" if method == "HEAD" else body))
        if not keep:
            self._close()

    async def _in_parts(self, answer: MockAnswer, method: str, *, keep: bool) -> None:
        """Sends each part when its time has come; an HTTP/1.0 client cannot read chunks and gets bytes until the end."""
        chunked = self._chunks
        keep = keep and chunked and answer.end is None
        self._write(_head(answer, "transfer-encoding: chunked" if chunked else "", keep=keep))
        if method != "HEAD":
            for delay_s, data in _moments(answer.parts):
                await _wait(delay_s)
                self._write(_chunk(data) if chunked else data)
            if chunked and answer.end is None:
                self._write(_LAST_CHUNK)
        if answer.end is not None and self._transport is not None:
            ends = Ends()
            ends.add(self._transport)
            refuse(ends, answer.end)
        elif not keep:
            self._close()

    @property
    def _chunks(self) -> bool:
        """Whether the client can read chunks."""
        return bool(self._parser.get_http_version() != "1.0")

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _moments(parts: Sequence[Part]) -> Iterator[tuple[float, bytes]]:
    """The parts of an answer, those that leave at the same moment as one."""
    waiting: list[bytes] = []
    delay_s = 0.0
    for part in parts:
        if part.delay_s > 0 and waiting:
            yield delay_s, b"".join(waiting)
            waiting, delay_s = [], 0.0
        delay_s += part.delay_s
        waiting.append(part.data)
    if waiting:
        yield delay_s, b"".join(waiting)


def _chunk(data: bytes) -> bytes:
    """Bytes as a chunk; of none nothing, since that would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


async def _wait(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _head(answer: MockAnswer, framing: str, *, keep: bool) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else ""
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in answer.headers)]
    lines += [*filter(None, (framing,)), f"connection: {'keep-alive' if keep else 'close'}", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


async def serve(parent: AsyncParent, started: float, seed: int, listeners: tuple[MockListener, ...]) -> None:
    """The worker's function: serves until the parent wants it to end."""
    enforce(())
    loop = asyncio.get_running_loop()
    parent.together_s = 0.0  # what is said leaves with the turn's answers
    turn = _Turn(parent.flush)
    servers = []
    for each, sock in zip(listeners, parent.sockets, strict=True):
        emit = of_upstream(each.upstream, parent.send)
        dice = Dice(seed).at("mock", each.upstream)
        api = each.mock.api(MockServices(lambda: monotonic() - started, emit, itertools.count(1), dice))

        def broke(error: Exception, emit: Callable[[Event], None] = emit, name: str = each.upstream) -> None:
            emit(Trouble(monotonic() - started, "mock", f"{name}: {type(error).__name__}: {error}"))

        def client(
            api: MockApi = api, most_body: int = each.mock.most_body, broke: Callable[[Exception], None] = broke
        ) -> _Client:
            return _Client(api, most_body, turn, broke)

        servers.append(await loop.create_server(client, sock=sock))
    parent.answer = lambda request: request  # after everything that was sent before
    parent.ready()
    await parent.stopping.wait()
    for server in servers:
        server.close()
