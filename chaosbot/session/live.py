"""Watching a run from outside while it happens: a page, its state as JSON, and Prometheus figures, on loopback only.

Rules:

- The page is self-contained: it asks this server and nobody else (its policy says so), and draws by its own script.
- A request whose Host header is not this server's address is refused, so that no web site can read a run by rebinding its name.
- What can be changed from here is what `chaosbot.session.steering` offers. A command needs the page's own token and origin, so that no other
  site and no other page can send one. Connections are few and bounded in time.
- The page stays, with a link to the report, until a person ends it; figures are held until they were scraped once more, or for a time.
- Serving costs the run's engines nothing: events are queued by `Board` and folded on the server's thread.
"""

from __future__ import annotations

import errno
import json
import math
import secrets
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from chaosbot.control.push import TIMEOUT_S, Pusher
from chaosbot.core.errors import ChaosbotError, ConfigError, PortBusy, UsageError
from chaosbot.core.event import Event
from chaosbot.core.jsontext import read_json
from chaosbot.core.units import whole
from chaosbot.session.run import Run
from chaosbot.transport.hearing import TimelyHandler

if TYPE_CHECKING:
    from chaosbot.session.board import Board

HOST: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 32
IDLE_S: Final = 15.0
"""A connection on which no whole request has come for so long is closed."""
LONGEST_WAIT_S: Final = 10.0
"""Most time that a request for news waits for them."""
LINGER_S: Final = 1.2
"""Most time that a page gets, once the run is over, to fetch the end; it asks about once a second."""
PUSH_EVERY_S: Final = 5.0
FIRST_PUSH_S: Final = 1.0
"""When figures are sent first, so that a short run knows, too, when nobody takes them."""
LONGEST_COMMAND: Final = 4096
SCRAPER_S: Final = 120.0
"""Who scraped the figures so lately will come again for the last ones."""
WATCHING_S: Final = LONGEST_WAIT_S + 2
"""Who asked so lately is still there."""
FOLD_EVERY_S: Final = 0.25
JSON: Final = "application/json"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


@cache
def _page() -> str:
    return (files("chaosbot.session") / "live.html").read_text("utf-8")


class _Handler(TimelyHandler, BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "chaosbot"
    sys_version = ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        """Finds the page."""
        if self.headers.get("Host", "").lower() not in self.server.names:
            self._text(HTTPStatus.FORBIDDEN, f"this server is {self.server.url} and answers to no other name\n")
            return
        board = self.server.board
        parts = urlsplit(self.path)
        match parts.path:
            case _ if board is None:
                self._text(HTTPStatus.SERVICE_UNAVAILABLE, "the run has not begun\n")
            case "/metrics":
                over = board.over  # asked first: what is told below is the end then
                self._send(HTTPStatus.OK, PROMETHEUS, board.text().encode())
                self.server.scraped = time.monotonic()
                self.server.scraped_end = self.server.scraped_end or over
            case "/" if self.server.pages:
                nonce = secrets.token_urlsafe(16)
                self._send(
                    HTTPStatus.OK,
                    "text/html; charset=utf-8",
                    _page().replace("{{nonce}}", nonce).replace("{{token}}", self.server.token).encode(),
                    nonce,
                )
            case "/report.html" if self.server.pages:
                self._report(board)
            case "/state.json" if self.server.pages:
                self._state(board, parse_qs(parts.query))
            case "/":
                self._text(HTTPStatus.OK, "chaosbot's figures for Prometheus are at /metrics\n")
            case _:
                self._text(HTTPStatus.NOT_FOUND, "nothing here\n")

    do_HEAD = do_GET  # noqa: N815 - the base calls it so

    def do_POST(self) -> None:
        """Takes a command of the page."""
        server = self.server
        host, origin = self.headers.get("Host", "").lower(), self.headers.get("Origin", "").lower()
        length = self.headers.get("Content-Length", "")
        if (
            host not in server.names
            or origin != f"http://{host}"
            or not secrets.compare_digest(self.headers.get("X-Chaosbot-Token", ""), server.token)
        ):
            self._text(HTTPStatus.FORBIDDEN, "only the page itself may send commands\n")
            self.close_connection = True
        elif self.path != "/control" or not server.pages or server.board is None:
            self._text(HTTPStatus.NOT_FOUND, "nothing here\n")
            self.close_connection = True
        elif (size := whole(length, LONGEST_COMMAND)) is None:
            self._text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a command has at most {LONGEST_COMMAND} bytes\n")
            self.close_connection = True
        else:
            self._command(server.board, self.rfile.read(size))

    def _command(self, board: Board, body: bytes) -> None:
        try:
            words = read_json(body)
            if not isinstance(words, dict):
                raise ConfigError("", "a command is a JSON object")
            if words.get("do") == "quit":
                self.server.told_to_end.set()
            elif board.over:
                raise ConfigError("", "the run is over")
            else:
                board.steer(words)
        except (ValueError, ChaosbotError) as error:
            self._text(HTTPStatus.BAD_REQUEST, f"{error}\n")
        else:
            self._text(HTTPStatus.OK, "done\n")

    def _report(self, board: Board) -> None:
        """The run's report, once it is written; it is self-contained, so its own script and styles are all that it needs."""
        try:
            body = board.report_path.read_bytes()
        except OSError:
            self._text(HTTPStatus.NOT_FOUND, "the report is written when the run has ended\n")
            return
        policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        inline = "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", body, policy=policy + inline)

    def _state(self, board: Board, query: dict[str, list[str]]) -> None:
        """The state; with ``seen=VERSION&wait=SECONDS`` as soon as it is another one."""
        try:
            since = int(query.get("since", ["-1"])[0])
            seen = int(query.get("seen", ["-1"])[0])
            wait = min(LONGEST_WAIT_S, max(0.0, float(query.get("wait", ["0"])[0])))
        except ValueError:
            self._text(HTTPStatus.BAD_REQUEST, "since and seen are whole numbers, wait is seconds\n")
            return
        self.server.asked = time.monotonic()
        with board.changed:
            board.changed.wait_for(lambda: board.version != seen, wait)
        state = board.state(since)
        self._send(HTTPStatus.OK, JSON, json.dumps(state, separators=(",", ":")).encode())
        self.server.knows_end = bool(state["ended"] and "verdict" in state["ended"])

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes, nonce: str = "", policy: str = "") -> None:
        policy = policy or "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        if nonce:
            policy += f"; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: what a run says is printed elsewhere."""


class _Server(socketserver.ThreadingTCPServer):
    """Listens on one loopback port.

    Args:
        option: What the person wrote, for errors.
        port: The port; 0 takes a free one.
        pages: Whether there is more than ``/metrics``.

    Raises:
        PortBusy: The port is taken.
        UsageError: It cannot be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, option: str, port: int, *, pages: bool) -> None:
        self.board: Board | None = None
        self.asked = -math.inf
        self.knows_end = False
        self.scraped = -math.inf
        self.scraped_end = False
        self.told_to_end = threading.Event()
        self.token = secrets.token_urlsafe(24)
        self.pages = pages
        self._open: set[Any] = set()
        self._lock = threading.Lock()
        where = f"{option} {port}"
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortBusy(f"{where}: {HOST}:{port} is taken; choose another port, or 0 for a free one") from None
            raise UsageError(
                f"{where}: {HOST}:{port} cannot be listened on ({error.strerror}); choose another port, or 0 for a free one"
            ) from None
        number = self.server_address[1]
        self.url = f"http://{HOST}:{number}/"
        names = (HOST, "localhost", "[::1]")
        self.names = frozenset(f"{name}:{number}" for name in names) | (
            frozenset(names) if number == 80 else frozenset()
        )

    def service_actions(self) -> None:
        """Folds what the run has said since the last time."""
        if self.board is not None:
            self.board.fold_safely()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Takes a connection, unless there are too many."""
        with self._lock:
            full = len(self._open) >= MOST_CONNECTIONS
            if not full:
                self._open.add(request)
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A connection ends."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature is the base's
        """A viewer that goes away in the middle of an answer is nobody's trouble; anything else is the view's own."""
        error = sys.exception()
        if self.board is not None and isinstance(error, Exception) and not isinstance(error, OSError):
            self.board.give_up(error)

    def hang_up(self) -> None:
        """Ends the connections that are still open."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def awaited(self) -> bool:
        """Whether somebody watches who does not know yet how it ended."""
        return time.monotonic() - self.asked < WATCHING_S and not self.knows_end


class Live:
    """The servers of one run: a page, figures for Prometheus, or both.

    The ports are bound at once, so a taken one is an error before anything starts; the run is followed once there is one.

    Args:
        web: The page's port (0: a free one); None for no page.
        prometheus: The port of the figures alone; the page's server has them too.
        pushers: Where figures are sent besides.

    Raises:
        PortBusy: A port is taken.
        UsageError: It cannot be listened on.
    """

    def __init__(self, web: int | None = None, prometheus: int | None = None, pushers: Sequence[Pusher] = ()) -> None:
        self._pushers = pushers
        self._pushing = threading.Event()
        self._refused: set[str] = set()
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []
        self._board: Board | None = None
        self.page = self.figures = ""
        try:
            if web is not None:
                self._servers.append(_Server("--web", web, pages=True))
                self.page = self._servers[-1].url
            if prometheus is not None and (prometheus == 0 or prometheus != web):
                self._servers.append(_Server("--prometheus", prometheus, pages=False))
            if prometheus is not None:
                self.figures = f"{self._servers[-1].url}metrics"
        except BaseException:
            self.close()
            raise

    def follow(self, run: Run, target: str, total_s: float | None = None) -> None:
        """Begins to show a run.

        Args:
            run: The run.
            target: What it runs against, for people.
            total_s: How long it is expected to take.
        """
        if not self._servers and not self._pushers:
            return
        from chaosbot.session.board import Board  # noqa: PLC0415 - slow to import, and most runs are not watched

        self._board = Board(run, target, total_s)
        if self._pushers:
            pusher = threading.Thread(target=self._push_often, args=(self._board, run), name="push", daemon=True)
            pusher.start()
            self._threads.append(pusher)
        for server in self._servers:
            server.board = self._board
            thread = threading.Thread(target=server.serve_forever, args=(FOLD_EVERY_S,), name="live", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _push_often(self, board: Board, run: Run) -> None:
        """Sends the figures every few seconds, and once more at the end."""
        last, pause = False, FIRST_PUSH_S
        while not last:
            last, pause = self._pushing.wait(pause), PUSH_EVERY_S
            board.fold_safely()
            for pusher in self._pushers:
                try:
                    pusher.push(board.metrics.families(), time.time())
                except Exception as error:  # noqa: BLE001 - an exporter's own errors, too: the next push is tried
                    if pusher.url not in self._refused:
                        self._refused.add(pusher.url)
                        run.note("metrics-push", str(error))

    def notice(self, event: Event) -> None:
        """Listens to the run's events."""
        if self._board is not None:
            self._board.notice(event)

    def end(self) -> None:
        """Shows the run's end; a second call does nothing."""
        self._pushing.set()
        if self._board is not None and self._servers and not self._board.over:
            try:
                self._board.end()
            except Exception as error:  # noqa: BLE001 - a broken view must not take the run's end with it
                self._board.give_up(error)

    def stay(self, seconds: float, *, asked: bool = False) -> None:
        """Keeps serving after the run: the page until a person ends it, figures until they were scraped once more, where anybody scraped.

        Args:
            seconds: Most time; infinite for as long as it takes.
            asked: Whether a person asked for that time: figures then wait for a scraper that has not come yet, too, whose pause may be
                longer than the run.
        """
        self.end()
        until = time.monotonic() + seconds
        waits = [
            server for server in self._servers if asked or server.pages or time.monotonic() - server.scraped < SCRAPER_S
        ]
        while waits and time.monotonic() < until:
            waits = [
                server
                for server in waits
                if not (server.told_to_end.is_set() or (server.scraped_end and not server.pages))
            ]
            time.sleep(0.05)

    def close(self, linger_s: float = LINGER_S) -> None:
        """Shows the run's end to who still watches, and ends; a second call does nothing.

        Args:
            linger_s: Most time that they get to fetch it.
        """
        self.end()
        servers, self._servers = self._servers, []
        if self._board is not None and servers:
            until = time.monotonic() + linger_s
            while any(server.awaited for server in servers) and time.monotonic() < until:
                time.sleep(0.02)
        for server in servers:
            if any(thread.name == "live" for thread in self._threads):
                server.shutdown()
            server.server_close()
            server.hang_up()
        for thread in self._threads:
            thread.join(TIMEOUT_S if thread.name == "push" else 1.0)
        self._threads.clear()
