"""The four ways of signing, as values: which headers a body gets, and how the parts are put together."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.errors import UnknownName

Header = tuple[str, str]


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: base64 behind ``whsec_``, otherwise its own bytes."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Signed:
    """What goes into a signature and how it is written.

    Args:
        key: The key.
        message_id: The delivery's id.
        timestamp: Unix time, as it stands in the header.
        body: The body.
    """

    key: bytes
    message_id: str
    timestamp: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Style:
    """One way of signing.

    Args:
        name: Its name.
        header: The header of the signature.
        version: What stands before a signature (``v1,`` ``sha256=`` …).
        separator: What stands between several signatures; empty where there is only one.
        hexadecimal: Whether it is written in hexadecimal digits, base64 otherwise.
        content: The bytes that are signed.
        id_header: The header of the delivery's id, in lower case; empty where there is none.
        time_header: The header of the timestamp; empty where it stands in the signature's header or nowhere.
        timed: Whether there is a timestamp.
        events: Golden events, made for a time.
    """

    name: str
    header: str
    version: str
    separator: str
    hexadecimal: bool
    content: Callable[[Signed], bytes]
    id_header: str
    time_header: str
    timed: bool
    events: Callable[[int], dict[str, Any]]

    def signature(self, signed: Signed, algorithm: str = "sha256") -> str:
        """One signature, without its version."""
        digest = hmac.new(signed.key, self.content(signed), algorithm)
        return digest.hexdigest() if self.hexadecimal else base64.b64encode(digest.digest()).decode()

    def value(self, signed: Signed, *signatures: str) -> str:
        """The header's value for these signatures (with their versions)."""
        if self.name == "stripe":
            return ",".join((f"t={signed.timestamp}", *signatures))
        return self.separator.join(signatures) if self.separator else signatures[0]

    def others(self, signed: Signed) -> tuple[Header, ...]:
        """The headers beside the signature."""
        found: list[Header] = []
        if self.id_header:
            found.append((self.id_header, signed.message_id))
        if self.time_header:
            found.append((self.time_header, signed.timestamp))
        if self.name == "github":
            found.append(("X-GitHub-Event", "issue_comment"))
        return tuple(found)

    def signed(self, secret: str, time: int, body: bytes) -> Signed:
        """The parts for a body; its delivery id follows from the body, so that the same body is the same delivery."""
        digest = hashlib.sha256(body).hexdigest()
        message_id = f"msg_{digest[:24]}" if self.name == "standard" else _uuid(digest)
        return Signed(key_of(secret), message_id, str(time), body)

    def headers(self, secret: str, time: int, body: bytes) -> tuple[Header, ...]:
        """All headers of a genuine delivery; without a secret there is no signature."""
        signed = self.signed(secret, time, body)
        if not secret:
            return self.others(signed)
        return (*self.others(signed), (self.header, self.value(signed, self.version + self.signature(signed))))


def _uuid(digest: str) -> str:
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _standard_events(time: int) -> dict[str, Any]:
    del time
    return {
        "contact.created": {
            "type": "contact.created",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"id": "1f81eb52-5198-4599-803e-771906343485", "name": "Ada", "active": True, "visits": 3},
        },
        "invoice.paid": {
            "type": "invoice.paid",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"id": "inv_42", "description": "A plan", "amount": 1200, "lines": [{"title": "Seat", "count": 2}]},
        },
    }


def _github_events(time: int) -> dict[str, Any]:
    del time
    sender = {"login": "octocat", "id": 1, "type": "User"}
    repository = {"id": 35129377, "name": "public-repo", "full_name": "octocat/public-repo", "private": False}
    return {
        "issue_comment": {
            "action": "created",
            "issue": {"id": 73464126, "number": 2, "title": "Spelling error"},
            "comment": {"id": 99262140, "body": "You are totally right! I'll get this fixed right away."},
            "repository": repository,
            "sender": sender,
        },
        "ping": {"zen": "Keep it logically awesome.", "hook_id": 30, "repository": repository, "sender": sender},
    }


def _stripe_events(time: int) -> dict[str, Any]:
    return {
        "charge.succeeded": {
            "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
            "object": "event",
            "type": "charge.succeeded",
            "created": time,
            "livemode": False,
            "data": {
                "object": {"id": "ch_1", "amount": 2000, "currency": "usd", "description": "A plan", "paid": True}
            },
        },
    }


def _slack_events(time: int) -> dict[str, Any]:
    return {
        "event_callback": {
            "type": "event_callback",
            "team_id": "T0001",
            "api_app_id": "A0001",
            "event_id": "Ev0LAN670R",
            "event_time": time,
            "event": {
                "type": "message",
                "channel": "C0001",
                "user": "U0001",
                "text": "Live long and prosper.",
                "ts": "1.2",
            },
        },
        "url_verification": {
            "type": "url_verification",
            "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
        },
    }


STYLES: Final[dict[str, Style]] = {
    style.name: style
    for style in (
        Style(
            "standard",
            "webhook-signature",
            "v1,",
            " ",
            hexadecimal=False,
            content=lambda s: f"{s.message_id}.{s.timestamp}.".encode() + s.body,
            id_header="webhook-id",
            time_header="webhook-timestamp",
            timed=True,
            events=_standard_events,
        ),
        Style(
            "github",
            "X-Hub-Signature-256",
            "sha256=",
            "",
            hexadecimal=True,
            content=lambda s: s.body,
            id_header="x-github-delivery",
            time_header="",
            timed=False,
            events=_github_events,
        ),
        Style(
            "stripe",
            "Stripe-Signature",
            "v1=",
            ",",
            hexadecimal=True,
            content=lambda s: s.timestamp.encode() + b"." + s.body,
            id_header="",
            time_header="",
            timed=True,
            events=_stripe_events,
        ),
        Style(
            "slack",
            "X-Slack-Signature",
            "v0=",
            "",
            hexadecimal=True,
            content=lambda s: b"v0:" + s.timestamp.encode() + b":" + s.body,
            id_header="",
            time_header="X-Slack-Request-Timestamp",
            timed=True,
            events=_slack_events,
        ),
    )
}
"""All styles by name."""


def style_named(name: str) -> Style:
    """The style of this name.

    Raises:
        UnknownName: There is none.
    """
    if name not in STYLES:
        raise UnknownName.of("signing style", name, STYLES, where="style")
    return STYLES[name]
