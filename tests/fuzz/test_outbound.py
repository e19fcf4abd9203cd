"""The outbound stage on real bots behind the real proxy: what hurts is found, and a bot that does it right has no finding."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, sleep

import pytest

from chaosbot.addons.proxy import MOCK, ListenerSpec, Proxy, ProxySpec
from chaosbot.core.event import ApiCalled, Event, OutboundTried
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import Endpoint
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec
from chaosbot.fuzz.troubles import TROUBLES
from chaosbot.transport import Address


class Bot:
    """Acknowledges first and greets later, echoing nothing; how it copes with failed calls is given.

    Args:
        api: Base URL of its API.
        patient: Whether a failed call is made again, after as long as it is told to wait.
        follows: Whether it follows a group that moved.
        one_by_one: Whether all chats share one worker, which waits for each.
    """

    def __init__(self, api: str, *, patient: bool = True, follows: bool = True, one_by_one: bool = False) -> None:
        self.api, self.patient, self.follows, self.one_by_one = api, patient, follows, one_by_one
        self.waiting: SimpleQueue[int] = SimpleQueue()
        if one_by_one:
            threading.Thread(target=self.work, daemon=True).start()

    def update(self, update: dict) -> None:
        message = update.get("message") or {}
        chat = (message.get("chat") or {}).get("id")
        if not isinstance(chat, int) or "text" not in message:
            return
        if self.one_by_one:
            self.waiting.put(chat)
        else:
            threading.Thread(target=self.greet, args=(chat,), daemon=True).start()

    def work(self) -> None:
        while True:
            self.greet(self.waiting.get())

    def greet(self, chat: int) -> None:
        for _ in range(4 if self.patient else 1):
            status, answer = self.call(chat)
            parameters = answer.get("parameters", {})
            if status == 200:
                return
            if self.follows and "migrate_to_chat_id" in parameters:
                chat = parameters["migrate_to_chat_id"]
            elif status in (400, 403):
                return
            else:
                sleep(parameters.get("retry_after", 0.3))

    def call(self, chat: int) -> tuple[int, dict]:
        request = urllib.request.Request(
            f"{self.api}/bot1:token/sendMessage",
            json.dumps({"chat_id": chat, "text": "Bienvenido."}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=2.0) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            try:
                return error.code, json.loads(error.read())
            except ValueError:
                return error.code, {}
        except (OSError, HTTPException, ValueError):
            return 0, {}


@contextmanager
def served(bot: Bot) -> Iterator[str]:
    class Webhook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                update = json.loads(body)
            except ValueError:
                update = None
            if isinstance(update, dict):
                bot.update(update)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()


def campaign(tmp_path: Path, **how: bool) -> tuple[CampaignResult, list[Event]]:
    started, events = monotonic(), []
    calls: list[ApiCalled] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, ApiCalled) and event.via != "reply":
            calls.append(event)

    proxy = Proxy(ProxySpec((ListenerSpec(Direction.OUTBOUND, MOCK),), 3, FaultPlan(), started=started), emit)
    proxy.start()
    try:
        with served(Bot(proxy.url(Direction.OUTBOUND), **how)) as url:
            address = Address.parse(url)
            spec = CampaignSpec(
                address,
                Endpoint(address.authority, address.path),
                seed=3,
                duration_s=60.0,
                stages=("outbound",),
                bot_api=True,
                findings=tmp_path / "findings",
                started=started,
            )
            disturb = lambda rules: proxy.replace_plan(FaultPlan(rules))  # noqa: E731 - one line
            return Campaign(spec, emit, lambda: calls, disturb=disturb).run(), events
    finally:
        proxy.stop()


def found(result: CampaignResult) -> set[tuple[str, str]]:
    return {(finding.check, finding.cause.place) for finding in result.findings}


@pytest.mark.slow
def test_a_bot_that_copes_has_no_finding_and_every_trouble_was_tried(tmp_path: Path) -> None:
    result, events = campaign(tmp_path)
    assert found(result) == set()
    assert {event.trouble for event in events if isinstance(event, OutboundTried)} == {one.name for one in TROUBLES}


@pytest.mark.slow
def test_what_is_never_tried_again_is_lost(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, patient=False)
    lost = {place for check, place in found(result) if check == "acked_not_lost"}
    assert lost >= {"429", "502", "reset"}


@pytest.mark.slow
def test_a_group_that_moved_is_followed_or_not(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, follows=False)
    assert "migrate_followed" in {check for check, _ in found(result)}


@pytest.mark.slow
def test_one_worker_for_all_chats_holds_everybody_up(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, one_by_one=True)
    assert "no_hol_blocking" in {check for check, _ in found(result)}
