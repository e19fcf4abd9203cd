"""The one way to run child processes: start, handshake, messages, signals, death, orphan watch, stop.

A parent holds a `Worker`. In the child runs one function, named ``module:function``: an ``async def`` is given an `AsyncParent` and
runs in an asyncio loop of its own, a ``def`` is given a `Parent` and may block, or run trio, or start threads.

Rules:

- One socketpair joins the two. A frame is a length and a pickled list of messages: faults and checks of third parties travel like
  built-in ones, and values that a peer chose (lone surrogates, integers of any length) need no special case. Nobody else holds an
  end of the pair, so nothing foreign is unpickled.
- Messages arrive in order. A request and its reply are messages, so a reply proves that everything sent before it was taken.
- A child says that it is ready; until then what goes wrong is raised by `Worker.ready`, later it is reported by `on_death`, once.
- Who reads slowly slows the other side down: a full socket blocks the sender, after a bounded buffer where an event loop would
  have to wait.
- Children have a process group of their own and ignore the signals of a terminal. The parent decides what Ctrl-C means, and ends
  its children by a message; a child that does not end in time is killed.
- The end of the channel without that message means that the parent is gone, in whatever way; the child then ends at once.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import ipaddress
import itertools
import os
import pickle
import queue
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, Self, TypeAlias

from chaosbot.core.errors import ChaosbotError, EngineError, PortBusy, UsageError, WorkerDied

if TYPE_CHECKING:
    import asyncio

READY_S: Final = 60.0
"""How long a child may take to say that it is ready, in seconds; a busy machine is no reason to lose a run."""
STOP_S: Final = 5.0
"""How long a child may take to end when it is told to, in seconds."""

_EXIT_S: Final = 1.0  # it has closed its channel, so nothing is lost when it is killed
_READ_BYTES: Final = 1 << 18
_STDERR_BYTES: Final = 8192
_STDERR_LINES: Final = 3
_MOST_BUFFERED: Final = 8 << 20
_MOST_TOGETHER: Final = 128
_BACKLOG: Final = 1024
_ORPHANED: Final = 70
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

_LENGTH: Final = struct.Struct(">I")


class _Kind(IntEnum):
    """What a message on the channel is."""

    READY = 0
    MESSAGE = 1
    REQUEST = 2
    REPLY = 3
    REFUSAL = 4
    FAILURE = 5
    STOP = 6


_Message: TypeAlias = tuple[_Kind, int, Any]


def _encode(messages: list[_Message]) -> bytes:
    data = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class _Decoder:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[_Message]:
        """The messages that are complete now."""
        rest = self._rest
        rest += data
        found: list[_Message] = []
        start = 0
        while len(rest) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(rest, start)[0]
            if len(rest) < end:
                break
            with memoryview(rest) as view:
                found += pickle.loads(view[start + _LENGTH.size : end])  # noqa: S301 - from our own process
            start = end
        del rest[:start]
        return found


def bind(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket, as a worker, a pipe and mitmproxy want it: early clients wait in its backlog.

    A host that begins with a slash is the path of a Unix socket; one that nothing listens on any more is replaced.

    Raises:
        OSError: The address is taken or none of this machine's.
        OverflowError: The port is none.
    """
    if host.startswith("/"):
        return _bind_path(host)
    literal = "127.0.0.1" if host.lower() == "localhost" else host
    if literal:
        # Names are not looked up: a resolver would hear of them, and what it says need not be what was meant.
        try:
            ipaddress.ip_address(literal)
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "no address") from None
    flags = socket.AI_PASSIVE | socket.AI_NUMERICHOST
    infos = socket.getaddrinfo(literal or None, 0, proto=socket.IPPROTO_TCP, flags=flags)
    # IPv4 first: control clients split addresses at the colon.
    family, kind, proto, _, address = min(infos, key=lambda info: info[0] != socket.AF_INET)
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP (p50 20 → 48 ms).
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address[0], port, *address[2:]))
        sock.listen(_BACKLOG)
    except (OSError, OverflowError):
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bind_path(path: str) -> socket.socket:
    """A listening Unix socket; who may connect to it is the umask's to say, usually its user alone."""
    with socket.socket(socket.AF_UNIX) as knocking, contextlib.suppress(FileNotFoundError):
        if knocking.connect_ex(path) == errno.ECONNREFUSED and Path(path).is_socket():
            Path(path).unlink()
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def release(sock: socket.socket) -> None:
    """Closes a listening socket for good: the file of a Unix socket goes with it."""
    if sock.fileno() >= 0 and sock.family == socket.AF_UNIX:
        Path(sock.getsockname()).unlink(missing_ok=True)
    sock.close()


def listen(host: str, port: int, where: str = "") -> socket.socket:
    """The socket of `bind`, with errors for people.

    Args:
        host: An address of this machine.
        port: The port; 0 takes a free one.
        where: The option or key that named the address, for the error.

    Raises:
        PortBusy: The address is taken.
        UsageError: It is none of this machine's.
    """
    try:
        return bind(host, port)
    except (OSError, OverflowError) as error:
        on_socket = host.startswith("/")
        address = f"{where} {host if on_socket else f'{host}:{port}'}".strip()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            remedy = "another path" if on_socket else "another port, or 0 for a free one"
            raise PortBusy(f"{address} is taken; choose {remedy}") from None
        reason = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, socket.gaierror):
            raise UsageError(
                f"{address} is no address, and names are not looked up to listen; write one of this machine's, "
                "such as 127.0.0.1, or localhost"
            ) from None
        remedy = "a path in a folder that is there and yours" if on_socket else "an address of this machine"
        raise UsageError(f"{address} cannot be listened on ({reason or error}); choose {remedy}") from None


# ── the parent's side ────────────────────────────────────────────────────────────────────────────────────────────────


class Startable(ABC):
    """What starts when a `with` block begins and stops when it ends."""

    @abstractmethod
    def start(self) -> None:
        """Returns when it serves."""

    @abstractmethod
    def stop(self) -> None:
        """Ends it; does nothing when it has ended already."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class AnyWorker(Protocol):
    """What a run needs of a process, whichever machine it runs on; see `Worker`."""

    name: str
    clock_s: float
    failure: ChaosbotError | None

    def ready(self, within_s: float = ...) -> Any:
        """Waits until the process is ready."""

    def send(self, message: Any) -> None:
        """Sends a message."""

    def tell_to_stop(self) -> None:
        """Tells it to end."""

    def stop(self, within_s: float = ...) -> bool:
        """Ends it."""

    def kill(self) -> None:
        """Ends it at once."""


StartWorker: TypeAlias = Callable[..., AnyWorker]
"""`Worker`, or what starts one elsewhere with the same arguments."""


class Worker:
    """A child process, as its parent sees it. Thread-safe.

    Args:
        name: What messages call it: ``proxy worker 0``.
        target: The function that runs in the child, ``module:function``.
        arguments: Its arguments after the channel.
        sockets: Sockets that the child inherits (`Parent.sockets`).
        on_message: Takes the child's messages, in order, on a thread of the worker's.
        on_request: Answers the child's requests, on the same thread.
        on_death: Told, on the same thread, that the child ended without being asked to, and how.
        optimize: Whether the child runs without assertions.

    Attributes:
        exit_code: How it ended; negative for a signal.
        failure: The error with which its function ended, if that was one of ours.
        clock_s: By how many seconds its monotonic clock is ahead of ours: one machine has one.
    """

    clock_s = 0.0

    def __init__(
        self,
        name: str,
        target: str,
        *arguments: Any,
        sockets: Sequence[socket.socket] = (),
        on_message: Callable[[Any], None] | None = None,
        on_request: Callable[[Any], Any] | None = None,
        on_death: Callable[[str], None] | None = None,
        optimize: bool = False,
    ) -> None:
        self.name = name
        self.exit_code: int | None = None
        self._on_message = on_message
        self._on_request = on_request
        self._on_death = on_death
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._replies: dict[int, _Message] = {}
        self._ready: _Message | None = None
        self.failure: ChaosbotError | None = None
        self._gone = self._ending = False
        self._stderr = b""
        self._sock, theirs = socket.socketpair()
        # Modules that this process can import (a third party's fault among them), the child can too.
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        flags = ["-P", *(["-O"] if optimize else [])]
        code = f"from chaosbot.workers import main; main({theirs.fileno()})"
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, *flags, "-c", code],
                    pass_fds=(theirs.fileno(), *(sock.fileno() for sock in sockets)),
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": path},
                    process_group=0,
                )
        except BaseException:
            self._sock.close()
            raise
        self._thread = threading.Thread(target=self._read, name=f"chaosbot {name}", daemon=True)
        self._thread.start()
        inherited = [(sock.fileno(), sock.family, sock.type, sock.proto) for sock in sockets]
        with contextlib.suppress(WorkerDied):  # `ready` says how it died
            self._send(_Kind.MESSAGE, 0, (target, arguments, inherited))

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child's channel is open."""
        return not self._gone

    def ready(self, within_s: float = READY_S) -> Any:
        """Waits until the child says that it is ready; returns what it said with that.

        Raises:
            UsageError: What the child refused.
            WorkerDied: It ended, or said nothing in time; it is gone then.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready is not None or self._gone, within_s)
            said, gone = self._ready, self._gone
        if said is not None:
            return said[2]
        if not gone:
            self.kill()
            raise WorkerDied(f"{self.name} did not get ready within {within_s:g} s{self._last_words()}")
        raise self.failure or WorkerDied(f"{self.name} {self._how()} before it was ready")

    def send(self, message: Any) -> None:
        """Sends a message; blocks while the child does not read.

        Raises:
            WorkerDied: The child is gone.
        """
        self._send(_Kind.MESSAGE, 0, message)

    def post(self, request: Any) -> int:
        """Sends a request; returns its number, for `wait`."""
        number = next(self._numbers)
        self._send(_Kind.REQUEST, number, request)
        return number

    def wait(self, number: int, within_s: float, what: str = "a request") -> Any:
        """The reply to a request.

        Args:
            number: From `post`.
            within_s: Seconds to wait.
            what: The request, for the error.

        Raises:
            WorkerDied: The child ended, or did not reply in time.
            EngineError: It could not do what it was asked.
        """
        with self._changed:
            self._changed.wait_for(lambda: number in self._replies or self._gone, within_s)
            reply = self._replies.pop(number, None)
        if reply is None:
            how = self._how() if self._gone else f"did not answer within {within_s:g} s"
            raise WorkerDied(f"{self.name} {how} when asked for {what}; the run cannot be judged")
        if reply[0] is _Kind.REFUSAL:
            raise EngineError(f"{self.name}: {what}: {reply[2]}")
        return reply[2]

    def ask(self, request: Any, within_s: float, what: str = "a request") -> Any:
        """`post` and `wait` in one."""
        return self.wait(self.post(request), within_s, what)

    def tell_to_stop(self) -> None:
        """Tells the child to end, and does not wait; its last messages still come."""
        self._ending = True
        with contextlib.suppress(WorkerDied):
            self._send(_Kind.STOP, 0, None)

    def stop(self, within_s: float = STOP_S) -> bool:
        """Ends the child: told to, then killed. When this returns its last messages have been taken.

        Returns:
            Whether it ended by itself and without an error.
        """
        self.tell_to_stop()
        if self._thread is not threading.current_thread():
            self._thread.join(within_s)
        killed = not self._gone
        self.kill()
        return not killed and self.exit_code == 0

    def kill(self) -> None:
        """Ends the child at once. A stopped (SIGSTOP) child ends as well."""
        self._ending = True
        self._process.kill()
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    def _send(self, kind: _Kind, number: int, value: Any) -> None:
        data = _encode([(kind, number, value)])
        try:
            with self._sending:
                self._sock.sendall(data)
        except OSError:
            raise WorkerDied(f"{self.name} is gone; the run cannot be judged") from None

    # ── on the worker's thread ───────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        trouble = ""
        try:
            self._take_all()
        except Exception as error:  # noqa: BLE001 - a handler's; who waits for messages must hear that none comes
            trouble = f"its messages cannot be taken any more ({type(error).__name__}: {error})"
            self._process.kill()
        try:
            self.exit_code = self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.exit_code = self._process.wait()
        assert self._process.stderr is not None  # noqa: S101 - a pipe was asked for
        os.set_blocking(self._process.stderr.fileno(), False)
        self._note_stderr(self._process.stderr.read() or b"")
        self._process.stderr.close()
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        with self._sending:
            self._sock.close()
        if self._on_death is not None and not self._ending and (self._ready is not None or trouble):
            self._on_death(trouble or str(self.failure or f"{self._how()} without being asked to"))

    def _take_all(self) -> None:
        """Takes messages until the channel ends, and what the child writes to its standard error."""
        decoder = _Decoder()
        errors = self._process.stderr
        assert errors is not None  # noqa: S101 - a pipe was asked for
        with selectors.DefaultSelector() as both:
            both.register(self._sock, selectors.EVENT_READ)
            both.register(errors, selectors.EVENT_READ)
            while True:
                for key, _ in both.select():
                    if key.fileobj is errors:
                        text = os.read(errors.fileno(), _STDERR_BYTES)
                        self._note_stderr(text)
                        if not text:
                            both.unregister(errors)
                        continue
                    try:
                        data = self._sock.recv(_READ_BYTES)
                    except OSError:
                        return
                    if not data:
                        return
                    for message in decoder.feed(data):
                        self._take(message)

    def _take(self, message: _Message) -> None:
        kind, number, value = message
        match kind:
            case _Kind.MESSAGE:
                if self._on_message is not None:
                    self._on_message(value)
            case _Kind.REQUEST:
                self._reply(number, value)
            case _Kind.READY | _Kind.REPLY | _Kind.REFUSAL:
                with self._changed:
                    if kind is _Kind.READY:
                        self._ready = message
                    else:
                        self._replies[number] = message
                    self._changed.notify_all()
            case _Kind.FAILURE:
                usage, text = value
                self.failure = UsageError(text) if usage else EngineError(f"{self.name}: {text}")
            case _Kind.STOP:
                pass  # a child never sends it

    def _reply(self, number: int, request: Any) -> None:
        try:
            reply = None if self._on_request is None else self._on_request(request)
            kind, value = _Kind.REPLY, reply
        except Exception as error:  # noqa: BLE001 - the child raises it
            kind, value = _Kind.REFUSAL, f"{type(error).__name__}: {error}"
        with contextlib.suppress(WorkerDied):  # its death is noticed by the next look at the channel
            self._send(kind, number, value)

    def _note_stderr(self, text: bytes) -> None:
        self._stderr = (self._stderr + text)[-_STDERR_BYTES:]

    def _how(self) -> str:
        code = self.exit_code
        if code is None:
            return "ended"
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return how + self._last_words()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        return f" ({' / '.join(lines[-_STDERR_LINES:])})" if lines else ""


# ── the child's side ─────────────────────────────────────────────────────────────────────────────────────────────────


class Parent:
    """The parent, as a child that may block sees it. `send` is thread-safe.

    Attributes:
        sockets: What was inherited.
    """

    def __init__(self, sock: socket.socket, sockets: list[socket.socket], decoder: _Decoder) -> None:
        self.sockets = sockets
        self._sock = sock
        self._decoder = decoder
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()

    def watch(self) -> None:
        """Begins to read, on a thread: whatever the child does, it ends when the parent goes."""
        threading.Thread(target=self._read, name="chaosbot parent", daemon=True).start()

    @property
    def stopping(self) -> bool:
        """Whether the parent wants the child to end."""
        return self._stopping.is_set()

    def ready(self, value: Any = None) -> None:
        """Says that the child is ready."""
        self._write(_Kind.READY, value)

    def send(self, message: Any) -> None:
        """Sends a message; blocks while the parent does not read."""
        self._write(_Kind.MESSAGE, message)

    def fail(self, error: ChaosbotError) -> None:
        """Says why the child ends."""
        self._write(_Kind.FAILURE, (isinstance(error, UsageError), str(error)))

    def receive(self) -> Any:
        """The parent's next message; None when there is none any more because the child should end."""
        kind, _, value = self._messages.get()
        return None if kind is _Kind.STOP else value

    def came(self) -> Iterator[Any]:
        """The messages that have come and were not received yet; does not wait."""
        while not self._messages.empty():
            kind, _, value = self._messages.get()
            if kind is not _Kind.STOP:
                yield value

    def _write(self, kind: _Kind, value: Any) -> None:
        data = _encode([(kind, 0, value)])
        try:
            with self._lock:
                self._sock.sendall(data)
        except OSError:
            os._exit(_ORPHANED)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._sock.recv(_READ_BYTES):
                for message in self._decoder.feed(data):
                    if message[0] is _Kind.STOP:
                        self._stopping.set()
                    self._messages.put(message)
        os._exit(_ORPHANED)


class AsyncParent:
    """The parent, as a child with an asyncio loop sees it.

    Messages are collected for a moment and leave together. More than 8 MiB that the parent does not take make the loop wait: then
    the child's own peers wait, too.

    Attributes:
        sockets: What was inherited.
        stopping: Set when the parent wants the child to end.
        answer: Answers the parent's requests; must be set before `ready`.
        together_s: How long messages may wait for others, in seconds.
    """

    def __init__(self, sock: socket.socket, sockets: list[socket.socket], decoder: _Decoder) -> None:
        import asyncio  # noqa: PLC0415 - most parents and half of the children need none

        self.sockets = sockets
        self.stopping = asyncio.Event()
        self.answer: Callable[[Any], Any] = _nothing_to_ask
        self.together_s = 0.005
        self._sock = sock
        self._decoder = decoder
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._waiting: list[_Message] = []
        self._timer: asyncio.Handle | None = None
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._waits_to_write = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)

    def take_soon(self, messages: list[_Message]) -> None:
        """Takes messages that came before this object did, when the loop comes round."""
        self._loop.call_soon(self.take, messages)

    def ready(self, value: Any = None) -> None:
        """Says that the child is ready."""
        self._post(_Kind.READY, 0, value)
        self.flush()

    def send(self, message: Any) -> None:
        """Sends a message, together with those that follow soon."""
        self._post(_Kind.MESSAGE, 0, message)

    def fail(self, error: ChaosbotError) -> None:
        """Says why the child ends."""
        self._post(_Kind.FAILURE, 0, (isinstance(error, UsageError), str(error)))

    async def ask(self, request: Any, within_s: float) -> Any:
        """The parent's reply.

        Raises:
            TimeoutError: None in time.
            EngineError: The parent could not do it.
        """
        import asyncio  # noqa: PLC0415 - as above

        number = next(self._numbers)
        future = self._replies[number] = self._loop.create_future()
        self._post(_Kind.REQUEST, number, request)
        self.flush()
        try:
            async with asyncio.timeout(within_s):
                return await future
        finally:
            del self._replies[number]

    def flush(self) -> None:
        """Sends what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        data, lost = self._encoded(waiting)
        self._unsent.append(memoryview(data))
        self._unsent_bytes += len(data)
        if len(self._unsent) == 1:
            self._write()
            if self._unsent:
                self._waits_to_write = True
                self._loop.add_writer(self._sock, self._write)
        if self._unsent_bytes > _MOST_BUFFERED:
            self._write_all()
        if lost is not None:
            raise lost

    def _encoded(self, messages: list[_Message]) -> tuple[bytes, Exception | None]:
        """The messages as bytes, without those that cannot be said in any; the error of one that nobody waits for the answer of."""
        try:
            return _encode(messages), None
        except Exception:  # noqa: BLE001 - one of them cannot be pickled; it must not keep the others
            data, lost = b"", None
        for message in messages:
            try:
                data += _encode([message])
            except Exception as error:  # noqa: BLE001 - as above
                kind, number, _ = message
                asked = self._replies.get(number) if kind is _Kind.REQUEST else None
                if asked is None:
                    lost = error
                elif not asked.done():
                    asked.set_exception(EngineError(f"what was to be asked cannot be told ({type(error).__name__})"))
        return data, lost

    async def close(self) -> None:
        """Sends what is left and ends the channel."""
        self.flush()
        self._write_all()
        self._loop.remove_reader(self._sock)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _post(self, kind: _Kind, number: int, value: Any) -> None:
        self._waiting.append((kind, number, value))
        if len(self._waiting) >= _MOST_TOGETHER:
            self.flush()
        elif self._timer is None:
            # Where nothing may wait, messages of one turn of the loop still leave together.
            later = self._loop.call_later
            self._timer = later(self.together_s, self.flush) if self.together_s else self._loop.call_soon(self.flush)

    def _write(self) -> None:
        try:
            while self._unsent:
                first = self._unsent[0]
                count = self._sock.send(first)
                self._unsent_bytes -= count
                if count < len(first):
                    self._unsent[0] = first[count:]
                else:
                    self._unsent.popleft()
            if self._waits_to_write:  # otherwise it costs a call of the system for nothing
                self._waits_to_write = False
                self._loop.remove_writer(self._sock)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            os._exit(_ORPHANED)

    def _write_all(self) -> None:
        while self._unsent:
            select.select([], [self._sock], [])
            self._write()

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            os._exit(_ORPHANED)
        try:
            messages = self._decoder.feed(data)
        except Exception:  # noqa: BLE001 - a third party's module that is not found here; the parent reads why
            traceback.print_exc()
            _leave(1)
        self.take(messages)

    def take(self, messages: list[_Message]) -> None:
        """Takes messages of the parent."""
        for kind, number, value in messages:
            match kind:
                case _Kind.REQUEST:
                    self._reply(number, value)
                case _Kind.REPLY | _Kind.REFUSAL:
                    future = self._replies.get(number)
                    if future is not None and not future.done():
                        if kind is _Kind.REPLY:
                            future.set_result(value)
                        else:
                            future.set_exception(EngineError(str(value)))
                case _Kind.STOP:
                    self.stopping.set()
                case _Kind.MESSAGE | _Kind.READY | _Kind.FAILURE:
                    pass  # a parent does not send them to such a child
        self.flush()

    def _reply(self, number: int, request: Any) -> None:
        try:
            self._post(_Kind.REPLY, number, self.answer(request))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            self._post(_Kind.REFUSAL, number, f"{type(error).__name__}: {error}")


def _nothing_to_ask(_request: Any) -> Any:
    raise RuntimeError("this child answers no requests")


def main(number: int) -> None:
    """Runs a child; never returns.

    Args:
        number: The descriptor of its end of the channel.
    """
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    code = 1
    try:
        _run(socket.socket(fileno=number))
        code = 0
    except ChaosbotError:
        pass  # the parent was told
    except BaseException:  # noqa: BLE001 - printed: the parent reads it, and the process ends
        traceback.print_exc()
    finally:
        _leave(code)


def _leave(code: int) -> NoReturn:
    """Ends the process without waiting for threads, tasks and handlers: what it had to say was said."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run(sock: socket.socket) -> None:
    """Takes the assignment, the first message, and runs its function."""
    decoder = _Decoder()
    messages: list[_Message] = []
    while not messages:
        data = sock.recv(_READ_BYTES)
        if not data:
            os._exit(_ORPHANED)
        messages = decoder.feed(data)
    target, arguments, inherited = messages.pop(0)[2]
    sockets = [socket.socket(family, kind, proto, fileno=fd) for fd, family, kind, proto in inherited]
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    if inspect.iscoroutinefunction(function):
        import asyncio  # noqa: PLC0415 - as above

        asyncio.run(_run_async(function, sock, sockets, decoder, messages, arguments))
        return
    parent = Parent(sock, sockets, decoder)
    for message in messages:
        if message[0] is _Kind.STOP:
            parent._stopping.set()  # noqa: SLF001 - its other half
        parent._messages.put(message)  # noqa: SLF001 - its other half
    parent.watch()
    try:
        function(parent, *arguments)
    except ChaosbotError as error:
        parent.fail(error)
        raise


async def _run_async(
    function: Callable[..., Any],
    sock: socket.socket,
    sockets: list[socket.socket],
    decoder: _Decoder,
    messages: list[_Message],
    arguments: tuple[Any, ...],
) -> None:
    parent = AsyncParent(sock, sockets, decoder)
    # Requests that came with the assignment are answered once there is someone to answer them.
    parent.take_soon(messages)
    try:
        await function(parent, *arguments)
    except ChaosbotError as error:
        parent.fail(error)
        await parent.close()
        raise
    await parent.close()
    _leave(0)
