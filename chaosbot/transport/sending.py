"""Sends a case exactly as it says, and classifies what comes of it.

Rules:

- One loop reads while it writes, so an early answer (a refused upload, a 408) is seen although the request is still under way.
- A case is over when its answer is complete, when the peer has ended the connection, or when the time is up; the time is
  one deadline over everything after the connection stands, so a sender that trickles or a server that does is bounded alike.
- Nothing escapes as an exception: every request ends as one `Outcome`.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from math import inf
from time import monotonic

from chaosbot.core.case import Case, Ending, Reading
from chaosbot.core.errors import ConfigError
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.transport.address import Address
from chaosbot.transport.answer import AnswerReader, State
from chaosbot.transport.link import Link, LinkFailed, explain


class Run:
    """One request under way: what was sent and received so far, and when."""

    __slots__ = ("began", "first_byte_at", "first_sent_at", "link", "reader", "until")

    def __init__(self, link: Link, reader: AnswerReader, until: float, began: float) -> None:
        self.link = link
        self.reader = reader
        self.until = until
        self.began = began
        self.first_sent_at: float | None = None
        self.first_byte_at: float | None = None

    def write(self, data: bytes, *, read: bool) -> bool:
        """Sends all of the data; False when the answer was complete, or the time up, before that."""
        if self.first_sent_at is None:
            self.first_sent_at = monotonic()
        try:
            self.link.queue(data)
            while not self.link.flush():
                readable, _ = self.link.wait(self.until, read=read, write=True)
                if readable:
                    self.take()
                if self.reader.done or monotonic() >= self.until:
                    return False
        except LinkFailed:
            # The peer refused more. What it had answered before it did is still in the socket, and is what counts.
            if not read:
                raise
            while not self.reader.done and monotonic() < self.until:
                self.take()
            return False
        return True

    def take(self) -> None:
        """Reads what is there."""
        data = self.link.receive()
        if data is None:
            return
        if not data:
            self.reader.end()
            return
        if self.first_byte_at is None:
            self.first_byte_at = monotonic()
        self.reader.feed(data)

    def read_until(self, moment: float, most: float = inf) -> None:
        """Reads until the answer is complete, the moment has come, or more than `most` bytes have."""
        while not self.reader.done and self.reader.received <= most:
            readable, _ = self.link.wait(moment)
            if readable:
                self.take()
            if monotonic() >= moment:  # also while bytes come: an answer may have no end
                return

    def outcome(self, fate: Fate, detail: str = "", *, total_s: float | None = None) -> Outcome:
        """What this came to."""
        reader = self.reader
        first = None
        if self.first_byte_at is not None and self.first_sent_at is not None:
            first = max(0.0, self.first_byte_at - self.first_sent_at)
        return Outcome(
            fate=fate,
            status=reader.status,
            connect_s=self.link.connected_s,
            first_byte_s=first,
            total_s=monotonic() - self.began if total_s is None else total_s,
            received=reader.received,
            headers=reader.headers,
            body=bytes(reader.body),
            detail=detail,
        )

    def judged(self, timeout_s: float) -> Outcome:
        """The outcome that the reader's state means."""
        reader = self.reader
        if reader.state is State.DONE:
            surplus = f"{reader.surplus} more bytes followed the answer" if reader.surplus else ""
            return self.outcome(Fate.ANSWERED, surplus)
        if reader.state is State.BROKEN:
            return self.outcome(Fate.PROTOCOL, reader.why)
        if reader.state is State.CUT:
            return self.outcome(Fate.CLOSED, reader.why)
        where = "no answer" if reader.received == 0 else "no complete answer"
        # Right-censored: at least the whole timeout, whatever the clock says.
        total_s = max(timeout_s, monotonic() - self.began)
        return self.outcome(Fate.TIMEOUT, f"{where} in time", total_s=total_s)


def opened(address: Address, connect_timeout_s: float, began: float) -> Link | Outcome:
    """A connection, or the outcome that there is none."""
    try:
        return Link.open(address, connect_timeout_s)
    except LinkFailed as error:
        fate, detail = error.fate, error.detail
    except ConfigError as error:
        fate, detail = Fate.CANCELLED, str(error)  # the CA file given to us; the target has nothing to do with it
    except OSError as error:
        fate, detail = Fate.REFUSED, explain(error)
    took = monotonic() - began
    return Outcome(fate, total_s=max(took, connect_timeout_s) if fate is Fate.CONNECT_TIMEOUT else took, detail=detail)


def send(
    case: Case, address: Address, *, connect_timeout_s: float = 5.0, timeout_s: float = 30.0, keep: int = 4096
) -> Outcome:
    """Sends a case on a fresh connection and waits for its fate.

    A case that ends the connection itself is CLOSED or RESET with a detail that says so; one that never reads is the peer's
    end of the connection, or TIMEOUT.

    Args:
        case: What to send, with its timing.
        address: Where to.
        connect_timeout_s: Bound on the connection, TLS included.
        timeout_s: Bound on everything after that.
        keep: How many bytes of the answer's body to keep.
    """
    began = monotonic()
    link = opened(address, connect_timeout_s, began)
    if isinstance(link, Outcome):
        return link
    method = b"".join(segment.data[:5] for segment in case.segments[:5])
    reader = AnswerReader(keep, head_only=method.startswith(b"HEAD "))
    run = Run(link, reader, monotonic() + timeout_s, began)
    try:
        return _perform(case, run, timeout_s)
    except LinkFailed as error:
        return run.outcome(error.fate, error.detail)
    except OSError as error:
        return run.outcome(Fate.RESET if error.errno == errno.ECONNRESET else Fate.CLOSED, explain(error))
    finally:
        link.close()


def _perform(case: Case, run: Run, timeout_s: float) -> Outcome:
    reads = case.reading is Reading.ALL
    for segment in case.segments:
        if segment.pause_s > 0:
            _pause(run, min(monotonic() + segment.pause_s, run.until), reads=reads)
        if run.reader.done or monotonic() >= run.until:
            return run.judged(timeout_s)
        if not run.write(segment.data, read=reads):
            return run.judged(timeout_s)
    match case.ending:
        case Ending.RESET:
            run.link.reset()
            return run.outcome(Fate.RESET, "the case reset the connection itself")
        case Ending.CLOSE:
            run.link.close()
            return run.outcome(Fate.CLOSED, "the case closed the connection itself")
        case Ending.HALF_CLOSE:
            if not run.reader.done:
                with suppress(LinkFailed):  # ended by the peer already; what it said before is still there to be read
                    run.link.half_close()
        case Ending.WAIT:
            pass
    if reads:
        run.read_until(run.until)
        return run.judged(timeout_s)
    fate = run.link.gone(run.until)
    if fate is None:
        return run.outcome(Fate.TIMEOUT, "the case never read its answer", total_s=max(timeout_s, 0.0))
    return run.outcome(fate, "the peer ended the connection that the case never read from")


def _pause(run: Run, until: float, *, reads: bool) -> None:
    if reads:
        run.read_until(until)
        return
    fate = run.link.gone(until)
    if fate is not None:
        raise LinkFailed(fate, "the peer ended the connection while the case was sending")
