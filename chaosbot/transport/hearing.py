"""Requests that somebody sends to a small server of ours: heard whole within a time, or not at all."""

from __future__ import annotations

import io
import math
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any, ClassVar


class _Hearing(io.RawIOBase):
    """Reads a socket until a moment, however its bytes come."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        self.until = math.inf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - monotonic()
        if left <= 0:
            raise TimeoutError("the request did not come in time")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


class TimelyHandler(BaseHTTPRequestHandler):
    """Answers requests each of which has come, head and body, `timeout` seconds after the one before it was answered.

    The base bounds each read alone, so that a client that says a byte now and then would keep it for ever.
    """

    timeout: ClassVar[float | None] = 15.0

    def setup(self) -> None:
        """Before the first request of a connection."""
        super().setup()
        self.rfile.close()
        self._hearing = _Hearing(self.connection)
        self.rfile = io.BufferedReader(self._hearing)

    def handle_one_request(self) -> None:
        """One request of the connection."""
        self._hearing.until = math.inf if self.timeout is None else monotonic() + self.timeout
        super().handle_one_request()

    def send_response(self, code: int | HTTPStatus, message: str | None = None) -> None:
        """An answer begins; what it takes to be sent is bounded like the request."""
        self.connection.settimeout(self.timeout)
        super().send_response(code, message)
