"""A connection: one keep-alive connection that carries one request at a time.

States: *closed* (no socket) → *connecting* → *shaking* (TLS) → *open*; any failure goes back to closed. A connection that lost its
socket opens a new one with the next pending, so whoever owns it (a virtual user, a pool) never sees the difference.

Rules:

- Every pending that was sent ends in exactly one call of its owner's `finished`, also when the run is cut off (`abandon`).
- A request is never sent twice. A connection that died while idle is noticed before the next request is written; what
  dies after that is the request's own fate, because under fault injection that is what we came to see. Noticed means: the
  hang-up came with the answer, or the loop heard it before the timer, or a look finds it. The look costs a third of a
  request, so a connection goes without one while it was idle for less than the loop needs to come round.
- A request past its time is cut off with the timeout as its duration: it stays in the percentiles (right-censored).
- This is the plain path; `chaosbot.load.fast_connection` stands beside it, and a property test holds them equal.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

import httptools

from chaosbot.core.outcome import Fate
from chaosbot.load.event_loop import HUNG_UP, READ, SLICE_S, WRITE, EventLoop
from chaosbot.load.pending import PendingRequest
from chaosbot.load.target import LoadTarget

if TYPE_CHECKING:
    from chaosbot.load.aggregator import MetricsAggregator
    from chaosbot.load.fast_connection import Repeater
    from chaosbot.load.templates import TemplatedRequests

CHUNK: Final = 1 << 16
_LONGEST_HEAD: Final = 4096
HEAD_REQUEST: Final = b"HEAD "
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
HEAR: Final = READ | HUNG_UP
_STALE_S: Final = 4 * SLICE_S  # even a busy loop has listened since, if a connection was idle for less
_WAITS: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
SLOW_S: Final = 3.0
"""How long a slow client takes over its request, or leaves its answer unread."""
SLOW_PIECES: Final = 10
SLOW_BODY: Final = "body"
SLOW_READER: Final = "unread"
_ANSWERED: Final = Fate.ANSWERED
_RESETS: Final = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}


class LoadConnection:
    """One connection.

    Args:
        loop: The loop that serves it.
        target: Where it goes.
    """

    __slots__ = (
        "_broken_framing",
        "_complete",
        "_hung_up",
        "_idle_since",
        "_keep",
        "_loop",
        "_open",
        "_out",
        "_parser",
        "_recv",
        "_send",
        "_sock",
        "_target",
        "pending",
    )

    def __init__(self, loop: EventLoop, target: LoadTarget) -> None:
        self._loop = loop
        self._target = target
        self._sock: socket.socket | None = None
        self._open = False
        self._out = b""
        self._complete = False
        self._broken_framing = False
        self._keep = False
        self._hung_up = False
        self._idle_since = 0.0
        self.pending: PendingRequest | None = None

    @property
    def connected(self) -> bool:
        """Whether it has an open connection."""
        return self._open

    def fire(self, pending: PendingRequest) -> None:
        """Sends a request; the connection must be free."""
        now = self._loop.clock()
        pending.started = now
        self.pending = pending
        if self._open and now - self._idle_since > _STALE_S and self._stale():
            self._close()
        if not self._open:
            self._connect()
        elif pending.slow:
            self._begin(pending)
        else:
            self._write(pending.data)

    def repeat(self, user: Repeater, requests: TemplatedRequests, aggregator: MetricsAggregator) -> None:
        """A user without pauses has this connection: the fast path serves it in one loop."""

    # ── connecting ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _connect(self) -> None:
        target = self._target
        try:
            sock = socket.socket(target.family, socket.SOCK_STREAM)
        except OSError as error:
            self._refuse(f"no socket: {error.strerror}")
            return
        sock.setblocking(False)
        if target.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(target.address)
        self._sock = sock
        if code not in {0, errno.EINPROGRESS}:
            self._close()
            self._refuse(os.strerror(code))
            return
        self._loop.watch(sock.fileno(), WRITE, self.ready)

    def _refuse(self, detail: str) -> None:
        """Ends the request a moment later: a refusal inside `fire` would call the owner back before it knows that it fired."""
        pending = self.pending

        def refused() -> None:
            if self.pending is pending:
                self._end(Fate.REFUSED, detail)

        self._loop.at(0.0, refused)

    def _progress(self) -> None:
        sock = self._sock
        if sock is None:
            return
        if not isinstance(sock, ssl.SSLSocket):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._end(Fate.REFUSED, os.strerror(code))
                return
            try:
                sock.getpeername()
            except OSError:
                return  # a left-over event of the descriptor's former owner
            if self._target.tls is None:
                self._established(sock)
                return
            self._loop.forget(sock.fileno())
            sock = self._sock = self._target.tls.wrap_socket(
                sock, server_hostname=self._target.server_name, do_handshake_on_connect=False
            )
            self._loop.watch(sock.fileno(), WRITE, self.ready)
        self._shake(sock)

    def _shake(self, sock: ssl.SSLSocket) -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.rewatch(sock.fileno(), READ)
        except ssl.SSLWantWriteError:
            self._loop.rewatch(sock.fileno(), WRITE)
        except ssl.SSLCertVerificationError as error:
            self._end(Fate.TLS, f"certificate: {error.verify_message}")
        except OSError as error:
            self._end(Fate.TLS, getattr(error, "reason", None) or error.strerror or "closed during the handshake")
        else:
            self._established(sock)

    def _established(self, sock: socket.socket) -> None:
        self._open = True
        self._parser = httptools.HttpResponseParser(self)
        self._recv, self._send = sock.recv, sock.send
        self._loop.rewatch(sock.fileno(), HEAR)
        pending = self.pending
        if pending is None:
            return
        pending.connect_s = self._loop.clock() - pending.started
        self._begin(pending)

    # ── one exchange ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, pending: PendingRequest) -> None:
        if not pending.slow:
            self._write(pending.data)
        elif pending.slow == SLOW_BODY:
            self._dribble(pending, 0)
        else:
            self._write(pending.data)
            if self._sock is not None and not self._out:
                self._loop.rewatch(self._sock.fileno(), 0)
                self._loop.at(self._loop.clock() + SLOW_S, lambda: self._look_up(pending))

    def _dribble(self, pending: PendingRequest, sent: int) -> None:
        """Sends a piece of the request, and the next one later."""
        if self.pending is not pending or not self._open:
            return
        end = min(sent + max(len(pending.data) // SLOW_PIECES, 1), len(pending.data))
        if self._out:
            self._out += pending.data[sent:end]
        else:
            self._write(pending.data[sent:end])
        if end < len(pending.data):
            self._loop.at(self._loop.clock() + SLOW_S / SLOW_PIECES, lambda: self._dribble(pending, end))

    def _look_up(self, pending: PendingRequest) -> None:
        """An answer that was left unread is read after all, so that its fate is known."""
        if self.pending is pending and self._sock is not None and self._open:
            self._loop.rewatch(self._sock.fileno(), HEAR)

    def _write(self, data: bytes) -> None:
        try:
            count = self._send(data)
        except _WAITS:
            count = 0
        except OSError as error:
            # Not at once: the peer may have answered before it closed, and that answer is still to be read.
            pending, detail = self.pending, error.strerror or str(error)
            self._loop.at(0.0, lambda: self._write_failed(pending, detail))
            return
        if count < len(data):
            self._leave(data[count:])

    def _leave(self, rest: bytes) -> None:
        """Keeps what the socket did not take until it can be written."""
        if self._sock is not None:
            self._out = rest
            self._loop.rewatch(self._sock.fileno(), HEAR | WRITE)

    def _write_failed(self, pending: PendingRequest | None, detail: str) -> None:
        if self.pending is pending and pending is not None:
            if self._sock is not None and self._open:
                self._receive()
            if self.pending is pending:
                self._end(Fate.RESET, detail)

    def _flush(self) -> None:
        data, self._out = self._out, b""
        if self._sock is not None:
            self._loop.rewatch(self._sock.fileno(), HEAR)
        if data:
            self._write(data)

    def ready(self, mask: int) -> None:
        """The loop says that the descriptor can be read, written, or is broken."""
        if mask != READ or not self._open:
            self._ready_otherwise(mask)
            return
        self._receive()

    def _came_whole(self, data: bytes) -> None:
        """An answer came in one piece; the fast path remembers it."""

    def _ready_otherwise(self, mask: int) -> None:
        if not self._open:
            self._progress()
            return
        if mask & HUNG_UP:
            self._hung_up = True
        if mask & WRITE and self._out:
            self._flush()
        if mask & ~WRITE and self._open:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._recv(CHUNK)
        except OSError as error:
            self._unreadable(error)
        else:
            self._read(data)

    def _unreadable(self, error: OSError) -> None:
        if not isinstance(error, _WAITS):
            self._end(Fate.RESET if error.errno in _RESETS else Fate.CLOSED, error.strerror or str(error))

    def _read(self, data: bytes) -> None:
        """Feeds the parser with what came; empty is the end of the connection."""
        pending = self.pending
        if pending is None:
            self._close()  # the peer hung up, or talks unasked
            return
        if not data:
            self._end_of_file(pending)
            return
        if not pending.head:
            pending.first = self._loop.clock()
            pending.head = data
        elif len(pending.head) < _LONGEST_HEAD and b"\r\n\r\n" not in pending.head:
            pending.head += data
        pending.received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(Fate.PROTOCOL, "an upgrade that nobody asked for")
            return
        except httptools.HttpParserError as error:
            if self._complete:  # the answer itself was whole; what follows it is not
                self._broken_framing = True
            else:
                self._end(Fate.PROTOCOL, str(error) or type(error).__name__)
                return
        if self._complete:
            if pending.data.startswith(HEAD_REQUEST):
                self._parser = httptools.HttpResponseParser(self)  # the old one waits for the body that was promised
            elif pending.received == len(data) and not self._broken_framing:
                self._came_whole(data)
            self._answered(pending)
        elif isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            self._receive()  # decrypted bytes wait where epoll cannot see them

    def on_message_begin(self) -> None:
        """Parser: an answer begins; a second one to one request means that the framing cannot be trusted."""
        if self._complete:
            self._broken_framing = True

    def on_headers_complete(self) -> None:
        """Parser: the head is whole, and with it the answer to a HEAD request, whatever length it promises."""
        if self.pending is not None and self.pending.data.startswith(HEAD_REQUEST):
            self.on_message_complete()

    def on_message_complete(self) -> None:
        """Parser: the answer is whole (interim ones do not count)."""
        status = self._parser.get_status_code()
        if status >= 200 and self.pending is not None and not self._complete:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
            self.pending.status = status

    def _answered(self, pending: PendingRequest) -> None:
        now = self._loop.clock()
        pending.ended = now
        pending.fate = _ANSWERED
        self._idle_since = now
        self.pending = None
        self._complete = False
        if not self._keep or self._hung_up or self._broken_framing or self._out:
            self._close()
        pending.owner.finished(pending)

    def _end_of_file(self, pending: PendingRequest) -> None:
        head, blank, _ = pending.head.lower().partition(b"\r\n\r\n")
        if blank and b"\r\ncontent-length:" not in head and b"\r\ntransfer-encoding:" not in head:
            # Without a length the end of the connection is the end of the answer.
            pending.status = self._parser.get_status_code()
            self._keep = False
            self._answered(pending)
            return
        self._end(Fate.CLOSED, "closed in the middle of the answer" if pending.head else "closed without an answer")

    def _end(self, fate: Fate, detail: str) -> None:
        """The connection is lost, and with it the request on it, if there is one."""
        self._partial_status()
        self._close()
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.fate, pending.detail = fate, detail
            pending.ended = self._loop.clock()
            pending.owner.finished(pending)

    def _partial_status(self) -> None:
        """The status of an answer that broke off, read from its own bytes: the parser may still hold the last answer's."""
        pending = self.pending
        if pending is not None:
            heads = pending.head.split(b"\r\n\r\n")
            statuses = (int(found[1]) for head in heads if (found := _STATUS_LINE.match(head)))
            pending.status = next((status for status in statuses if status >= 200), None)

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def expire(self, now: float) -> None:
        """Cuts the request off if its time is over."""
        pending = self.pending
        if pending is None:
            return
        limit = pending.started + (self._target.timeout_s if self._open else self._target.connecting_s)
        if now < limit:
            return
        fate = Fate.TIMEOUT if self._open else Fate.CONNECT_TIMEOUT
        self._partial_status()
        self._close()
        self.pending = None
        pending.fate, pending.ended = fate, limit
        pending.detail = (
            f"no complete answer within {limit - pending.started:g} s"
            if fate is Fate.TIMEOUT
            else "not connected in time"
        )
        pending.owner.finished(pending)

    def hang_up(self) -> None:
        """Closes a connection that nobody uses any more."""
        if self.pending is None:
            self._close()

    def abandon(self) -> None:
        """The run is over: the request on it is cancelled, the connection closed."""
        self._end(Fate.CANCELLED, "the run ended first")

    def _stale(self) -> bool:
        """Whether the peer closed an idle connection (or said something unasked on it)."""
        try:
            self._recv(1)
        except _WAITS:
            return False
        except OSError:
            return True
        return True

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        self._open = False
        self._out = b""
        self._complete = self._broken_framing = self._hung_up = False
        if sock is not None:
            self._loop.forget(sock.fileno())
            sock.close()
