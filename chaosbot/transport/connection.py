"""A kept connection for one request after the other, where speed matters more than the shape of the bytes."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from chaosbot.core.outcome import Fate, Outcome
from chaosbot.transport.address import Address
from chaosbot.transport.answer import AnswerReader
from chaosbot.transport.link import Link, LinkFailed
from chaosbot.transport.sending import Run, opened


class Connection:
    """Sends complete requests over one persistent connection.

    A server may close a kept connection at any time; a request that meets such a stale connection (ended before a byte of
    an answer) is sent once more on a fresh one, as every client does. Not thread-safe: one connection, one user.

    Args:
        address: Where to.
        connect_timeout_s: Bound on a connection, TLS included.
        timeout_s: Bound on an exchange.
        keep: How many bytes of an answer's body to keep.
    """

    def __init__(
        self, address: Address, *, connect_timeout_s: float = 5.0, timeout_s: float = 30.0, keep: int = 4096
    ) -> None:
        self.address = address
        self.connect_timeout_s = connect_timeout_s
        self.timeout_s = timeout_s
        self.keep = keep
        self._link: Link | None = None

    def exchange(self, request: bytes) -> Outcome:
        """Sends one complete request and reads its answer; never raises."""
        began = monotonic()
        if self._link is not None:
            outcome = self._once(self._link, request, began)
            stale = outcome.fate in (Fate.CLOSED, Fate.RESET) and outcome.received == 0
            if not stale:
                return outcome
        link = opened(self.address, self.connect_timeout_s, began)
        if isinstance(link, Outcome):
            return link
        return self._once(link, request, began)

    def _once(self, link: Link, request: bytes, began: float) -> Outcome:
        reader = AnswerReader(self.keep, head_only=request.startswith(b"HEAD "))
        run = Run(link, reader, monotonic() + self.timeout_s, began)
        try:
            sent = run.write(request, read=True)
            if sent:
                run.read_until(run.until)
            outcome = run.judged(self.timeout_s)
        except LinkFailed as error:
            sent = False
            outcome = run.outcome(error.fate, error.detail)
        link.connected_s = 0.0
        if sent and reader.reusable:
            self._link = link
        else:
            link.close()
            self._link = None
        return outcome

    def close(self) -> None:
        """Closes the connection; the next exchange opens another."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
