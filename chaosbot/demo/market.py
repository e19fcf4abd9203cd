# ruff: noqa: ARG002 -- endpoints share one signature
"""The market service: prices over REST and as a stream over WebSocket.

The numbers are a walk that depends on the tick's number only, so that they are the same in every run. One feed serves
all connections; whoever reads too slowly is disconnected (1013), the others notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from chaosbot.demo.settings import DemoSettings

# fmt: off
SYMBOLS: Final = (
    "ACB", "BCM", "BID", "BVH", "CTG", "FPT", "GAS", "GVR", "HDB", "HPG",
    "MBB", "MSN", "MWG", "PLX", "POW", "SAB", "SHB", "SSB", "SSI", "STB",
    "TCB", "TPB", "VCB", "VHM", "VIB", "VIC", "VJC", "VNM", "VPB", "VRE",
)
# fmt: on
TICK_S: Final = 0.2
BACKLOG: Final = 64
UNAUTHORIZED: Final = 4401


def price(symbol: int, tick: int) -> float:
    """Returns the price of the n-th symbol at a tick."""
    return round(20 + 3 * symbol + ((tick * (symbol + 7)) % 41 - 20) / 10, 2)


class Listener:
    """One connection: what it wants and what it was not sent yet."""

    def __init__(self) -> None:
        """Wants every symbol."""
        self.symbols: frozenset[str] | None = None
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(BACKLOG)


class Feed:
    """Makes ticks while anybody listens."""

    def __init__(self) -> None:
        """Starts silent."""
        self.seq = 0
        self.listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self, listener: Listener) -> None:
        """Adds a listener."""
        self.listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self.listeners:
            self.seq += 1
            for listener in list(self.listeners):
                self._tell(listener)
            await asyncio.sleep(TICK_S)

    def _tell(self, listener: Listener) -> None:
        try:
            listener.queue.put_nowait(self.tick(listener.symbols))
        except asyncio.QueueFull:
            self.listeners.discard(listener)
            listener.queue.get_nowait()
            listener.queue.put_nowait(None)

    def tick(self, symbols: frozenset[str] | None) -> bytes:
        """Writes the present tick for those who want these symbols."""
        turn = self.seq % 3
        data = [
            {"symbol": name, "price": price(index, self.seq)}
            for index, name in enumerate(SYMBOLS)
            if (index % 3 == turn if symbols is None else name in symbols)
        ]
        return orjson.dumps({"type": "tick", "seq": self.seq, "ts": time.time(), "data": data})


class Market:
    """The endpoints."""

    def __init__(self, settings: DemoSettings) -> None:
        """Binds the service to its token."""
        self._token = settings.ws_token
        self.feed = Feed()

    def routes(self) -> list[Route | WebSocketRoute]:
        """Lists the endpoints."""
        return [
            Route("/api/market/snapshot", self.snapshot),
            Route("/api/market/foreign-detail", self.foreign),
            Route("/api/vn30-components", self.components),
            Route("/api/market/alerts", self.alerts),
            WebSocketRoute("/ws/market", self.stream),
        ]

    async def snapshot(self, request: Request) -> Response:
        """All prices."""
        tick = int(time.time())
        data = [{"symbol": name, "price": price(index, tick)} for index, name in enumerate(SYMBOLS)]
        return _json({"ts": time.time(), "data": data})

    async def foreign(self, request: Request) -> Response:
        """What foreigners bought and sold."""
        tick = int(time.time())
        data = [{"symbol": s, "buy": tick % (i + 50), "sell": tick % (i + 60)} for i, s in enumerate(SYMBOLS)]
        return _json({"ts": time.time(), "data": data})

    async def components(self, request: Request) -> Response:
        """The index's members."""
        return _json({"index": "VN30", "symbols": SYMBOLS})

    async def alerts(self, request: Request) -> Response:
        """The newest alerts; `limit` is a number from 1 to 500."""
        given = request.query_params.getlist("limit") or ["50"]
        text = given[0]
        if len(given) != 1 or not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= 500):
            return _json({"error": "limit must be a number from 1 to 500"}, 400)
        alerts = [{"id": n, "symbol": SYMBOLS[n % len(SYMBOLS)], "kind": "price"} for n in range(int(text))]
        return _json({"alerts": alerts})

    async def stream(self, socket: WebSocket) -> None:
        """Ticks, several a second, until either side leaves."""
        await socket.accept()
        given = socket.query_params.getlist("token")
        if self._token is not None and not (
            len(given) == 1 and hmac.compare_digest(given[0].encode("utf-8", "replace"), self._token.encode())
        ):
            await socket.close(UNAUTHORIZED, "bad token")
            return
        listener = Listener()
        self.feed.join(listener)
        sender = asyncio.create_task(_send(socket, listener))
        reader = asyncio.create_task(self._read(socket, listener))
        try:
            await asyncio.wait((sender, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.feed.listeners.discard(listener)
            for task in (sender, reader):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                    await task

    async def _read(self, socket: WebSocket, listener: Listener) -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            answer = orjson.dumps(self.obey(listener, message.get("text") or message.get("bytes") or b""))
            if listener.queue.full():
                return  # asks faster than it reads
            listener.queue.put_nowait(answer)

    def obey(self, listener: Listener, text: str | bytes) -> dict[str, Any]:
        """Does what a client's message asks for and says so; nonsense gets an error message."""
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            return {"type": "error", "error": "not JSON"}
        if not isinstance(request, dict) or request.get("action") not in ("subscribe", "unsubscribe", "ping"):
            return {"type": "error", "error": "action must be subscribe, unsubscribe or ping"}
        if request["action"] == "ping":
            return {"type": "pong", "ts": time.time()}
        if request["action"] == "unsubscribe":
            listener.symbols = None
            return {"type": "subscribed", "symbols": None}
        wanted = request.get("symbols")
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            return {"type": "error", "error": "symbols must be a list of names"}
        known = frozenset(wanted) & frozenset(SYMBOLS)
        if not known:
            return {"type": "error", "error": "no such symbols"}
        listener.symbols = known
        return {"type": "subscribed", "symbols": sorted(known)}


async def _send(socket: WebSocket, listener: Listener) -> None:
    while (message := await listener.queue.get()) is not None:
        await socket.send_text(message.decode())
    await socket.close(1013, "too slow")


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
