# ruff: noqa: ARG002 -- endpoints share one signature
"""The application: webhook, market, and the pages that tell how it is doing."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chaosbot.demo.bot import Bot
from chaosbot.demo.market import Market
from chaosbot.demo.settings import DemoSettings
from chaosbot.demo.webhook import Webhook

_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}


class Pages:
    """`/`, `/health` and `/metrics`."""

    def __init__(self, bot: Bot, webhook: Webhook, market: Market) -> None:
        """Binds the pages to what they show."""
        self._bot = bot
        self._webhook = webhook
        self._market = market
        self._started = time.monotonic()

    async def index(self, request: Request) -> Response:
        """Says what this is."""
        return PlainTextResponse("chaosbot demo: a Telegram webhook bot and a market service\n")

    async def health(self, request: Request) -> Response:
        """Tells the state in JSON; `degraded` while a circuit is not closed."""
        circuits = {name: circuit.as_json() for name, circuit in self._bot.circuits.items()}
        closed = all(circuit["state"] == "closed" for circuit in circuits.values())
        outbox = self._bot.outbox
        state = {
            "status": "ok" if closed else "degraded",
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._started, 3),
            "circuits": circuits,
            "handled": dict(self._bot.handled),
            "handled_total": self._bot.handled.total(),
            "outbound": dict(self._bot.outbound),
            "outbox": 0 if outbox is None else outbox.depth,
        }
        return Response(orjson.dumps(state), media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        """Tells the numbers in Prometheus' text format."""
        bot = self._bot
        lines = [
            "# TYPE process_resident_memory_bytes gauge",
            f"process_resident_memory_bytes {resident_bytes()}",
            "# TYPE process_open_fds gauge",
            f"process_open_fds {open_descriptors()}",
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {time.process_time()}",
            "# TYPE updates_total counter",
            *(f'updates_total{{kind="{kind}"}} {count}' for kind, count in sorted(bot.handled.items())),
            "# TYPE webhook_answers_total counter",
            *(f'webhook_answers_total{{status="{s}"}} {count}' for s, count in sorted(self._webhook.answers.items())),
            "# TYPE outbound_total counter",
            *(f'outbound_total{{outcome="{name}"}} {count}' for name, count in sorted(bot.outbound.items())),
            "# TYPE outbox_depth gauge",
            f"outbox_depth {0 if bot.outbox is None else bot.outbox.depth}",
            "# TYPE dedup_entries gauge",
            f"dedup_entries {len(bot.dedup) + len(bot.asked)}",
            "# TYPE market_listeners gauge",
            f"market_listeners {len(self._market.feed.listeners)}",
            "# TYPE circuit_state gauge",
            *(f'circuit_state{{service="{name}"}} {_STATES[c.state]}' for name, c in bot.circuits.items()),
            "# TYPE circuit_trips_total counter",
            *(f'circuit_trips_total{{service="{name}"}} {c.trips}' for name, c in bot.circuits.items()),
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def build(settings: DemoSettings) -> tuple[Starlette, Bot]:
    """Builds the application and the bot inside it; must be called within the event loop that serves it.

    Returns:
        The application, and the bot, which is to be closed at the end.
    """
    bot = Bot(settings)
    webhook = Webhook(bot, settings)
    market = Market(settings)
    pages = Pages(bot, webhook, market)
    routes = [
        Route("/webhook/telegram", webhook),
        Route("/", pages.index),
        Route("/health", pages.health),
        Route("/metrics", pages.metrics),
        *market.routes(),
    ]
    return Starlette(routes=routes), bot


def resident_bytes() -> int:
    """Returns the resident memory; where only the peak is known (macOS), the peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> int:
    """Returns the number of open file descriptors."""
    return sum(1 for _ in Path("/dev/fd").iterdir())
