"""Connections shared by many: the one that was free last is used first, so few are kept warm."""

from __future__ import annotations

from collections.abc import Callable

from chaosbot.load.line import Line
from chaosbot.load.shot import Shot


class Pool:
    """A set of connections.

    Args:
        line: Opens one.
        most: How many there may be.
    """

    def __init__(self, line: Callable[[], Line], most: int) -> None:
        self._line = line
        self._most = most
        self._idle: list[Line] = []
        self._count = 0

    @property
    def free(self) -> bool:
        """Whether a request can leave now."""
        return bool(self._idle) or self._count < self._most

    @property
    def busy(self) -> int:
        """Connections that carry a request."""
        return self._count - len(self._idle)

    def fire(self, shot: Shot) -> None:
        """Sends a request on a free connection; there must be one."""
        if self._idle:
            line = self._idle.pop()
        else:
            line = self._line()
            self._count += 1
        shot.line = line
        line.fire(shot)

    def release(self, shot: Shot) -> None:
        """The request is over; its connection is free again."""
        self._idle.append(shot.line)
