"""A market-data service: prices over REST, and a stream of ticks over WebSocket.

No webhook: clients ask and listen. Four REST tasks with the weights of a dashboard, and four scenarios of stream clients; the
token of the stream comes from ``WS_AUTH_TOKEN`` and is put into the query by the driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson

from chaosbot.core.case import Case, Expect, Reach
from chaosbot.core.dice import Dice
from chaosbot.core.errors import UnknownName
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import JourneySpec, StreamAction, StreamSpec, Task
from chaosbot.core.kit import Kit
from chaosbot.core.platform import Endpoint, Platform, Request
from chaosbot.core.registry import option
from chaosbot.core.verdict import Threat

REST: Final[dict[str, tuple[str, float]]] = {
    "snapshot": ("/api/market/snapshot", 5),
    "foreign-detail": ("/api/market/foreign-detail", 3),
    "components": ("/api/vn30-components", 2),
    "alerts": ("/api/market/alerts?limit=50", 1),
}
"""Each task's path and weight."""


@dataclass(frozen=True)
class Market(Platform):
    """REST and WebSocket clients of a market-data service."""

    greets: ClassVar[bool] = False
    neutral_groups: ClassVar[frozenset[str] | None] = frozenset()

    stream: str = option("text", "path of the WebSocket", "/ws/market")
    symbols: str = option("text", "symbols to subscribe to, with commas between", "VCB,VIC,FPT")

    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Which of the endpoints is asked; None for any other path."""
        del headers, body
        wanted = path.partition("?")[0]
        if wanted == self.stream:
            return UpdateFacts(kind="stream")
        names = (name for name, (target, _) in REST.items() if target.partition("?")[0] == wanted)
        name = next(names, None) if method == "GET" else None
        return UpdateFacts(kind=name) if name else None

    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """A GET of a path; `update` is the path."""
        path = update.decode("latin-1") if isinstance(update, bytes) else str(update)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {endpoint.host}",
            *(f"{name}: {value}" for name, value in endpoint.headers),
            "Connection: keep-alive",
            "Accept: application/json",
            "Accept-Encoding: gzip, deflate",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def golden(self, dice: Dice) -> dict[str, Any]:
        """The path of each task."""
        del dice
        return {name: path for name, (path, _) in REST.items()}

    def journeys(self) -> tuple[JourneySpec, ...]:
        """One kind of client: a dashboard that refreshes all the time."""
        tasks = tuple(Task(name, weight) for name, (_, weight) in REST.items())
        return (JourneySpec("client", 1.0, (0.1, 0.5), tasks, range(1, 1001)),)

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """One GET."""
        del user, ordinal, dice
        if task not in REST:
            raise UnknownName.of("task", task, REST)
        return Request(self.encode(endpoint, REST[task][0]), task, UpdateFacts(kind=task))

    def streams(self) -> tuple[StreamSpec, ...]:
        """Listening, polling beside the stream, the rush at the market's opening, and clients that come and go."""
        subscribe = orjson.dumps({"action": "subscribe", "symbols": self.symbols.split(",")})
        common: dict[str, Any] = {"path": self.stream, "token_param": "token", "messages": (subscribe,)}
        return (
            StreamSpec("market_stream", StreamAction.SUBSCRIBE, stay_s=(30.0, 120.0), pause_s=(0.5, 2.0), **common),
            StreamSpec(
                "foreign_flow",
                StreamAction.POLL,
                pause_s=(0.1, 0.5),
                tasks=(Task("foreign-detail", 3), Task("snapshot", 1)),
            ),
            StreamSpec(
                "burst_test", StreamAction.BURST, stay_s=(10.0, 30.0), pause_s=(0.5, 2.0), spread_s=1.0, **common
            ),
            StreamSpec("reconnect_storm", StreamAction.RECONNECT, stay_s=(0.2, 1.0), pause_s=(0.0, 0.1), **common),
        )

    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """Queries, paths and methods that a REST endpoint must stand."""
        return tuple(_cases(Kit(self, endpoint, dice)))


_LIMITS: Final[dict[str, str]] = {
    "zero": "limit=0",
    "negative": "limit=-1",
    "huge": "limit=99999999999999999999",
    "fraction": "limit=1.5",
    "exponent": "limit=1e9",
    "hex": "limit=0x10",
    "word": "limit=all",
    "empty": "limit=",
    "absent": "",
    "twice": "limit=1&limit=2",
    "list": "limit[]=1",
    "arabic": "limit=%D9%A1",
    "nul": "limit=%00",
    "sql": "limit=1%27%20OR%201=1",
    "format": "limit=%25s%25n",
    "utf8": "limit=%ff%fe",
    "badcode": "limit=%zz",
    "long": "limit=" + "1" * 4000,
    "many": "&".join(f"p{number}=1" for number in range(800)),
    "semicolon": "limit=1;limit=2",
    "proto": "__proto__[limit]=1",
}

_PATHS: Final[dict[str, str]] = {
    "upwards": "/api/market/../../../../etc/passwd",
    "encoded": "/api/market/%2e%2e/%2e%2e/etc/passwd",
    "nul": "/api/market/snapshot%00",
    "slash": "/api/market/snapshot/",
    "slashes": "//api//market//snapshot",
    "capitals": "/API/MARKET/SNAPSHOT",
    "suffix": "/api/market/snapshot.json",
    "parameter": "/api/market/snapshot;x=1",
    "long": "/api/market/" + "a" * 4000,
    "unknown": "/api/chaosbot",
}


def _cases(kit: Kit) -> Iterator[Case]:
    asked = Expect(frozenset({2, 3, 4}), reach=Reach.ANY)
    for word, query in _LIMITS.items():
        base = kit.wrap("/api/market/alerts" + (f"?{query}" if query else ""))
        yield kit.case(
            f"query/{word}", base, base.request, f"alerts with {query[:40] or 'no limit'}", asked, threat=Threat.USER
        )
    for word, path in _PATHS.items():
        base = kit.wrap(path)
        yield kit.case(f"path/{word}", base, base.request, f"GET {path[:40]}", asked, threat=Threat.USER)
    refused = Expect(frozenset({4, 501}), close=True, reach=Reach.NONE)
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        base = kit.base(f"method/{method.lower()}")
        request = base.request.with_method(method).plus(("Content-Length", "0"))
        yield kit.case(
            f"method/{method.lower()}", base, request, f"{method} where only GET is", refused, threat=Threat.USER
        )
    headers = {
        "long": ("X-Long", "a" * 20_000),
        "accept": ("Accept", "image/png;q=0.1, */*;q=0"),
        "range": ("Range", "bytes=" + ",".join(f"{number}-" for number in range(500))),
        "since": ("If-Modified-Since", "yesterday"),
        "origin": ("Origin", "null"),
        "encoding": ("Accept-Encoding", "br;q=1.0, chaos"),
    }
    lenient = Expect(frozenset({2, 3, 4}), close=True, reach=Reach.ANY)
    for word, pair in headers.items():
        base = kit.base(f"header/{word}")
        yield kit.case(
            f"header/{word}",
            base,
            base.request.with_header(*pair),
            f"{pair[0]}: {pair[1][:30]}",
            lenient,
            threat=Threat.USER,
        )
    handshake = (
        ("version", (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "7"))),
        ("keyless", (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"))),
        ("plain", ()),
    )
    market = kit.platform
    stream = market.stream if isinstance(market, Market) else "/ws/market"
    for word, pairs in handshake:
        base = kit.wrap(stream)
        request = base.request.without("Connection") if pairs else base.request
        yield kit.case(
            f"stream/{word}", base, request.plus(*pairs), f"a stream's handshake: {word}", lenient, threat=Threat.USER
        )
