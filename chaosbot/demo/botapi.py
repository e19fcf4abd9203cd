"""The Bot API as the bot calls it: one attempt in, one classified outcome out; no exception escapes.

An attempt whose answer got lost is `Failed` like one that never left. Trying again may then send a message twice, not
trying may lose it; the bot tries again (at least once).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx
import orjson

from chaosbot.demo.bugs import Bug
from chaosbot.demo.updates import as_id, as_object, as_text

CONNECT_S: Final = 2.0
READ_S: Final = 5.0
CALL_S: Final = 10.0
"""A whole call, so that an answer that drips byte by byte ends as well."""
DOWNLOAD_S: Final = 60.0
MAX_ANSWER: Final = 1_000_000
MAX_FILE: Final = 20_000_000
CONCURRENCY: Final = 32

_SAFE_PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*){0,8}\Z")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The call took effect, or did not need to."""

    result: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The call will never work: blocked by the user, chat unknown, bad request."""

    code: int


@dataclass(frozen=True, slots=True)
class Migrated:
    """The group has a new id."""

    chat_id: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many calls; try again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The service failed or could not be reached; another attempt may work."""

    reason: str
    html: bool = False


Outcome = Delivered | Refused | Migrated | Throttled | Failed


class _TooLong(Exception):
    pass


class BotApi:
    """A client of one Bot API server."""

    def __init__(
        self, base_url: str, token: str, circuits: dict[str, Circuit], bugs: frozenset[Bug] = frozenset()
    ) -> None:
        """Opens no connection yet."""
        base = base_url.rstrip("/")
        self._methods = f"{base}/bot{token}/"
        self._files = f"{base}/file/bot{token}/"
        self._botapi = circuits["botapi"]
        self._file_host = circuits["files"]
        self._patient = Bug.NO_OUTBOUND_TIMEOUT in bugs
        timeout = httpx.Timeout(None) if self._patient else httpx.Timeout(READ_S, connect=CONNECT_S, pool=None)
        limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
        verify = base.startswith("https:")  # loading the authorities takes 0.3 s, which a restart has no time for
        self._client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=verify)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def call(self, method: str, payload: object) -> Outcome:
        """Calls a method once, when its circuit lets it."""
        await self._botapi.admit()
        outcome: Outcome = Failed("interrupted")
        try:
            status, headers, body = await self._exchange("POST", self._methods + method, payload, CALL_S, MAX_ANSWER)
            outcome = classify(status, headers.get("retry-after"), body)
        except (httpx.HTTPError, TimeoutError, _TooLong) as error:
            outcome = Failed(type(error).__name__)
        finally:
            if isinstance(outcome, Failed):
                self._botapi.failed()
            else:
                self._botapi.succeeded()
        return outcome

    async def download(self, file_path: str) -> Outcome:
        """Downloads a file once and counts its bytes; nothing is written anywhere."""
        await self._file_host.admit()
        outcome: Outcome = Failed("interrupted")
        try:
            url = self._files + file_path
            status, _, body = await self._exchange("GET", url, None, DOWNLOAD_S, MAX_FILE)
            if status == 200:
                outcome = Delivered(len(body))
            else:
                outcome = Failed(f"status {status}") if status >= 500 or status == 429 else Refused(status)
        except _TooLong:
            outcome = Refused(413)
        except (httpx.HTTPError, TimeoutError) as error:
            outcome = Failed(type(error).__name__)
        finally:
            if isinstance(outcome, Failed):
                self._file_host.failed()
            else:
                self._file_host.succeeded()
        return outcome

    async def _exchange(
        self, verb: str, url: str, payload: object, seconds: float, cap: int
    ) -> tuple[int, httpx.Headers, bytes]:
        content = None if payload is None else orjson.dumps(payload)
        headers = {} if content is None else {"content-type": "application/json"}
        request = self._client.build_request(verb, url, content=content, headers=headers)
        async with asyncio.timeout(None if self._patient else seconds):
            response = await self._client.send(request, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > cap:
                        raise _TooLong
            finally:
                await response.aclose()
        return response.status_code, response.headers, bytes(body)


def classify(status: int, retry_after: str | None, body: bytes) -> Outcome:
    """Tells what an answer of the Bot API means."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if status == 429 or (isinstance(answer, dict) and answer.get("error_code") == 429):
        seconds = as_object(as_object(answer).get("parameters")).get("retry_after")
        if (
            not isinstance(seconds, (int, float))
            and retry_after is not None
            and re.fullmatch("[0-9]{1,6}", retry_after)
        ):
            seconds = int(retry_after)
        return Throttled(float(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else 1.0)
    if not isinstance(answer, dict):
        return Failed(f"status {status} without JSON", html=True)
    if status < 300 and answer.get("ok") is True:
        return Delivered(answer.get("result"))
    if status >= 500 or status < 400:
        return Failed(f"status {status}")
    chat_id = as_id(as_object(answer.get("parameters")).get("migrate_to_chat_id"))
    if chat_id is not None:
        return Migrated(chat_id)
    if status == 400 and "message is not modified" in (as_text(answer.get("description")) or ""):
        return Delivered(None)
    if status == 409:
        return Failed("conflict")
    return Refused(status)


def safe_path(file_path: object) -> str | None:
    """Returns a `file_path` that names a file below the file root, else None."""
    path = as_text(file_path)
    return path if path is not None and len(path) <= 255 and _SAFE_PATH.match(path) else None


FAILURES_TO_OPEN: Final = 5
COOL_DOWN_S: Final = 2.0


class State(StrEnum):
    """What a circuit does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """Guards one service, within one event loop.

    | state | a call | a success | a failure |
    |---|---|---|---|
    | closed | goes | forgets the failures | the fifth in a row opens |
    | open | waits | (of an earlier call) nothing | (of an earlier call) nothing |
    | half-open, after 2 s | one goes, the others wait | closes, all go | opens |

    Nothing is refused: whoever waits here holds a place in the bounded outbox, not a connection.
    """

    def __init__(self, closes: bool = True, cool_down: float = COOL_DOWN_S) -> None:
        """Starts closed.

        Args:
            closes: False is a BUG: a success while half-open is not believed.
            cool_down: Seconds before an open circuit tries again.
        """
        self.state = State.CLOSED
        self.trips = 0
        self.recovered = 0
        self._closes = closes
        self._cool_down = cool_down
        self._failures = 0
        self._probing = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def admit(self) -> None:
        """Returns when a call may be made; its outcome must be told by `succeeded` or `failed`."""
        while self.state is not State.CLOSED:
            if self.state is State.HALF_OPEN and not self._probing:
                self._probing = True
                return
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def succeeded(self) -> None:
        """Notes that the service answered."""
        self._failures = 0
        if self.state is not State.HALF_OPEN:
            return
        self._probing = False
        if not self._closes:
            self._open()
            return
        self.state = State.CLOSED
        self.recovered += 1
        self._wake(len(self._waiting))

    def failed(self) -> None:
        """Notes that the service did not answer, or with its own fault."""
        self._failures += 1
        if self.state is State.HALF_OPEN:
            self._probing = False
            self._open()
        elif self.state is State.CLOSED and self._failures >= FAILURES_TO_OPEN:
            self.trips += 1
            self._open()

    def _open(self) -> None:
        self.state = State.OPEN
        asyncio.get_running_loop().call_later(self._cool_down, self._half_open)

    def _half_open(self) -> None:
        self.state = State.HALF_OPEN
        self._wake(1)

    def _wake(self, count: int) -> None:
        while count and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1

    def as_json(self) -> dict[str, object]:
        """Shows the circuit as `/health` does."""
        return {"state": str(self.state), "trips": self.trips, "recovered": self.recovered}
