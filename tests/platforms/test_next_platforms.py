"""Two senders that have no platform yet, whole and short: what is different about each is a value, and everything else follows."""

# ruff: noqa: ARG002 -- hooks are told more than these senders need

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from chaosbot.core.case import Expect
from chaosbot.core.dice import Dice
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.kit import RawRequest
from chaosbot.core.platform import EPOCH, PLATFORMS, Endpoint
from chaosbot.fuzz.catalogue import cases
from chaosbot.platforms._signatures import Style
from chaosbot.platforms._transport import JSON, NONE, BodyCodec, Places, Transport
from chaosbot.platforms._trust import Batching
from chaosbot.platforms._webhook import Webhook, answers

SECRET = "chaosbot-secret"
HERE = Endpoint("127.0.0.1:8000", "/hook", SECRET, started=EPOCH)


def _line_event(kind: str, **more: Any) -> dict[str, Any]:
    source = {"type": "user", "userId": "U8189cf6745fc0d808977bdb0b9f22995"}
    about = {"webhookEventId": "01FZ74A0TDDPYRVKNK77XKC3ZR", "deliveryContext": {"isRedelivery": False}}
    return {"type": kind, "mode": "active", "timestamp": EPOCH * 1000, "source": source, **about, **more}


@dataclass(frozen=True)
class Line(Webhook):
    """LINE: batches, redelivery with another body, an empty list as handshake."""

    usual: ClassVar[str] = "message"
    style: ClassVar[Style] = Style("line", "x-line-signature", "", "{body}", encoding="base64", tolerance_s=0)
    places: ClassVar[Places] = Places(
        delivery=("events.0.webhookEventId",), chat=("events.0.source.userId",), user=("events.0.source.userId",),
        tenant=("destination",), text=("events.0.message.text",), message=("events.0.message.id",), own=("events.0.replyToken",),
    )  # fmt: skip
    batching: ClassVar[tuple[Batching, ...]] = (
        Batching("events", "message", "events", (("unknown", "an event of a kind to come", _line_event("chaos")),)),
    )
    rules: ClassVar[DeliveryRules] = DeliveryRules(answer_wait_s=2.0, schedule_s=(60.0, 300.0, 1800.0))
    expects: ClassVar[Mapping[str, Expect]] = {"verify": answers(200, within_s=2.0)}

    def payloads(self) -> Mapping[str, Any]:
        """A text, a press, and what the console's button sends."""
        text = {"id": "444573844083572737", "type": "text", "text": "Hello, world"}
        events = {
            "message": [_line_event("message", replyToken="nHuyWiB7yP5Zw52FIkcQobQuGDXCTA", message=text)],
            "postback": [
                _line_event("postback", replyToken="b60d432864f44d079f6d8efe86cf404b", postback={"data": "buy"})
            ],
            "verify": [],
        }
        return {
            name: {"destination": "Uacfde7e0a5a0a8c7c2d6ee8d5b8b1b52", "events": one} for name, one in events.items()
        }

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """The first event's type."""
        events = payload.get("events") if isinstance(payload, dict) else None
        if not isinstance(events, list):
            return ""
        return events[0].get("type", "") if events and isinstance(events[0], dict) else "verify"

    def again(self, request: bytes, secret: str, attempt: int, reason: str, later_s: int) -> bytes:
        """The same events, which say that they come again, under a signature of their own."""
        body = request.partition(b"\r\n\r\n")[2].replace(b'"isRedelivery":false', b'"isRedelivery":true')
        return self.resigned(secret, request, RawRequest.of(request).with_body(body).data) or request


_ABOUT = {"ce-specversion": "1.0", "ce-type": "com.example.order.placed", "ce-source": "/orders"}


@dataclass(frozen=True)
class CloudEvents(Webhook):
    """CloudEvents over HTTP: binary and structured, and the handshake by which a target says that it wants them."""

    usual: ClassVar[str] = "order"
    style: ClassVar[Style] = Style("cloudevents", "X-Signature", "sha256=", "{body}", id_header="ce-id", tolerance_s=0)
    transports: ClassVar[Mapping[str, Transport]] = {
        "order": Transport(headers=tuple(_ABOUT.items())),
        "structured": Transport(BodyCodec("application/cloudevents+json", JSON.write, JSON.read)),
        "handshake": Transport(
            NONE, "OPTIONS", headers=(("WebHook-Request-Origin", "orders.example.com"),), signed=False
        ),
    }
    places: ClassVar[Places] = Places(delivery=("id",), chat=("data.order", "order"), text=("data.note", "note"))
    expects: ClassVar[Mapping[str, Expect]] = {"handshake": answers(200, 204)}

    def payloads(self) -> Mapping[str, Any]:
        """One event in both modes."""
        data = {"order": "ord-12345678", "note": "Leave it at the door."}
        about = {name.removeprefix("ce-"): value for name, value in _ABOUT.items()}
        return {"order": data, "structured": {**about, "id": "a-8c1f0d42", "data": data}, "handshake": {}}

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """The content type decides, as the specification says."""
        return "structured" if isinstance(payload, dict) and "specversion" in payload else "order"


@pytest.fixture(params=[Line, CloudEvents])
def platform(request: pytest.FixtureRequest) -> Webhook:
    return request.param()


def test_a_platform_of_thirty_lines_has_signed_deliveries_and_a_catalogue(platform, monkeypatch) -> None:
    monkeypatch.setattr(type(platform), "name", type(platform).__name__.lower())
    for name in platform.known:
        request = RawRequest.of(platform.encode(HERE, platform.made(name, Dice(1))))
        signature = request.header(platform.scheme.header) or b""
        digest = hmac.digest(SECRET.encode(), request.body, "sha256")
        right = base64.b64encode(digest) if platform.scheme.encoding == "base64" else f"sha256={digest.hex()}".encode()
        assert signature == (right if platform.transport(name).signed else b"")
        assert platform.read(request.data) is not None or name == "handshake"
    groups = {case.group for case in cases(platform, HERE, Dice(1))}
    assert {"signed", "unsigned", "words", "json", "structure"} <= groups


def test_line_comes_again_as_a_redelivery_and_several_events_at_once() -> None:
    line = Line()
    first = line.encode(HERE, line.made("message", Dice(1)))
    again = RawRequest.of(line.again(first, SECRET, 1, "late", 60))
    assert json.loads(again.body)["events"][0]["deliveryContext"]["isRedelivery"]
    assert again.header("x-line-signature") == base64.b64encode(hmac.digest(SECRET.encode(), again.body, "sha256"))
    (batch,) = line.batches(Dice(2))
    assert [len(one["message"]["events"]) for one in (batch.whole, batch.mixed)] == [2, 3]
    # The vendor's library accepts this signature of what the console's button sends.
    button = RawRequest.of(line.encode(HERE, b'{"destination":"U1","events":[]}'))
    assert button.header("x-line-signature") == b"JfB2BEXaK5qGV6/SD14fR6nPbhyLjJON4d8J7905IwA="


def test_cloudevents_ask_by_options_and_carry_their_headers() -> None:
    events = CloudEvents()
    asked = RawRequest.of(events.encode(HERE, events.made("handshake", Dice(1))))
    assert asked.line.startswith(b"OPTIONS /hook")
    assert asked.header("WebHook-Request-Origin") == b"orders.example.com"
    binary = RawRequest.of(events.encode(HERE, events.made("order", Dice(1))))
    assert (binary.header("ce-type"), binary.header("Content-Type")) == (
        b"com.example.order.placed",
        b"application/json",
    )
    structured = RawRequest.of(events.encode(HERE, events.made("structured", Dice(1))))
    assert structured.header("Content-Type") == b"application/cloudevents+json"
    assert events.read(structured.data).update_id


# ── the senders of docs/signed.md ─────────────────────────────────────────────────────────────────────────────────────


def documented() -> dict[str, dict[str, str]]:
    page = (Path(__file__).parents[2] / "docs" / "signed.md").read_text()
    rows = re.findall(r"^\| ([A-Z][\w ,/]+) \| (`style=.*) \|$", page, re.MULTILINE)
    return {name: dict(word.partition("=")[::2] for word in re.findall(r"`(\w+=[^`]+)`", told.partition(";")[0] if "Paddle" not in name else told)) for name, told in rows}  # fmt: skip


def test_the_documented_senders_sign_as_their_vendors_libraries_verify() -> None:
    """Each value was accepted by the vendor's own library."""
    senders = documented()
    assert {"Amazon SNS", "SendGrid", "Shopify", "LINE", "Square", "Paddle", "Zoom", "Mailgun", "Bot Framework"} <= set(
        senders
    )
    body = '{"id":"evt_1","type":"ping","text":"héllo"}'.encode()
    signed = {
        "Shopify": ("VxhU+46x6Q9H4g2napsWo2F3PCEwdA20Qb8MP2Qagb0=", HERE),
        "LINE": ("VxhU+46x6Q9H4g2napsWo2F3PCEwdA20Qb8MP2Qagb0=", HERE),
        "Square": ("itEgQTTzNDcsNpnW0hePs7qXu6JwYUyyXfug8THo8ic=", Endpoint("h", "/webhook", SECRET, started=EPOCH)),
        "Paddle": ("ts=1767225600;h1=6b2e251f543ad77c7c389c749de261379e88a872d14c7f0c280797e33c4f0dd5", HERE),
        "Zoom": ("v0=991ad3fc563d7869c6668b496b0638853331941a554a89ab455facdb128101b6", HERE),
        "Viber, Jira": (hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), HERE),
    }
    for name, options in senders.items():
        changed = options | ({"url": "https://example.com"} if name == "Square" else {})
        platform = PLATFORMS.build("standard_webhooks", changed)
        request = RawRequest.of(platform.encode(HERE, body))
        assert platform.read(request.data) is not None
        if name in signed:
            value, endpoint = signed[name]
            got = RawRequest.of(platform.encode(endpoint, body)).header(platform.scheme.header)
            assert (got or b"").decode() == value, name
