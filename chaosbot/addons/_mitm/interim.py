"""Interim answers (103 Early Hints, 102 Processing; RFC 9110, section 15.2) on their way from an HTTP/1 upstream to the client.

mitmproxy takes the first of them for the answer and what follows it for bytes that nobody asked for, so that a pipelining client gets the next
answer in the place of this one. Here they pass byte for byte, whatever faults are configured; the answer itself comes after them. A client
that does not speak HTTP/1.1 gets none, and nobody gets a second 100, which mitmproxy says itself.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, Final

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client

MOST_INTERIM: Final = 256 << 10
"""So many bytes of interim answers may precede an answer; an upstream that sends more of them never answers."""
_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1(?!01)(\d\d)[ \r\n]")
_LONGEST_LINE: Final = 16


class PassingClient(Http1Client):
    """mitmproxy's HTTP/1 client, which waits for the answer proper."""

    passed = 0
    passed_for: int | None = None

    @classmethod
    def in_place_of(cls, parser: Http1Client) -> None:
        """Makes one of a parser of mitmproxy's, which makes its own where nobody can choose the class."""
        reading = parser.state == parser.read_headers
        parser.__class__ = cls
        if reading:
            parser.state = parser.read_headers

    def read_headers(self, event: events.ConnectionEvent) -> Generator[Any, Any, None]:
        """Reads an answer's head, after the interim ones before it."""
        number = self.stream_id
        if isinstance(event, events.DataReceived) and self.request is not None and number is not None:
            if self.passed_for != number:
                self.passed, self.passed_for = 0, number
            while found := _INTERIM.match(bytes(self.buf)[:_LONGEST_LINE]):
                lines = self.buf.maybe_extract_lines()
                if lines is None:
                    return  # bounded as every head is
                head = b"\r\n".join(map(bytes, lines)) + b"\r\n\r\n"
                self.passed += len(head)
                if self.passed > MOST_INTERIM:
                    failed, what = self.ReceiveProtocolError, f"interim answers of more than {MOST_INTERIM >> 10} KiB"
                    yield commands.CloseConnection(self.conn)
                    yield ReceiveHttp(failed(number, what, failed.code))
                    return
                if found[1] != b"00" and self.request.http_version == "HTTP/1.1":
                    yield commands.SendData(self.context.client, head)
        yield from super().read_headers(event)
