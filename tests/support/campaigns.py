"""Small bots of tests, served as webhooks, and campaigns on them: behind the real proxy with its mock, or with replies in the answer."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

from chaosbot.addons.proxy import MOCK, ListenerSpec, Proxy, ProxySpec
from chaosbot.core.event import ApiCalled, Event
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import Endpoint
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec
from chaosbot.transport import Address


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A webhook on a port of its own; its URL."""

    class Quiet(handler):  # type: ignore[misc, valid-type]
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            server.shutdown()
            thread.join()


def call_api(api: str, method: str, **parameters: object) -> dict:
    """Calls a method of the Bot API as a small bot does; its result."""
    body, head = json.dumps(parameters).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{api}/bot1:token/{method}", body, head), timeout=5.0
    ) as answer:
        result: dict = json.loads(answer.read())["result"]
        return result


def said_in(update: dict) -> tuple[int, int, str, dict, dict] | None:
    """What a small bot takes of a message or a press: chat, sender, text or data, the press (empty for none), the message; None of all else."""
    pressed = update.get("callback_query") or {}
    message = pressed.get("message") or update.get("message") or {}
    chat, user = (message.get("chat") or {}).get("id"), (pressed or message).get("from", {}).get("id")
    text = pressed.get("data") or message.get("text")
    if not isinstance(chat, int) or not isinstance(user, int) or not isinstance(text, str):
        return None
    return chat, user, text, pressed, message


def updates_to(take: Callable[[dict], None], *, first: bool = False) -> type[BaseHTTPRequestHandler]:
    """A webhook that hands its updates to a bot and then acknowledges them, or acknowledges `first`."""

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            if first:
                self.end_headers()
            take(json.loads(body))
            if not first:
                self.end_headers()

    return Webhook


def spec_of(url: str, tmp_path: Path, started: float, **more: object) -> CampaignSpec:
    """A campaign of a minute with a seed of its own."""
    address = Address.parse(url)
    common = {"seed": 3, "duration_s": 60.0, "findings": tmp_path / "findings", "started": started}
    return CampaignSpec(address, Endpoint(address.authority, address.path), **(common | more))  # type: ignore[arg-type]


def campaign_behind_mock(
    tmp_path: Path, webhook: Callable[[str], type[BaseHTTPRequestHandler]], stages: str
) -> tuple[CampaignResult, list[Event]]:
    """Stages on a bot that calls the mock through the proxy, which may disturb its calls.

    Args:
        tmp_path: Where findings go.
        webhook: The bot's handler, given the base URL of its API.
        stages: The stages, with commas between.
    """
    return campaign_on(tmp_path, lambda api: served(webhook(api)), stages)


def campaign_on(
    tmp_path: Path, start: Callable[[str], AbstractContextManager[str]], stages: str
) -> tuple[CampaignResult, list[Event]]:
    """Like `campaign_behind_mock`, on a bot that `start` runs and whose URL it gives."""
    started, events = monotonic(), list[Event]()
    calls: list[ApiCalled] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, ApiCalled) and event.via != "reply":
            calls.append(event)

    proxy = Proxy(ProxySpec((ListenerSpec(Direction.OUTBOUND, MOCK),), 3, FaultPlan(), started=started), emit)
    proxy.start()
    try:
        with start(proxy.url(Direction.OUTBOUND)) as url:
            spec = spec_of(url, tmp_path, started, stages=tuple(stages.split(",")), bot_api=True)
            disturb = lambda rules: proxy.replace_plan(FaultPlan(rules))  # noqa: E731 - one line
            return Campaign(spec, emit, lambda: calls, disturb=disturb).run(), events
    finally:
        proxy.stop()
