"""Nobody starves: bots that lose what comes late or in a burst are found out, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from chaosbot.core.platform import Endpoint
from chaosbot.core.verdict import Severity, Threat
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.replay import replay
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec
from chaosbot.transport import Address
from tests.support.campaigns import call_api, campaign_behind_mock, served, updates_to

Takes = Callable[[int], bool]
"""Whether a bot acts on the update of this id; it acknowledges all of them."""


@contextmanager
def bot(takes: Takes) -> Iterator[str]:
    """A bot that answers in its webhook's answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            update = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = update.get("message") or update.get("edited_message")
            answer = b"{}"
            if message is not None and takes(update["update_id"]):
                reply = {"method": "sendMessage", "chat_id": message["chat"]["id"], "text": f"you: {message['text']}"}
                answer = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with served(Handler) as url:
        yield url


class RisingIds:
    """Takes only ids above all that it has seen."""

    def __init__(self) -> None:
        self.highest = 0
        self.lock = threading.Lock()

    def __call__(self, number: int) -> bool:
        with self.lock:
            late, self.highest = number <= self.highest, max(self.highest, number)
        return not late


class OneHand:
    """Takes an update only while it is busy with no other; it is busy until the next one comes, or for a moment."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.another = threading.Event()

    def __call__(self, _number: int) -> bool:
        if not self.busy.acquire(blocking=False):
            self.another.set()
            return False
        self.another.clear()
        self.another.wait(0.1)
        self.busy.release()
        return True


class Workers:
    """Three workers, each with its share of the chats; what one trips over ends it, or is let go.

    Args:
        api: Base URL of its API.
        fragile: Whether a command without a sender ends the worker.
    """

    def __init__(self, api: str, *, fragile: bool) -> None:
        self.api, self.fragile = api, fragile
        self.gone: set[int] = set()

    def take(self, update: dict) -> None:
        message = update.get("message")
        chat = (message.get("chat") or {}).get("id") if isinstance(message, dict) else None
        if not isinstance(chat, int) or chat % 3 in self.gone:
            return
        if self.fragile and str(message.get("text")).startswith("/") and "from" not in message:
            self.gone.add(chat % 3)
        elif isinstance(message.get("text"), str):
            call_api(self.api, "sendMessage", chat_id=chat, text="At your service.")


@pytest.mark.slow
@pytest.mark.parametrize("fragile", [True, False])
def test_a_worker_that_an_odd_update_ends_answers_its_chats_no_more(tmp_path: Path, *, fragile: bool) -> None:
    bots: list[Workers] = []

    def webhook(api: str) -> type[BaseHTTPRequestHandler]:
        bots.append(Workers(api, fragile=fragile))
        return updates_to(bots[0].take)

    result, _ = campaign_behind_mock(tmp_path, webhook, "catalogue")
    found = {one.cause.place for one in result.findings if one.check == "canary_answered"}
    # Where all workers have ended by then nobody is answered any more.
    assert ("everybody" in found) is (len(bots[0].gone) == 3)
    assert found <= {"some", "everybody"}
    assert bool(found) is fragile


def campaign(url: str, tmp_path: Path) -> CampaignResult:
    address = Address.parse(url)
    spec = CampaignSpec(
        address,
        Endpoint(address.authority, address.path),
        seed=3,
        duration_s=30.0,
        max_examples=40,
        stages=("sequences",),
        checks=("nobody_starves",),
        findings=tmp_path,
    )
    return Campaign(spec, lambda _event: None).run()


def test_a_bot_that_takes_rising_ids_only_starves_whoever_comes_late(tmp_path: Path) -> None:
    with bot(RisingIds()) as url:
        (finding,) = campaign(url, tmp_path).findings
    assert (finding.cause.place, finding.severity, finding.threat) == ("late", Severity.HIGH, Threat.NETWORK)
    assert "lower delivery id" in finding.title
    # The ids keep their order when they are sent again.
    with bot(RisingIds()) as url:
        assert replay(tmp_path / finding.id, target=url).still_fails
    with bot(lambda _number: True) as url:
        mended = replay(tmp_path / finding.id, target=url)
    assert (mended.still_fails, mended.conclusive) == (False, True)


@pytest.mark.slow
def test_a_bot_that_takes_one_at_a_time_and_drops_the_others_starves_in_a_burst(tmp_path: Path) -> None:
    with bot(OneHand()) as url:
        (finding,) = campaign(url, tmp_path).findings
        assert replay(tmp_path / finding.id, target=url).still_fails
    assert (finding.cause.place, finding.threat) == ("burst", Threat.LOAD)


def test_a_bot_that_takes_everything_starves_nobody(tmp_path: Path) -> None:
    with bot(lambda _number: True) as url:
        result = campaign(url, tmp_path)
    assert (result.findings, result.unjudged) == ((), ())
    # Of the order each but the last, and the whole burst.
    assert [judgement.judged for judgement in result.judgements] == [3 + 40]
