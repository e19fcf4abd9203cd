"""The control API's own process: `python -m chaosbot.control.worker`, started by `control.ControlServer`.

Rules:

- It is handed two sockets: one that listens for the API, one to its parent. On the latter run JSON lines: events and
  questions up, answers down. End of file means that the parent has gone, and ends this process: there are no orphans.
- The pipes live here, so that they share no interpreter with a load driver.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import time
from typing import Any

from tornado.httpserver import HTTPServer

from chaosbot.control.http import application
from chaosbot.control.proxies import Proxies, Surroundings
from chaosbot.control.toxics import ApiError
from chaosbot.core.dice import Dice
from chaosbot.core.event import Event, to_json
from chaosbot.transport import enforce

_ASK_TIMEOUT_S = 10.0
_LINE_LIMIT = 64 << 20


class Channel:
    """The way to the parent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 0
        self._open: dict[int, asyncio.Future[Any]] = {}

    def emit(self, event: Event) -> None:
        """Sends an event up."""
        self.send({"event": to_json(event)})

    def send(self, message: dict[str, Any]) -> None:
        """Sends a line up; a parent that has gone is noticed by `run`."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def ask(self, question: str, value: Any = None) -> Any:
        """Asks the parent and waits for its answer.

        Raises:
            ApiError: It refused, or did not answer in time.
        """
        self._next += 1
        number = self._next
        future = self._open[number] = asyncio.get_running_loop().create_future()
        self.send({"ask": question, "id": number, "value": value})
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                answer = await future
        except TimeoutError:
            raise ApiError(f"the proxy did not answer within {_ASK_TIMEOUT_S:.0f} s", 500) from None
        finally:
            self._open.pop(number, None)
        if "error" in answer:
            raise ApiError(str(answer["error"]), int(answer.get("status", 400)))
        return answer.get("value")

    async def run(self) -> None:
        """Takes answers until the parent ends the conversation."""
        while line := await self._reader.readline():
            message = json.loads(line)
            future = self._open.get(message["id"])
            if future is not None and not future.done():
                future.set_result(message)

    async def close(self) -> None:
        """Delivers what is left."""
        try:
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            pass  # the parent was killed: nobody is left to deliver to


async def serve(api: socket.socket, parent: socket.socket, seed: int, origin: float, allow: list[str]) -> None:
    """Serves until the parent hangs up."""
    reader, writer = await asyncio.open_connection(sock=parent, limit=_LINE_LIMIT)
    channel = Channel(reader, writer)
    around = Surroundings(Dice(seed).at("control"), channel.emit, lambda: time.monotonic() - origin, allow)
    proxies = Proxies(around)
    server = HTTPServer(application(proxies, channel), max_body_size=16 << 20)
    server.add_socket(api)
    channel.send({"ready": True})
    await channel.run()
    server.stop()
    await proxies.close()
    for proxy in proxies.all():
        for event in proxy.pipe.tallied():
            channel.emit(event)
    await channel.close()


def main() -> None:
    """Reads what the parent handed over, and serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api-fd", type=int, required=True)
    parser.add_argument("--parent-fd", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--origin", type=float, required=True)
    parser.add_argument("--allow-host", action="append", default=[])
    options = parser.parse_args()
    enforce(options.allow_host)
    # Ctrl-C reaches the whole process group; the parent decides what it means and then hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    api, parent = socket.socket(fileno=options.api_fd), socket.socket(fileno=options.parent_fd)
    api.setblocking(False)
    asyncio.run(serve(api, parent, options.seed, options.origin, options.allow_host))


if __name__ == "__main__":
    main()
