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
        lines = [f"{self.method} {self.target} HTTP/1.1".encode("latin-1", "replace")]
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
            while True:
                version, _, rest = (await reader.readline()).partition(b" ")
                status = int(rest[:3]) if version.startswith(b"HTTP/1.") and rest[:3].isdigit() else None
                if status is None or status >= 200:
                    break
                while (await reader.readline()).strip():
                    pass
            # The whole answer is read, as a sender would, so that the target is not cut off.
            while await reader.read(1 << 16):
                pass
            return status
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
