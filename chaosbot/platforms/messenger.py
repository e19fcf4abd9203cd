"""Messenger (and Instagram): messages, presses, receipts and echoes in batches, signed with the app secret; a handshake by GET.

Kinds are ``message``, ``postback``, ``delivery``, ``read``, ``reaction``; ``handshake`` is there where the verify token is known
(``verify_token=…``). An echo (``message/echo``) is what the page itself sent: a target that answers it never stops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from chaosbot.core.case import Expect
from chaosbot.core.journey import DAY_S, DeliveryRules
from chaosbot.core.kit import GONE
from chaosbot.core.platform import EPOCH
from chaosbot.core.registry import option
from chaosbot.core.verdict import Threat
from chaosbot.platforms import _meta
from chaosbot.platforms._signatures import Style
from chaosbot.platforms._transport import Places, Transport
from chaosbot.platforms._trust import Batching, Claim, Rights
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook

_PAGE: Final = "1906385232743451"
_PERSON: Final = "1254459154682919"
_ONE: Final = "entry.0.messaging.0"
_KINDS: Final = ("message", "postback", "delivery", "read", "reaction")


def messaging(**members: Any) -> dict[str, Any]:
    """A delivery with one thing that a person did on a page."""
    one = {"sender": {"id": _PERSON}, "recipient": {"id": _PAGE}, "timestamp": EPOCH * 1000} | members
    return {"object": "page", "entry": [{"id": _PAGE, "time": EPOCH * 1000, "messaging": [one]}]}


def _payloads() -> dict[str, Any]:
    said = {"mid": "m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM_QPpz5jdCK48PnKAjSdjfipqxqMvK8ma6AC8fplwlqLP", "text": "Hello, world"}
    image = {"type": "image", "payload": {"url": "https://cdn.example.com/cup.png"}}
    page, person = {"id": _PAGE}, {"id": _PERSON}
    return {
        "message": messaging(message=said),
        "message/quick": messaging(message=said | {"quick_reply": {"payload": "SIZE_M"}}),
        "message/image": messaging(message={"mid": said["mid"], "attachments": [image]}),
        "message/echo": messaging(
            message=said | {"is_echo": True, "app_id": 1517776481860111}, sender=page, recipient=person
        ),
        "postback": messaging(postback={"mid": said["mid"], "title": "Start", "payload": "GET_STARTED"}),
        "delivery": messaging(delivery={"mids": [said["mid"]], "watermark": EPOCH * 1000}),
        "read": messaging(read={"watermark": EPOCH * 1000}),
        "reaction": messaging(reaction={"mid": said["mid"], "action": "react", "reaction": "love", "emoji": "❤️"}),
    }


_ODD_THINGS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("optin", "an opt-in of somebody without an id", {"recipient": {"id": _PAGE}, "timestamp": EPOCH * 1000, "optin": {"ref": "PASS", "user_ref": "u-1"}}),
    ("kind-unknown", "a thing of a kind to come", {"sender": {"id": "1254459154682111"}, "recipient": {"id": _PAGE}, "timestamp": EPOCH * 1000, "chaos": {}}),
    ("sticker", "a message without text", {"sender": {"id": "1254459154682222"}, "recipient": {"id": _PAGE}, "timestamp": EPOCH * 1000, "message": {"mid": "m_AG5Hz2UqChaos1", "sticker_id": 369239263222822}}),
)  # fmt: skip


def _odd_entries() -> tuple[tuple[str, str, Any], ...]:
    """Entries that hold no person's message."""
    standby = {"id": _PAGE, "time": EPOCH * 1000, "standby": []}
    feed = {"id": _PAGE, "time": EPOCH * 1000, "changes": [{"field": "feed", "value": {"item": "like", "verb": "add"}}]}
    found = [(word, what, {"id": _PAGE, "time": EPOCH * 1000, "messaging": [one]}) for word, what, one in _ODD_THINGS]
    return (*found, ("standby", "an entry for another app", standby), ("feed", "a change of the page's feed", feed))


@dataclass(frozen=True)
class Messenger(Webhook):
    """Messenger."""

    default_path: ClassVar[str] = "/messenger/webhook"
    signed_with: ClassVar[str] = "the app secret (App settings, Basic)"
    api_mock: ClassVar[str] = "meta"
    usual: ClassVar[str] = "message"
    style: ClassVar[Style] = _meta.STYLE
    transports: ClassVar[Mapping[str, Transport]] = {"handshake": _meta.HANDSHAKE} | dict.fromkeys(
        _KINDS, _meta.DELIVERED
    )
    places: ClassVar[Places] = Places(
        delivery=(f"{_ONE}.message.mid", f"{_ONE}.postback.mid"),
        chat=(f"{_ONE}.sender.id",),
        user=(f"{_ONE}.sender.id",),
        tenant=("entry.0.id",),
        text=(f"{_ONE}.message.text",),
        message=(f"{_ONE}.message.mid",),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {"chat": ("message", "delivery", "read", "postback")}
    rights: ClassVar[tuple[Rights, ...]] = (
        Rights(
            "message",
            {f"{_ONE}.message.text": "{text}"},
            {f"{_ONE}.sender.id": "{admin}"},
            claims=(
                Claim("name", "a message of somebody who says to be the admin", {f"{_ONE}.sender.name": "{name}"}),
                Claim("answered", "an answer to a message of the admin", {f"{_ONE}.message.reply_to": {"mid": "m_AG5Hz2U", "from": {"id": "{admin}"}}}),
                Claim("referred", "a message that came by a link with the admin's id", {f"{_ONE}.referral": {"ref": "{admin}", "source": "SHORTLINK", "type": "OPEN_THREAD"}}),
            ),
        ),
    )  # fmt: skip
    batching: ClassVar[tuple[Batching, ...]] = (
        Batching("entries", "message", "entry", _odd_entries()),
        Batching("things", "message", "entry.0.messaging", _ODD_THINGS),
    )
    rules: ClassVar[DeliveryRules] = _meta.rules(1.5 * DAY_S)
    expects: ClassVar[Mapping[str, Expect]] = _meta.EXPECTED
    withheld: ClassVar[Mapping[str, str]] = {
        "handshake": "the verify token: --platform-option verify_token=…, or MESSENGER_VERIFY_TOKEN"
    }

    verify_token: str = option("text", "the verify token, for the handshake (MESSENGER_VERIFY_TOKEN)", "")

    def payloads(self) -> Mapping[str, Any]:
        """What people do on a page, and the handshake where its token is known."""
        asked = {"handshake": _meta.handshake(self.verify_token)} if self.verify_token else {}
        return _payloads() | asked

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """What the first thing is."""
        del headers
        try:
            one = payload["entry"][0]["messaging"][0]
        except (LookupError, TypeError):
            return ""
        return next((kind for kind in _KINDS if isinstance(one, dict) and kind in one), "")

    def odd(self) -> tuple[Odd, ...]:
        """Handshakes, batches, pages, echoes."""
        text = "message"
        entry = _payloads()[text]["entry"][0]
        poisoned = entry | {
            "messaging": [{"recipient": {"id": _PAGE}, "timestamp": EPOCH * 1000, "optin": {"type": "chaos"}}]
        }
        return (
            *_meta.handshakes(self.verify_token, text),
            Odd("batch/entries", text, "a hundred entries", {"entry": [entry] * 100}, **GENUINE),
            Odd("batch/poisoned-first", text, "an entry without sender before one of a person", {"entry": [poisoned, entry]}, **GENUINE),
            Odd("batch/none", text, "no entry at all", {"entry": []}),
            Odd("batch/standby", text, "an entry for another app", {"entry.0.messaging": GONE, "entry.0.standby": entry["messaging"]}, **GENUINE),
            Odd("shape/kind-unknown", text, "a thing of a kind to come", {f"{_ONE}.message": GONE, f"{_ONE}.chaos": {}}, **GENUINE),
            Odd("shape/sender-absent", text, "a message without sender", {f"{_ONE}.sender": GONE}),
            Odd("shape/textless", text, "a message without text", {f"{_ONE}.message.text": GONE}, **GENUINE),
            Odd("shape/payload-forged", "postback", "a button that was never shown", {f"{_ONE}.postback.payload": "ADMIN"}),
            Odd("tenant/page-other", text, "a message to another page", {"entry.0.id": "999999999999999", f"{_ONE}.recipient.id": "999999999999999"}),
            Odd("text/long", text, "a text of 2000 characters", {f"{_ONE}.message.text": "x" * 2000}, **GENUINE),
            Odd("type/list", text, "a signed list", body=b"[]", threat=Threat.NETWORK),
            Odd("type/null", text, "a signed null", body=b"null", threat=Threat.NETWORK),
        )  # fmt: skip


__all__ = ["Messenger", "messaging"]
