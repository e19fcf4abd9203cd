"""WhatsApp Cloud API: messages and statuses in batches, signed with the app secret; a handshake by GET with the verify token.

Kinds are ``messages`` and ``statuses``; ``handshake`` is there where the verify token is known (``verify_token=…``). Meta escapes
what is not ASCII and signs that, waits for 200, and delivers again for 7 days with growing pauses, the same ``wamid`` each time.
Statuses come in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from chaosbot.core.case import Expect
from chaosbot.core.journey import DAY_S, DeliveryRules
from chaosbot.core.kit import GONE, put
from chaosbot.core.platform import EPOCH
from chaosbot.core.registry import option
from chaosbot.core.verdict import Threat
from chaosbot.platforms import _meta
from chaosbot.platforms._signatures import Style
from chaosbot.platforms._transport import Places, Transport
from chaosbot.platforms._trust import Batching, Claim, Pressing, Rights
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook

_WABA: Final = "102290129340398"
_PHONE: Final = "106540352242922"
_FROM: Final = "16505551234"
_VALUE: Final = "entry.0.changes.0.value"
_MESSAGE: Final = f"{_VALUE}.messages.0"
_MEDIA: Final = {
    "mime_type": "image/jpeg",
    "sha256": "3f9d94d399fa61c191bc1d4ca71375a035cbb9f5",
    "id": "2754859441498128",
    "url": "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=2754859441498128",
}


def change(**members: Any) -> dict[str, Any]:
    """A delivery with one change of the field ``messages``."""
    metadata = {"display_phone_number": "15550783881", "phone_number_id": _PHONE}
    value = {"messaging_product": "whatsapp", "metadata": metadata} | members
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": _WABA, "changes": [{"value": value, "field": "messages"}]}],
    }


def message(kind: str, content: Any, /, **members: Any) -> dict[str, Any]:
    """A delivery with one message of this type."""
    contacts = [{"profile": {"name": "Ada"}, "wa_id": _FROM}]
    return change(contacts=contacts, messages=[_one(kind, content) | members])


def _one(kind: str, content: Any) -> dict[str, Any]:
    return {
        "from": _FROM,
        "id": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdCNTg5RjY1",
        "timestamp": str(EPOCH),
        "type": kind,
        kind: content,
    }


def _text(number: int) -> dict[str, Any]:
    """One of several people's messages; the first is the golden one."""
    one = _one("text", {"body": f"Number {number}"})
    return one | {"id": f"{one['id'][:-4]}{number:04}", "from": f"1650555{number:04}"} if number else one


def _status(word: str, **members: Any) -> dict[str, Any]:
    told = {
        "id": "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5QTNDQTVCM0Q0",
        "status": word,
        "timestamp": str(EPOCH),
        "recipient_id": _FROM,
    }
    return change(statuses=[told | members])


def _payloads() -> dict[str, Any]:
    quoted = {"from": "15550783881", "id": "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5QTNDQTVCM0Q0"}
    reply = {"type": "button_reply", "button_reply": {"id": "approve-4711", "title": "Approve"}}
    chosen = {"type": "list_reply", "list_reply": {"id": "row-1", "title": "Row 1", "description": "The first"}}
    contact = {
        "name": {"formatted_name": "Ada L.", "first_name": "Ada"},
        "phones": [{"phone": "+1 650 555 1234", "type": "HOME"}],
    }
    error = {
        "code": 131051,
        "title": "Message type unknown",
        "message": "Message type unknown",
        "error_data": {"details": "Unsupported"},
    }
    lost = {"code": 131047, "title": "Re-engagement message", "message": "Re-engagement message"}
    charged = {
        "conversation": {"id": "c1a2b3", "origin": {"type": "service"}},
        "pricing": {"billable": True, "category": "service"},
    }
    return {
        "messages": message("text", {"body": "Is the shop open?"}),
        "messages/emoji": message("text", {"body": "Un café, s'il vous plaît ☕ 1/2"}),
        "messages/reply": message("text", {"body": "Yes."}, context=quoted),
        "messages/image": message("image", _MEDIA | {"caption": "A cup"}),
        "messages/audio": message("audio", _MEDIA | {"mime_type": "audio/ogg; codecs=opus", "voice": True}),
        "messages/document": message("document", _MEDIA | {"filename": "a.pdf", "caption": "A paper"}),
        "messages/location": message("location", {"latitude": 38.9806, "longitude": -76.9416, "name": "Here"}),
        "messages/contacts": message("contacts", [contact]),
        "messages/button": message("interactive", reply, context=quoted),
        "messages/list": message("interactive", chosen, context=quoted),
        "messages/reaction": message("reaction", {"message_id": quoted["id"], "emoji": "👍"}),
        "messages/unsupported": message("unsupported", {}, errors=[error]),
        "statuses": _status("sent", **charged),
        "statuses/delivered": _status("delivered", **charged),
        "statuses/read": _status("read"),
        "statuses/failed": _status("failed", errors=[lost]),
    }


_ODD_MESSAGES: Final = (
    ("system", "a notice that somebody changed their number", _one("system", {"body": "Ada changed her number", "wa_id": "16505559999", "type": "user_changed_number"})),
    ("unsupported", "a message of a type that the platform does not pass on", {"from": _FROM, "id": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQz", "timestamp": str(EPOCH), "type": "unsupported", "errors": [{"code": 131051, "title": "Message type unknown"}]}),
    ("type-unknown", "a message of a type to come", {"from": _FROM, "id": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQz", "timestamp": str(EPOCH), "type": "chaos", "chaos": {}}),
)  # fmt: skip


def _odd_entries() -> tuple[tuple[str, str, Any], ...]:
    """Entries that hold no person's message."""
    found = [(word, what, change(messages=[one])["entry"][0]) for word, what, one in _ODD_MESSAGES]
    account = {"id": _WABA, "changes": [{"value": {"event": "VERIFIED_ACCOUNT"}, "field": "account_update"}]}
    failed = _status("failed", errors=[{"code": 131047, "title": "Re-engagement message"}])["entry"][0]
    found += [
        ("field-other", "a change of another field", account),
        ("status", "a status without the sender's profile", failed),
        ("changes-none", "an entry without changes", {"id": _WABA, "changes": []}),
    ]
    return tuple(found)


@dataclass(frozen=True)
class WhatsApp(Webhook):
    """WhatsApp's Cloud API."""

    default_path: ClassVar[str] = "/whatsapp/webhook"
    signed_with: ClassVar[str] = "the app secret (App settings, Basic)"
    api_mock: ClassVar[str] = "meta"
    usual: ClassVar[str] = "messages"
    style: ClassVar[Style] = _meta.STYLE
    transports: ClassVar[Mapping[str, Transport]] = {
        "handshake": _meta.HANDSHAKE,
        "messages": _meta.DELIVERED,
        "statuses": _meta.DELIVERED,
    }
    places: ClassVar[Places] = Places(
        delivery=(f"{_MESSAGE}.id", f"{_VALUE}.statuses.0.id"),
        chat=(f"{_MESSAGE}.from", f"{_VALUE}.statuses.0.recipient_id"),
        user=(f"{_MESSAGE}.from", f"{_VALUE}.statuses.0.recipient_id"),
        tenant=("entry.0.id",),
        text=(f"{_MESSAGE}.text.body", f"{_MESSAGE}.image.caption", f"{_MESSAGE}.document.caption"),
        message=(f"{_MESSAGE}.id",),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "chat": ("messages", "statuses/delivered", "statuses/read", "messages/reply")
    }
    rights: ClassVar[tuple[Rights, ...]] = (
        Rights(
            "messages",
            {f"{_MESSAGE}.text.body": "{text}"},
            {
                f"{_MESSAGE}.from": "{admin}",
                f"{_VALUE}.contacts.0.wa_id": "{admin}",
                f"{_VALUE}.contacts.0.profile.name": "{name}",
            },
            claims=(
                Claim("name", "a message of somebody who is called as the admin is", {f"{_VALUE}.contacts.0.profile.name": "{name}"}),
                Claim("contact", "a message beside the admin's contact", {f"{_VALUE}.contacts.0.wa_id": "{admin}"}),
                Claim("quoted", "an answer to a message of the admin", {f"{_MESSAGE}.context": {"from": "{admin}", "id": "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5"}}),
            ),
        ),
    )  # fmt: skip
    pressing: ClassVar[tuple[Pressing, ...]] = (
        Pressing(
            "messages/button",
            (f"{_MESSAGE}.interactive.button_reply.id",),
            {f"{_MESSAGE}.from": "{admin}", f"{_VALUE}.contacts.0.wa_id": "{admin}"},
        ),
    )
    batching: ClassVar[tuple[Batching, ...]] = (
        Batching("entries", "messages", "entry", _odd_entries()),
        Batching("messages", "messages", f"{_VALUE}.messages", _ODD_MESSAGES, (f"{_VALUE}.contacts",)),
    )
    rules: ClassVar[DeliveryRules] = _meta.rules(7 * DAY_S)
    expects: ClassVar[Mapping[str, Expect]] = _meta.EXPECTED
    withheld: ClassVar[Mapping[str, str]] = {
        "handshake": "the verify token: --platform-option verify_token=…, or WHATSAPP_VERIFY_TOKEN"
    }

    verify_token: str = option("text", "the verify token, for the handshake (WHATSAPP_VERIFY_TOKEN)", "")

    def payloads(self) -> Mapping[str, Any]:
        """Messages of each type, statuses, and the handshake where its token is known."""
        asked = {"handshake": _meta.handshake(self.verify_token)} if self.verify_token else {}
        return _payloads() | asked

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """Messages or statuses."""
        del headers
        try:
            value = payload["entry"][0]["changes"][0]["value"]
        except (LookupError, TypeError):
            return ""
        return next((kind for kind in ("messages", "statuses") if isinstance(value, dict) and kind in value), "")

    def odd(self) -> tuple[Odd, ...]:
        """Handshakes, batches, accounts, members that are not there."""
        text = "messages"
        entry = _payloads()[text]["entry"][0]
        system = {"body": "Ada changed her number", "wa_id": "16505559999", "type": "user_changed_number"}
        poisoned = put(entry, ("changes", 0, "value", "messages"), [_one("system", system)])
        several = [_text(number) for number in range(20)]
        entries = [change(messages=[_text(number)])["entry"][0] for number in range(100)]
        return (
            *_meta.handshakes(self.verify_token, text),
            Odd("batch/entries", text, "a hundred entries", {"entry": entries}, **GENUINE),
            Odd("batch/messages", text, "twenty messages in one change", {f"{_VALUE}.messages": several}, **GENUINE),
            Odd("batch/poisoned-first", text, "a message of the system before one of a person", {"entry": [poisoned, entry]}, **GENUINE),
            Odd("batch/poisoned-last", text, "a message of the system behind one of a person", {"entry": [entry, poisoned]}, **GENUINE),
            Odd("batch/both", text, "messages and statuses together", {f"{_VALUE}.statuses": _status("read")["entry"][0]["changes"][0]["value"]["statuses"]}, **GENUINE),
            Odd("batch/none", text, "no entry at all", {"entry": []}),
            Odd("batch/changes-none", text, "an entry without changes", {"entry.0.changes": []}),
            Odd("shape/field-other", text, "a field that is not subscribed", {"entry.0.changes.0.field": "account_update", _VALUE: {"event": "VERIFIED_ACCOUNT"}}, **GENUINE),
            Odd("shape/type-unknown", text, "a message of a type to come", {f"{_MESSAGE}.type": "chaos", f"{_MESSAGE}.text": GONE}, **GENUINE),
            Odd("shape/contacts-absent", text, "a message without contacts", {f"{_VALUE}.contacts": GONE}),
            Odd("shape/contact-other", text, "a sender who is none of the contacts", {f"{_VALUE}.contacts.0.wa_id": "19999999999"}),
            Odd("shape/profile-absent", text, "a contact without profile", {f"{_VALUE}.contacts.0.profile": GONE}),
            Odd("shape/object-other", text, "an object of another product", {"object": "page"}),
            Odd("tenant/phone-other", text, "a message to another number", {f"{_VALUE}.metadata.phone_number_id": "999999999999999"}),
            Odd("tenant/account-other", text, "a message of another business", {"entry.0.id": "999999999999999"}),
            Odd("order/old", text, "a message of a week ago", {f"{_MESSAGE}.timestamp": str(EPOCH - 7 * 86_400)}),
            Odd("order/read-first", "statuses/read", "read before it is delivered", **GENUINE),
            Odd("identity/button-forged", "messages/button", "a button that was never shown", {f"{_MESSAGE}.interactive.button_reply.id": "admin"}),
            Odd("text/empty", text, "an empty text", {f"{_MESSAGE}.text.body": ""}),
            Odd("text/long", text, "a text of 4096 characters", {f"{_MESSAGE}.text.body": "x" * 4096}, **GENUINE),
            Odd("type/list", text, "a signed list", body=b"[]", threat=Threat.NETWORK),
            Odd("type/null", text, "a signed null", body=b"null", threat=Threat.NETWORK),
        )  # fmt: skip


__all__ = ["WhatsApp", "change", "message"]
