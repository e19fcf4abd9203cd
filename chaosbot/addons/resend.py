"""Sends a request again, as a sender that delivers twice would: a plain HTTP/1.1 client of its own, one connection a copy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Final

TIMEOUT_S: Final = 60.0
"""How long a copy waits for its answer: as long as Telegram waits for a webhook's."""

_LEFT_OUT: Final = frozenset({"connection", "content-length", "transfer-encoding", "expect"})


@dataclass(frozen=True, slots=True)
class Copy:
    """A request that can be sent again."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    address: tuple[str, int]
    tls: ssl.SSLContext | None = None

    @property
    def data(self) -> bytes:
        """The request's bytes; its framing is made anew."""
        # As mitmproxy decoded them, so that odd bytes stay what they were.
        lines = [f"{self.method} {self.target} HTTP/1.1".encode("utf-8", "surrogateescape")]
        for name, value in self.headers:
            if name.lower().decode("latin-1") not in _LEFT_OUT:
                lines.append(name + b": " + value)
        lines += [b"content-length: %d" % len(self.body), b"connection: close", b"", b""]
        return b"\r\n".join(lines) + self.body


async def send(copy: Copy) -> int | None:
    """Sends a copy and returns the status of its answer; None when there was none in time."""
    writer = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                *copy.address, ssl=copy.tls, server_hostname=copy.address[0] if copy.tls else None
            )
            writer.write(copy.data)
            await writer.drain()
            status = 100
            while status < 200:  # informational answers come before the final one
                head = await reader.readuntil(b"\r\n\r\n")
                version, _, rest = head.partition(b" ")
                if not version.startswith(b"HTTP/1."):
                    return None
                status = int(rest[:3])
            await _read_body(reader, head)
            return status
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    """The whole answer is read, as a sender would, so that the target is not cut off."""
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            await _skip(reader, size + 2)
    elif b"content-length" in fields:
        await _skip(reader, int(fields[b"content-length"]))
    else:
        while await reader.read(1 << 16):
            pass


async def _skip(reader: asyncio.StreamReader, size: int) -> None:
    """Reads so many bytes and keeps none: how many there are, a target says."""
    while size > 0:
        piece = await reader.read(min(size, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
