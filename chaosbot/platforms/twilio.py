"""Twilio: messages and calls as forms, signed with the account's auth token over the URL and the form's fields.

The URL is signed as it is configured at Twilio: where the target stands behind a proxy, say so by ``url=https://bot.example.com``.
Nothing between names and values is signed, nor any time: an old request stays right. Kinds are ``message``, ``status``, ``voice``; a
message or a call is answered with TwiML, within 15 s and once: failed requests go to the fallback URL instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from chaosbot.core.case import Expect
from chaosbot.core.event import ApiCalled
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.kit import GONE
from chaosbot.core.registry import option
from chaosbot.core.verdict import Threat
from chaosbot.platforms._generic import check_origin
from chaosbot.platforms._signatures import Style
from chaosbot.platforms._transport import FORM, Places, Transport
from chaosbot.platforms._trust import Claim, Rights
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook, answers

_DEADLINE_S: Final = 15.0
_XML: Final = ("text/xml", "application/xml")
_TWIML: Final = answers(2, holds="<Response", types=_XML, empty=True, within_s=_DEADLINE_S)
_ACCOUNT: Final = "AC5ef8732a3c49700934481addd5ce1659"


def message(text: str, /, **fields: str) -> dict[str, str]:
    """An SMS that came in."""
    return {
        "ToCountry": "US",
        "SmsMessageSid": "SM1f0e8ae6ade43cb3c0ce4525424e404f",
        "NumMedia": "0",
        "FromZip": "94111",
        "SmsSid": "SM1f0e8ae6ade43cb3c0ce4525424e404f",
        "FromState": "CA",
        "SmsStatus": "received",
        "Body": text,
        "FromCountry": "US",
        "To": "+15550002233",
        "NumSegments": "1",
        "MessageSid": "SM1f0e8ae6ade43cb3c0ce4525424e404f",
        "AccountSid": _ACCOUNT,
        "From": "+15550001122",
        "ApiVersion": "2010-04-01",
    } | fields


def call(**fields: str) -> dict[str, str]:
    """A call that comes in."""
    return {
        "CallSid": "CA2f0e8ae6ade43cb3c0ce4525424e404f",
        "AccountSid": _ACCOUNT,
        "From": "+15550001122",
        "To": "+15550002233",
        "CallStatus": "ringing",
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
        "CallerCountry": "US",
    } | fields


def _payloads() -> dict[str, Any]:
    sent = {"MessageSid": "SM1f0e8ae6ade43cb3c0ce4525424e404f", "AccountSid": _ACCOUNT, "From": "+15550002233"}
    status = sent | {"To": "+15550001122", "ApiVersion": "2010-04-01", "SmsSid": sent["MessageSid"]}
    media = {
        "NumMedia": "1",
        "MediaContentType0": "image/jpeg",
        "MediaUrl0": "https://api.twilio.com/2010-04-01/Media/ME1",
    }
    return {
        "message": message("What is the hour?"),
        "message/media": message("A picture", **media),
        "message/empty": message("", **media),
        "message/whatsapp": message(
            "Hello", From="whatsapp:+15550001122", To="whatsapp:+15550002233", ProfileName="Ada", WaId="15550001122"
        ),
        "status": status | {"MessageStatus": "delivered", "SmsStatus": "delivered"},
        "status/failed": status | {"MessageStatus": "undelivered", "SmsStatus": "undelivered", "ErrorCode": "30003"},
        "voice": call(),
        "voice/digits": call(CallStatus="in-progress", Digits="1234", FinishedOnKey="#"),
        "voice/speech": call(CallStatus="in-progress", SpeechResult="the weather please", Confidence="0.91"),
        "voice/completed": call(CallStatus="completed", CallDuration="15", Duration="1"),
    }


@dataclass(frozen=True)
class Twilio(Webhook):
    """Twilio's messages and calls."""

    default_path: ClassVar[str] = "/sms"
    signed_with: ClassVar[str] = "the account's Auth Token"
    api_mock: ClassVar[str] = "twilio"
    usual: ClassVar[str] = "message"
    otherwise: ClassVar[str] = "it knows itself by another URL: say which by --platform-option url=https://…"
    neutral_groups: ClassVar[frozenset[str] | None] = frozenset({"framing", "timing", "pages", "sequence"})
    style: ClassVar[Style] = Style(
        "twilio",
        "X-Twilio-Signature",
        "",
        "{url}{form}",
        encoding="base64",
        algorithm="sha1",
        constant=(
            ("User-Agent", "TwilioProxy/1.1"),
            ("I-Twilio-Idempotency-Token", "{id}"),
        ),
        lenient=frozenset({"signed/sha1"}),
    )
    transports: ClassVar[Mapping[str, Transport]] = dict.fromkeys(("message", "status", "voice"), Transport(FORM))
    places: ClassVar[Places] = Places(
        delivery=("MessageSid", "CallSid"),
        chat=("From",),
        user=("From",),
        tenant=("AccountSid",),
        text=("Body", "SpeechResult"),
        message=("MessageSid",),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {"texting": ("message", "message/media")}
    acting: ClassVar[tuple[str, ...]] = ("voice",)
    rights: ClassVar[tuple[Rights, ...]] = (
        Rights(
            "message",
            {"Body": "{text}"},
            {"From": "{admin}"},
            claims=(
                Claim("name", "a message of somebody who is called as the admin is", {"ProfileName": "{name}"}),
                Claim("sender-text", "a message whose sender is a word", {"From": "{name}"}),
                Claim("caller", "a message that names the admin as its caller", {"Caller": "{admin}", "ForwardedFrom": "{admin}"}),
                Claim("number-within", "a message from a number that holds the admin's", {"From": "{admin}0"}),
            ),
        ),
    )  # fmt: skip
    rules: ClassVar[DeliveryRules] = DeliveryRules(answer_wait_s=_DEADLINE_S, retries=False)
    expects: ClassVar[Mapping[str, Expect]] = {"message": _TWIML, "voice": _TWIML}

    url: str = option("text", "scheme and host as configured at Twilio; the request's own otherwise", "")

    def __post_init__(self) -> None:
        """Refuses a URL without scheme or with a path."""
        super().__post_init__()
        check_origin("url", self.url)

    @property
    def base_url(self) -> str:
        """As configured at Twilio."""
        return self.url

    def payloads(self) -> Mapping[str, Any]:
        """Messages, their statuses, and calls."""
        return _payloads()

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """By the fields."""
        del headers
        fields = payload if isinstance(payload, dict) else {}
        if "CallSid" in fields:
            return "voice"
        return "status" if "MessageStatus" in fields else "message" if "MessageSid" in fields else ""

    def effects(self, body: bytes) -> tuple[ApiCalled, ...]:
        """The verbs of a TwiML answer."""
        text = body.decode("utf-8", "replace")
        if "<Response" not in text:
            return ()
        said = text.partition("<Message")[2].partition(">")[2].partition("</Message>")[0]
        verbs = [
            verb
            for verb in ("Message", "Say", "Gather", "Dial", "Play", "Redirect", "Record", "Reject")
            if f"<{verb}" in text
        ]
        return tuple(ApiCalled(0.0, f"twiml.{verb}", text=said) for verb in verbs)

    def odd(self) -> tuple[Odd, ...]:
        """Fields that come, go and double, other accounts, markup for TwiML, and the URL in the signature."""
        sms = "message"
        forged: dict[str, Any] = {"threat": Threat.FORGER, "check": "forged_refused"}
        stranger = Expect(frozenset({400, 401, 403, 404, 422}))
        markup = answers(2, 4, lacks="<Dial>")
        return (
            Odd("fields/new", sms, "a field that came with a later version", {"ChaosField": "1"}, **GENUINE),
            Odd("fields/body-absent", sms, "a message without Body", {"Body": GONE}),
            Odd("fields/body-empty", "message/empty", "an empty message with a picture", **GENUINE),
            Odd("fields/media-count", sms, "a number of media that is no number", {"NumMedia": "many"}),
            Odd("fields/media-missing", sms, "more media than are there", {"NumMedia": "9"}),
            Odd("fields/twice", sms, "a field twice", {"Body": ["one", "two"]}),
            Odd("fields/many", sms, "1100 fields", {f"F{number}": "1" for number in range(1100)}),
            Odd("fields/none", sms, "an empty form", body=b"", threat=Threat.NETWORK),
            Odd("fields/sid-absent", sms, "a message without id", {"MessageSid": GONE, "SmsSid": GONE, "SmsMessageSid": GONE}),
            Odd("fields/from-absent", sms, "a message of nobody", {"From": GONE}),
            Odd("tenant/account-other", sms, "a message of another account", {"AccountSid": "AC" + "0" * 32}),
            Odd("identity/from-text", sms, "a sender that is a name", {"From": "ADMIN"}),
            Odd("text/markup", sms, "a text that is TwiML", {"Body": "</Message><Dial>+1900</Dial><Message>"}, expect=markup, check="answer_understood"),
            Odd("text/control", sms, "characters that XML cannot hold", {"Body": "a\x00b\x0bc\ufffe"}),
            Odd("text/emoji", sms, "emoji and scripts", {"Body": "héllo 👋 привет שלום"}, **GENUINE),
            Odd("text/long", sms, "a message of 1600 characters", {"Body": "x" * 1600}, **GENUINE),
            Odd("url/forwarded-host", sms, "another host in X-Forwarded-Host, with a wrong signature", sign="wrong", expect=stranger, headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}, **forged),
        )  # fmt: skip


__all__ = ["Twilio", "call", "message"]
