"""A real demo in a process of its own, a Bot API mock in a thread, and a client on raw sockets."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from chaosbot.demo.bugs import parse_bugs
from chaosbot.demo.server import DemoSettings, serve

SECRET = "correct-horse-battery"
TOKEN = "4242:bot-token-of-the-tests"
ADMIN, GUEST, USER, OTHER_USER, DEVELOPER = 999999999, 1000001, 2000001, 2000002, 3000001

_numbers = itertools.count(1)
Answer = tuple[int, bytes]
HANG = (0, b"")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["chaosbot.demo.supervisor", "chaosbot.demo.app", "chaosbot.demo.protocol", "httpcore", "wsproto"]
)


class BotApiMock:
    """Answers like the Bot API; `script` may answer differently."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.script: Callable[[str, dict[str, Any]], Answer | None] = lambda *_: None
        self.changed = threading.Condition()
        self.given_up = threading.Event()
        self.stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.answer(self.path.rpartition("/")[2], json.loads(body))

            def do_GET(self) -> None:
                self.answer("file", {"path": self.path})

            def answer(self, method: str, payload: dict[str, Any]) -> None:
                with outer.changed:
                    outer.calls.append({"method": method, "at": time.monotonic(), **payload})
                    outer.changed.notify_all()
                answer = outer.script(method, payload)
                if answer == HANG:
                    while not outer.stop.is_set():
                        if select.select([self.connection], [], [], 0.05)[0]:
                            outer.given_up.set()  # the bot closed its side
                            break
                    self.close_connection = True
                    return
                status, content = answer or (200, outer.good(method))
                self.send_response_only(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 128
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def good(method: str) -> bytes:
        if method == "file":
            return b"12345"
        result: Any = {"message_id": 1} if method == "sendMessage" else True
        if method == "getFile":
            result = {"file_id": "f", "file_path": "photos/file_1.jpg", "file_size": 5}
        return json.dumps({"ok": True, "result": result}).encode()

    def wait(self, wanted: Callable[[list[dict[str, Any]]], bool], seconds: float = 60.0) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: wanted(self.calls), seconds)

    def texts(self, chat: int | None = None) -> list[str]:
        return [c["text"] for c in list(self.calls) if "text" in c and chat in (None, c.get("chat_id"))]

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()


class World:
    """A demo, its mock, and what a platform or a forger does to them."""

    ADMIN, GUEST, USER, OTHER_USER, DEVELOPER = ADMIN, GUEST, USER, OTHER_USER, DEVELOPER
    SECRET, TOKEN, HANG = SECRET, TOKEN, HANG

    def __init__(
        self, *options: str, bugs: str = "", api: bool = True, ws_token: str = "", forked: bool = True
    ) -> None:
        """Starts a demo: forked from a process that has everything loaded, or as users do."""
        self.hammering = self.ended = False
        self.api = BotApiMock() if api else None
        if forked:
            settings = DemoSettings(
                bugs=parse_bugs(bugs), secret=SECRET, bot_token=TOKEN, ws_token=ws_token or None,
                bot_api=self.api.url if self.api else None, limits="--no-limits" not in options,
            )  # fmt: skip
            news, report = FORKS.Pipe(duplex=False)
            self.forked = FORKS.Process(target=serve, args=(settings, None, report.send))
            self.forked.start()
            assert news.poll(60)
            self.url = news.recv()
        else:
            self.url = self.start(options, bugs, ws_token)
        self.port = int(self.url.rpartition(":")[2])

    def start(self, options: tuple[str, ...], bugs: str, ws_token: str) -> str:
        environment = {
            **os.environ, "TELEGRAM_SECRET_TOKEN": SECRET, "BOT_TOKEN": TOKEN, "WS_AUTH_TOKEN": ws_token,
        }  # fmt: skip
        where = ["--bot-api", self.api.url] if self.api else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chaosbot.demo", "--exit-with-stdin", "--bugs", bugs, *where, *options],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("READY http://127.0.0.1:"), line
        return line.split()[1]

    def close(self) -> None:
        """Ends the demo the hard way; the bot itself leaves with its supervisor."""
        if self.ended:
            return
        self.ended = True
        if hasattr(self, "forked"):
            self.forked.kill()
            self.forked.join(30)
        else:
            self.process.kill()
            self.process.wait(30)
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                pipe.close()
        if self.api:
            self.api.close()

    @property
    def bot(self) -> BotApiMock:
        assert self.api is not None
        return self.api

    def connect(self, seconds: float = 60.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def raw(self, *pieces: bytes, pause: float = 0.05, half_close: bool = False) -> tuple[int, bytes]:
        """Sends bytes in so many segments; status 0 means that the connection ended without an answer."""
        with self.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for number, piece in enumerate(pieces):
                    if number:
                        time.sleep(pause)  # segments must arrive apart
                    sock.sendall(piece)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
                return self.read(sock)
            except (ConnectionError, TimeoutError):
                return 0, b""

    @staticmethod
    def read(sock: socket.socket) -> tuple[int, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return 0, data
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(headers.get(b"content-length", b"0")):
            more = sock.recv(65536)
            if not more:
                break
            body += more
        return int(head.split()[1]), body

    def get(self, path: str) -> tuple[int, bytes]:
        return self.raw(f"GET {path} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n".encode())

    @staticmethod
    def head(
        length: int, secret: bytes | None = SECRET.encode(), *, query: str = "", method: str = "POST", more: bytes = b""
    ) -> bytes:
        line = f"{method} /webhook/telegram{query} HTTP/1.1\r\nhost: demo\r\ncontent-length: {length}\r\n".encode()
        proof = b"" if secret is None else b"x-telegram-bot-api-secret-token: " + secret + b"\r\n"
        kind = b"" if b"content-type" in more else b"content-type: application/json\r\n"
        return line + proof + kind + more + b"\r\n"

    def post(
        self, body: bytes | dict[str, Any], secret: bytes | None = SECRET.encode(), **how: Any
    ) -> tuple[int, bytes]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.raw(self.head(len(content), secret, **how) + content)

    @staticmethod
    def number() -> int:
        return next(_numbers)

    def message(
        self, text: str | None = None, user: int = GUEST, chat: int | None = None, **fields: Any
    ) -> dict[str, Any]:
        content: dict[str, Any] = {
            "message_id": self.number(),
            "date": 1,
            "chat": {"id": user if chat is None else chat, "type": "private"},
            "from": {"id": user, "is_bot": False, "first_name": "Somebody"},
        }
        if text is not None:
            content["text"] = text
            if text.startswith("/"):
                content["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        return {"update_id": self.number(), "message": {**content, **fields}}

    def callback(self, data: str | None, user: int = GUEST, chat: int | None = None, **fields: Any) -> dict[str, Any]:
        query: dict[str, Any] = {
            "id": str(self.number()),
            "from": {"id": user, "is_bot": False, "first_name": "Somebody"},
            "chat_instance": "1",
            "message": {"message_id": 1, "date": 1, "chat": {"id": chat or user, "type": "private"}},
        }
        if data is not None:
            query["data"] = data
        return {"update_id": self.number(), "callback_query": {**query, **fields}}

    def fresh_chat(self) -> int:
        return -1000000000000 - self.number()

    def ask(self, text: str, user: int = GUEST, **fields: Any) -> list[str]:
        """Sends a message into a chat of its own and returns all texts that came into it, once a canary was answered."""
        chat = fields.pop("chat", None) or self.fresh_chat()
        self.post(self.message(text, user, chat, **fields))
        return self.settled(chat)

    def settled(self, chat: int) -> list[str]:
        """Waits for the canary of a chat; what was to happen in the chat has happened then."""
        canary = f"canary {self.number()}"
        assert self.post(self.message(canary, chat=chat))[0] == 200
        assert self.bot.wait(lambda calls: any(canary in c.get("text", "") for c in calls)), "the canary died"
        return [text for text in self.bot.texts(chat) if "canary" not in text]

    def health(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/health")[1]))

    def metric(self, name: str) -> float:
        lines = self.get("/metrics")[1].decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., World]]:
    """Starts worlds; they end with the session or when closed."""
    worlds: list[World] = []

    def begin(*options: str, **how: Any) -> World:
        world = World(*options, **how)
        worlds.append(world)
        return world

    yield begin
    for world in worlds:
        world.close()


@pytest.fixture(scope="session")
def healthy(start: Callable[..., World]) -> World:
    """A healthy bot with a Bot API and without limits."""
    return start("--no-limits")


@pytest.fixture(scope="session")
def replying(start: Callable[..., World]) -> World:
    """A healthy bot that replies in the webhook's answer."""
    return start("--no-limits", api=False)
