"""Reads one HTTP/1 answer from bytes as they come, whatever they are.

Rules:

- Sans-I/O: `feed` takes what was received, `end` says that the peer closed; `state` tells what that came to.
- It never raises and never holds more than the head and `keep` bytes of body, however long the answer is.
- It is as lenient as common clients (bare LF, an absent reason phrase) and no more: an answer whose end cannot be told
  for certain is a protocol error, because "the server answered" must mean the same to everybody.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

MOST_HEAD: Final = 256 * 1024
_MOST_CHUNK_LINE: Final = 4096
_MOST_INTERIM: Final = 16

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")


class State(StrEnum):
    """How far an answer is."""

    HEAD = "head"
    LENGTH = "length"  # body of a known length
    CHUNK_SIZE = "chunk_size"
    CHUNK = "chunk"
    CHUNK_END = "chunk_end"
    TRAILERS = "trailers"
    UNTIL_CLOSE = "until_close"
    DONE = "done"
    BROKEN = "broken"  # no HTTP
    CUT = "cut"  # the peer closed before the end


class AnswerReader:
    """The state of one answer.

    Args:
        keep: How many bytes of the body to keep.
        head_only: Whether the request was HEAD, so that no body follows.
    """

    __slots__ = (
        "_buffer",
        "_interims",
        "_left",
        "_minor",
        "body",
        "head_only",
        "headers",
        "keep",
        "received",
        "state",
        "status",
        "why",
    )

    def __init__(self, keep: int = 0, *, head_only: bool = False) -> None:
        self.keep = keep
        self.head_only = head_only
        self.state = State.HEAD
        self.status: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self.received = 0
        self.why = ""
        self._buffer = bytearray()
        self._left = 0
        self._minor = 1
        self._interims = 0

    @property
    def done(self) -> bool:
        """Whether nothing more is expected."""
        return self.state in (State.DONE, State.BROKEN, State.CUT)

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request after this answer."""
        if self.state is not State.DONE or self._buffer or self.status == 101:
            return False
        tokens = {
            token.strip().lower() for name, value in self.headers if name == "connection" for token in value.split(",")
        }
        return "close" not in tokens and (self._minor == 1 or "keep-alive" in tokens)

    @property
    def surplus(self) -> int:
        """Bytes that came after the answer's end (a second answer, or a lie about the length)."""
        return len(self._buffer) if self.state is State.DONE else 0

    def feed(self, data: bytes) -> None:
        """Takes received bytes."""
        self.received += len(data)
        self._buffer += data
        while self._step():
            pass

    def end(self) -> None:
        """The peer closed."""
        if self.state is State.UNTIL_CLOSE:
            self.state = State.DONE
        elif self.state is State.HEAD and self._buffer and not b"HTTP/1.".startswith(bytes(self._buffer[:7])):
            self._break("the answer does not start with HTTP/1.")
        elif not self.done:
            self.state = State.CUT
            self.why = "closed without an answer" if not self.received else f"closed in the answer's {self._place()}"

    def _place(self) -> str:
        return "head" if self.status is None else "body"

    def _break(self, why: str) -> bool:
        self.state = State.BROKEN
        self.why = why
        return False

    def _step(self) -> bool:
        """Moves one state further; False when more bytes are needed or nothing is left to do."""
        match self.state:
            case State.HEAD:
                return self._read_head()
            case State.LENGTH:
                self._take(self._left)
                if self._left == 0:
                    self.state = State.DONE
                return False
            case State.UNTIL_CLOSE:
                self._take(len(self._buffer))
                return False
            case State.CHUNK_SIZE:
                return self._read_chunk_size()
            case State.CHUNK:
                self._take(self._left)
                if self._left == 0:
                    self.state = State.CHUNK_END
                return self._left == 0
            case State.CHUNK_END:
                return self._read_chunk_end()
            case State.TRAILERS:
                return self._read_trailer()
            case State.DONE | State.BROKEN | State.CUT:
                return False

    def _take(self, most: int) -> None:
        data = self._buffer[:most]
        room = self.keep - len(self.body)
        if room > 0:
            self.body += data[:room]
        del self._buffer[: len(data)]
        self._left -= len(data)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _MOST_CHUNK_LINE:
                self._break("a chunk's size line does not end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _read_head(self) -> bool:
        # Some servers send stray line ends between answers.
        while self._buffer.startswith((b"\r", b"\n")):
            del self._buffer[:1]
        start = bytes(self._buffer[:7])
        if start and not b"HTTP/1.".startswith(start):
            return self._break("the answer does not start with HTTP/1.")
        end = _HEAD_END.search(self._buffer)
        if end is None:
            return self._break("the answer's head is too long") if len(self._buffer) > MOST_HEAD else False
        lines = bytes(self._buffer[: end.start()]).split(b"\n")
        del self._buffer[: end.end()]
        first = _STATUS_LINE.fullmatch(lines[0].rstrip(b"\r"))
        if first is None:
            return self._break("the status line is malformed")
        headers = _headers(lines[1:])
        if headers is None:
            return self._break("a header line is malformed")
        status = int(first[2])
        if 100 <= status < 200 and status != 101:
            self._interims += 1
            return True if self._interims <= _MOST_INTERIM else self._break("interim answers without end")
        self._minor, self.status, self.headers = int(first[1]), status, headers
        return self._choose_body()

    def _choose_body(self) -> bool:
        codings = [value.strip().lower() for name, value in self.headers if name == "transfer-encoding"]
        lengths = {
            part.strip() for name, value in self.headers if name == "content-length" for part in value.split(",")
        }
        if self.head_only or self.status in (101, 204, 304):
            self.state = State.DONE
        elif codings:
            chunked = codings[-1].rsplit(",", 1)[-1].strip() == "chunked"
            self.state = State.CHUNK_SIZE if chunked else State.UNTIL_CLOSE
        elif lengths:
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdecimal()) or len(length) > 18:
                return self._break("Content-Length is malformed or contradicts itself")
            self._left = int(length)
            self.state = State.LENGTH
        else:
            self.state = State.UNTIL_CLOSE
        return True

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            return self._break("a chunk's size line is malformed")
        self._left = int(size[1], 16)
        self.state = State.CHUNK if self._left else State.TRAILERS
        return True

    def _read_chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            return self._break("a chunk is longer than its size says")
        self.state = State.CHUNK_SIZE
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            self.state = State.DONE
        return bool(line)


def _headers(lines: list[bytes]) -> tuple[tuple[str, str], ...] | None:
    """Header fields with lower-case names; None when a line is none."""
    fields: list[tuple[str, str]] = []
    for raw in lines:
        line = raw.rstrip(b"\r")
        if line[:1] in (b" ", b"\t") and fields:  # obsolete folding: the line continues the one before
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip().decode('latin-1')}")
            continue
        key, colon, content = line.partition(b":")
        if not colon or not _NAME.fullmatch(key) or b"\0" in content:
            return None
        fields.append((key.decode("ascii").lower(), content.strip(b" \t").decode("latin-1")))
    return tuple(fields)
