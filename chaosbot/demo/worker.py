# ruff: noqa: PLC0415 -- a supervisor that only forks loads the web server when it chooses to
"""Serves the demo on a listening socket, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from chaosbot.demo.settings import BACKLOG, DemoSettings

KEEP_ALIVE_S = 75


def work(settings: DemoSettings, sock: socket.socket, ready: Callable[[], None], lifeline: int | None = None) -> None:
    """Serves in this process until it is told to stop.

    Args:
        settings: What the demo is told from outside.
        sock: The listening socket; the caller closes it.
        ready: Called when requests are answered.
        lifeline: Its end of file ends the work.
    """
    asyncio.run(_work(settings, sock, ready, lifeline))


async def _work(settings: DemoSettings, sock: socket.socket, ready: Callable[[], None], lifeline: int | None) -> None:
    import uvicorn

    from chaosbot.demo.app import build
    from chaosbot.demo.protocol import BoundedProtocol

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # broken requests are what this server is for
    app, bot = build(settings)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="wsproto",
        ws_max_size=65_536,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
    )
    server = Server(config)

    def stop() -> None:
        server.should_exit = server.force_exit = True

    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
    if lifeline is not None:
        loop.add_reader(lifeline, stop)
    try:
        await server.serve(sockets=[sock.dup()])
    finally:
        await bot.close()
