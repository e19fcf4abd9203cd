# ruff: noqa: PLC0415 -- asking for settings must not load a web server
"""Serves the demo on a socket: in this process, or in a child that is replaced when it dies.

The supervisor imports everything, then forks, so that a replacement serves within milliseconds. Connections that arrive
meanwhile wait in the backlog of the socket, which the supervisor holds open, as systemd would.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from chaosbot.demo.settings import BACKLOG, DemoSettings

__all__ = ["DemoSettings", "listen", "serve"]


def listen(settings: DemoSettings) -> socket.socket:
    """Opens the listening socket."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def serve(
    settings: DemoSettings,
    sock: socket.socket | None = None,
    ready: Callable[[str], None] | None = None,
    lifeline: int | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; blocks.

    A supervised demo forks: call it from the main thread of a process that has no other threads, best through
    `python -m chaosbot.demo`.

    Args:
        settings: What the demo is told from outside.
        sock: A listening socket; without it one is opened.
        ready: Called with the base URL as soon as requests are answered.
        lifeline: A file descriptor; its end of file ends the demo, too.
    """
    sock = listen(settings) if sock is None else sock
    host, port = sock.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    announce = (lambda: ready(url)) if ready is not None else (lambda: None)
    try:
        if settings.supervised:
            from chaosbot.demo.supervisor import serve_alone

            asyncio.run(serve_alone(settings, sock, announce, lifeline))
        else:
            work(settings, sock, announce, lifeline)
    finally:
        sock.close()


KEEP_ALIVE_S = 75


def work(settings: DemoSettings, sock: socket.socket, ready: Callable[[], None], lifeline: int | None = None) -> None:
    """Serves in this process until it is told to stop."""
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
