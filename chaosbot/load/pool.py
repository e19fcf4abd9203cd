"""Connections shared by many: the one that was free last is used first, so few are kept warm."""

from __future__ import annotations

from collections.abc import Callable

from chaosbot.load.connection import LoadConnection
from chaosbot.load.pending import PendingRequest


class ConnectionPool:
    """A set of connections.

    Args:
        connection: Opens one.
        most: How many there may be.
    """

    def __init__(self, connection: Callable[[], LoadConnection], most: int) -> None:
        self._connection = connection
        self._most = most
        self._idle: list[LoadConnection] = []
        self._count = 0

    @property
    def free(self) -> bool:
        """Whether a request can leave now."""
        return bool(self._idle) or self._count < self._most

    @property
    def busy(self) -> int:
        """Connections that carry a request."""
        return self._count - len(self._idle)

    def fire(self, pending: PendingRequest) -> None:
        """Sends a request on a free connection; there must be one."""
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = self._connection()
            self._count += 1
        pending.connection = connection
        connection.fire(pending)

    def release(self, pending: PendingRequest) -> None:
        """The request is over; its connection is free again."""
        self._idle.append(pending.connection)
