r"""Where requests come from beside a platform: a person's own journey file, and a folder of recorded requests.

A journey file is Python with one or more of the functions ``journeys``, ``build`` and ``streams``; of the first two, what it leaves out is
the platform's::

    from chaosbot.core.platform import Endpoint, Request
    from chaosbot.core.dice import Dice
    from chaosbot.core.journey import JourneySpec, StreamAction, StreamMessage, StreamSpec, Task

    def journeys() -> tuple[JourneySpec, ...]:
        return (JourneySpec("shopper", 1.0, (1.0, 3.0), (Task("search", 3), Task("buy", 1)), range(1000)),)

    def build(task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        body = b'{"task": "%b", "user": %d}' % (task.encode(), user)
        head = f"POST {endpoint.path} HTTP/1.1\r\nHost: {endpoint.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        return Request(head.encode() + body, task)

    def check(message: StreamMessage) -> None:
        assert message.json()["price"] > 0, "a price of nothing"

    def streams() -> tuple[StreamSpec, ...]:
        subscribe = ('{"subscribe": "all"}',)
        return (StreamSpec("prices", StreamAction.SUBSCRIBE, "/ws", messages=subscribe, on_message=check),)

Every task is built once before the start, so a mistake is named with its line before anything is sent.
"""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import orjson

from chaosbot.core.case import reveal
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, EngineError
from chaosbot.core.journey import RECORDED, JourneySpec, StreamSpec, Task
from chaosbot.core.platform import Endpoint, Platform, Request
from chaosbot.files import read_bytes
from chaosbot.load.factory import Source
from chaosbot.load.hooks import HookWatch, Overdue, interrupt
from chaosbot.transport.recordings import requests_in

S = TypeVar("S")
MOST_RECORDED: Final = 64 << 20
"""The largest file of a corpus, in bytes: a request, or a finding whose requests are written in base64."""
MOST_HELD: Final = 1 << 28
MOST_FILES: Final = 100_000
TRIAL_S: Final = 10.0
"""How long a journey file may take to be read and tried before the start."""
_METHODS: Final = (b"GET ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"HEAD ", b"OPTIONS ")


class JourneyFile:
    """A person's own journey file.

    Args:
        path: The file.
        platform: Gives what the file leaves out.
        endpoint: Where requests go, for the look before the start.

    Raises:
        ConfigError: With file, line and reason.
    """

    def __init__(self, path: Path, platform: Platform, endpoint: Endpoint) -> None:
        self.path = path
        self.own = False
        """Whether its requests are its own, and not the platform's."""
        self.renames = False
        """Whether its builder counts requests under other names than their tasks'."""
        source = read_bytes(path, remedy="name a Python file")
        _bounded(path, lambda: self._prepare(path, source, platform, endpoint))

    def _prepare(self, path: Path, source: bytes, platform: Platform, endpoint: Endpoint) -> None:
        module = _load(path, source)
        journeys, build, streams = (getattr(module, name, None) for name in ("journeys", "build", "streams"))
        if journeys is build is streams is None:
            raise ConfigError(
                str(path), "defines none of journeys(), build() and streams(); a journey file defines at least one"
            )
        for name, function in (("journeys", journeys), ("build", build), ("streams", streams)):
            if function is not None and not callable(function):
                raise ConfigError(str(path), f"{name} is a {type(function).__name__}; it must be a function")
        self._build: Callable[..., Request] = build or platform.build
        self.own, self._line, self._watch = build is not None, _line_of(build), HookWatch()
        self.alike = None if build else platform.alike
        self._specs = self._read(journeys, JourneySpec) if journeys is not None else tuple(platform.journeys())
        self._streams = self._read(streams, StreamSpec) if streams is not None else ()
        self._name_twice(_line_of(streams))
        self._try(endpoint, self._line)

    def journeys(self) -> Sequence[JourneySpec]:
        """The kinds of users."""
        return self._specs

    def streams(self) -> Sequence[StreamSpec]:
        """The file's own scenarios of WebSocket clients."""
        return self._streams

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task.

        Raises:
            EngineError: The file's builder made a mistake, with its line; nothing can be sent for it.
        """
        if not self.own:
            return self._build(task, user, ordinal, dice, endpoint)
        what = f"build({task!r})"
        try:
            with self._watch:
                request = self._build(task, user, ordinal, dice, endpoint)
        except BaseException as error:  # noqa: BLE001 - whatever that file does wrong is told with its line
            raise EngineError(str(self._blame(error, what, self._line))) from None
        if type(request) is not Request or type(request.data) is not bytes:
            raise EngineError(f"{self.path}:{self._line}: {what} returned {_problem(request)}")
        return request

    def _read(self, function: Callable[[], Any], kind: type[S]) -> tuple[S, ...]:
        line, name = _line_of(function), getattr(function, "__name__", "the function")
        try:
            made: object = function()
            specs = tuple(made) if isinstance(made, Iterable) else ()
        except BaseException as error:  # noqa: BLE001 - whatever that file does wrong is told with its line
            raise self._blame(error, f"{name}()", line) from None
        if not specs or not all(isinstance(spec, kind) for spec in specs):
            if inspect.iscoroutine(made):
                made.close()
            raise ConfigError(
                f"{self.path}:{line}",
                f"{name}() must return {kind.__name__}s, at least one, and not a {type(made).__name__}; see chaosbot.core.journey",
            )
        return specs

    def _name_twice(self, line: int) -> None:
        """Refuses a stream that has another's name, or a kind of user's: reports could not tell them apart."""
        names = [spec.name for spec in self._specs]
        for stream in self._streams:
            if stream.name in names:
                raise ConfigError(
                    f"{self.path}:{line}", f"stream {stream.name}: another one has this name; give each its own"
                )
            names.append(stream.name)

    def _try(self, endpoint: Endpoint, line: int) -> None:
        """Builds every task once."""
        users = self._specs[0].users
        tried = [(spec.tasks, spec.users[0]) for spec in self._specs] + [(one.tasks, users[0]) for one in self._streams]
        for tasks, user in tried:
            for task in tasks:
                try:
                    request = self._build(task.name, user, 1, Dice(0).at("trial"), endpoint)
                except BaseException as error:  # noqa: BLE001 - whatever that file does wrong is told with its line
                    raise self._blame(error, f"build({task.name!r})", line) from None
                problem = _problem(request)
                if problem:
                    raise ConfigError(f"{self.path}:{line}", f"build({task.name!r}) returned {problem}")
                self.renames |= request.task not in ("", task.name)

    def _blame(self, error: BaseException, what: str, line: int) -> ConfigError:
        """The error with the line that raised it; where it never got into the file (a missing argument), that of the function."""
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)
        ]
        said = str(error) if isinstance(error, Overdue) else f"raised {type(error).__name__}: {error}"
        return ConfigError(f"{self.path}:{lines[-1] if lines else line}", f"{what} {said}")


def _bounded(path: Path, call: Callable[[], None]) -> None:
    """Runs a look at a person's file for at most `TRIAL_S` seconds.

    Raises:
        ConfigError: It was not done in time; names the line that ran then.
    """
    raised: list[BaseException] = []

    def look() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            raised.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(TRIAL_S)
    if thread.is_alive() and thread.ident is not None:
        lines = [
            entry.lineno
            for entry in traceback.extract_stack(sys._current_frames().get(thread.ident))  # noqa: SLF001 - no public way
            if entry.filename == str(path)
        ]
        interrupt(thread.ident)
        raise ConfigError(
            f"{path}:{lines[-1] if lines else 1}",
            f"still runs after {TRIAL_S:g} s; a journey file is read, and builds each task once, before the load starts",
        )
    if raised:
        raise raised[0]


def _load(path: Path, source: bytes) -> ModuleType:
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise ConfigError(
            f"{path}:{line}" if line else str(path), f"is no Python: {getattr(error, 'msg', error)}"
        ) from None
    except (MemoryError, RecursionError):  # how the compiler says so
        raise ConfigError(str(path), "is nested too deeply to be compiled; no journey needs that") from None
    module = ModuleType("chaosbot_journey")
    module.__file__ = str(path)
    try:
        exec(code, module.__dict__)  # noqa: S102 - running this file is what its owner asked for
    except BaseException as error:  # noqa: BLE001 - whatever that file does wrong is told with its line
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        raise ConfigError(f"{path}:{lines[-1] if lines else 1}", f"raised {type(error).__name__}: {error}") from None
    return module


def _line_of(function: Any) -> int:
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    return code.co_firstlineno if code is not None else 1


def _problem(request: object) -> str:
    """What is wrong with a built request; empty when nothing is."""
    if not isinstance(request, Request):
        return f"a {type(request).__name__}; it must return a Request"
    if not isinstance(request.data, bytes):
        return f"a Request whose data is {type(request.data).__name__}; it must be the bytes on the wire"
    head, blank, body = request.data.partition(b"\r\n\r\n")
    if not blank or b" HTTP/1." not in head.partition(b"\r\n")[0]:
        return "data that is no HTTP/1.1 request; it must hold request line, headers, an empty line and the body"
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip() == b"content-length" and value.strip() != str(len(body)).encode():
            return f"Content-Length {value.strip().decode('latin-1')} for a body of {len(body)} bytes"
    return ""


class Corpus:
    """Recorded requests as load: each request is a task, all equally likely.

    Requests that leave their framing open (a length that lies) are replayed too; the connection they spoil is not used again.

    Args:
        folder: Holds request bytes, at any depth: ``request.bin``, ``*.http``, ``*.raw``, or a fuzz run's reproducers (``*.json``). Or a
            file: HAR, a Postman collection, an OpenAPI document.
        platform: Reads what the requests are about, for coverage.
        endpoint: Has the secret that recorded requests are kept without.

    Raises:
        ConfigError: No such folder, or no requests in it.
    """

    alike: Final = None

    def __init__(self, folder: Path, platform: Platform, endpoint: Endpoint) -> None:
        self._requests: dict[str, Request] = {}
        if folder.is_file():
            for task, recorded in requests_in(folder, endpoint.host).items():
                data = reveal(recorded, endpoint.secret)
                self._requests[task] = Request(data, task, _facts(platform, data))
            return
        if not folder.is_dir():
            raise ConfigError(
                f"--corpus {folder}",
                "is not there; name a folder of requests, a HAR file, a Postman collection or an OpenAPI document",
            )
        held = 0
        for path in _within(folder):
            name = str(path.relative_to(folder).with_suffix("")).removesuffix("/request")
            for number, recorded in enumerate(_recorded(path)):
                # Findings are kept without the secret; who replays them has it.
                data = reveal(recorded, endpoint.secret)
                held += len(data)
                if held > MOST_HELD:
                    raise ConfigError(
                        f"--corpus {folder}", f"holds more than {MOST_HELD >> 20} MB of requests; name a smaller folder"
                    )
                if data.startswith(_METHODS):
                    task = f"{name}#{number}" if number else name
                    self._requests[task] = Request(data, task, _facts(platform, data))
        if not self._requests:
            raise ConfigError(
                f"--corpus {folder}", "holds no requests (request.bin, *.http, *.raw); a run's findings/ folder does"
            )

    def journeys(self) -> Sequence[JourneySpec]:
        """One kind of user, who sends them all."""
        return (JourneySpec(RECORDED, 1.0, (1.0, 5.0), tuple(Task(name) for name in self._requests), range(1, 1001)),)

    def streams(self) -> Sequence[StreamSpec]:
        """None are recorded."""
        return ()

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:  # noqa: ARG002 - as recorded
        """The bytes as they were recorded."""
        return self._requests[task]


def _within(folder: Path) -> list[Path]:
    """All that lies in a folder, at any depth.

    Raises:
        ConfigError: It is more than a corpus is.
    """
    found = list(islice(folder.rglob("*"), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise ConfigError(f"--corpus {folder}", f"holds more than {MOST_FILES} files; name a folder of requests alone")
    return sorted(found)


def _recorded(path: Path) -> list[bytes]:
    """The requests in a file: its bytes, or the steps of a fuzz finding's reproducer."""
    if not path.is_file():
        return []
    if path.name == "request.bin" or path.suffix in {".http", ".raw"}:
        return [read_bytes(path, most=MOST_RECORDED)]
    if path.suffix != ".json" or (path.parent / "request.bin").exists():
        return []
    try:
        steps = orjson.loads(read_bytes(path, most=MOST_RECORDED))["steps"]
        return [b"".join(b64decode(part["data_b64"]) for part in case["segments"]) for step in steps for case in step]
    except (LookupError, TypeError, ValueError):
        return []  # some other JSON file


def _facts(platform: Platform, data: bytes) -> Any:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    method, _, path = first.partition(" ")
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
    return platform.facts(method, path.partition(" ")[0], headers, body)


def source_of(platform: Platform, endpoint: Endpoint, journey: Path | None, corpus: Path | None) -> Source:
    """Who encodes a run's requests.

    Raises:
        ConfigError: Both are given, or one is bad.
    """
    if journey is not None and corpus is not None:
        raise ConfigError("--corpus", "cannot be combined with --journey; a run has one source of requests")
    if journey is not None:
        return JourneyFile(journey, platform, endpoint)
    return Corpus(corpus, platform, endpoint) if corpus is not None else platform
