"""The fate of one request, classified.

Rules: an outcome is never an exception; every request that was started ends as exactly one of these kinds; a request that
met its timeout has the timeout as its duration (right-censored), so percentiles never lose the slow ones.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Fate(StrEnum):
    """What became of a request, from its sender's chair."""

    ANSWERED = "answered"  # a complete HTTP answer, whatever its status
    REFUSED = "refused"  # the connection was refused or unreachable
    CONNECT_TIMEOUT = "connect_timeout"  # no connection in time
    TLS = "tls"  # the handshake failed
    RESET = "reset"  # RST before the answer was complete
    CLOSED = "closed"  # FIN before the answer was complete, or an empty reply
    TIMEOUT = "timeout"  # connected, but no complete answer in time
    PROTOCOL = "protocol"  # an answer that is no HTTP
    CANCELLED = "cancelled"  # the run ended first


def acknowledged(fate: Fate | None, status: int | None) -> bool:
    """Whether a platform counts it as an acknowledgement: a complete 2xx answer."""
    return fate is Fate.ANSWERED and status is not None and 200 <= status < 300


def error_kind(fate: Fate | None, status: int | None) -> str | None:
    """The key under which reports count a failure; None for a 2xx answer, and for a stream's 101."""
    if fate is not Fate.ANSWERED:
        return str(fate)
    if status is not None and status != 101 and not 200 <= status < 300:
        return f"status_{status}"
    return None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One request's fate with its phases.

    Args:
        fate: What became of it.
        status: The HTTP status, when there was one (also for an answer that broke off after its head).
        connect_s: Seconds until connected (TLS included); 0 on a reused connection.
        first_byte_s: Seconds from the first byte sent to the first byte received; None when none came.
        total_s: Seconds from the start to the end of the answer, or to the failure.
        received: Bytes received.
        headers: The answer's headers, names in lower case.
        body: The start of the answer's body, bounded by whoever recorded it.
        detail: One line for people: the errno, the parser's complaint.
        taken: Whether its status, though no 2xx, is what this target takes valid updates with.
    """

    fate: Fate
    status: int | None = None
    connect_s: float = 0.0
    first_byte_s: float | None = None
    total_s: float = 0.0
    received: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    detail: str = ""
    taken: bool = False

    @property
    def ok(self) -> bool:
        """Whether it is an acknowledgement: a complete 2xx answer, or what stands for one at this target."""
        return acknowledged(self.fate, self.status) or (self.taken and self.fate is Fate.ANSWERED)

    @property
    def error_kind(self) -> str | None:
        """The key under which reports count this failure; None for a 2xx answer, and for a stream's 101."""
        return error_kind(self.fate, self.status)
