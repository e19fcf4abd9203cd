"""What updates travel as, and the vectors of each way of signing."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from chaosbot.core.kit import GONE, changed, there
from chaosbot.platforms._keys import base64_key, public_key, seed_key, text_key
from chaosbot.platforms._signatures import STYLES, Style
from chaosbot.platforms._transport import FORM, JSON, MULTIPART, PAYLOAD, Transport, nested

T = 1767225600
S = "chaosbot-secret"
B = '{"id":"evt_1","type":"ping","text":"héllo"}'.encode()
SEED = bytes(range(32)).hex()


@pytest.mark.parametrize("codec", [JSON, FORM, PAYLOAD, MULTIPART, nested("Message")], ids=lambda one: one.content_type)
def test_what_a_codec_writes_it_reads(codec: Any) -> None:
    payload = (
        {"text": "héllo & co=1;\r\nx", "empty": ""} if codec in (FORM, MULTIPART) else {"a": [1, {"b": None}], "é": "/"}
    )
    assert codec.read(codec.write(payload)) == payload


def test_json_inside_json_is_changed_where_it_means_something() -> None:
    codec = nested("Message", "text/plain")
    body = codec.write({"Type": "Notification", "Message": {"order": 5}})
    assert body == b'{"Type":"Notification","Message":"{\\"order\\":5}"}'
    assert codec.read(body)["Message"]["order"] == 5


@pytest.mark.parametrize("value", [None, 7, "x", [], [1, "a"], {"a": {"b": 1}, "c": [1, 2], "d": None}])
def test_a_form_says_any_value(value: Any) -> None:
    assert isinstance(FORM.write(value), bytes)
    assert isinstance(MULTIPART.write(value), bytes)


def test_a_payload_in_the_query_follows_the_path() -> None:
    handshake = Transport(method="GET", query=True)
    assert handshake.target("/hook", {"hub.mode": "subscribe"}) == "/hook?hub.mode=subscribe"
    assert handshake.target("/hook?a=1", {"b": "c d"}) == "/hook?a=1&b=c+d"


def test_members_are_changed_made_and_taken_out_by_dotted_paths() -> None:
    value = {"a": [{"b": 1}], "c": 2}
    assert changed(value, {"a.0.b": 5, "c": GONE, "d.e": True}) == {"a": [{"b": 5}], "d": {"e": True}}
    assert value == {"a": [{"b": 1}], "c": 2}
    assert there(value, "a.3.b") is None
    with pytest.raises(KeyError, match=r"c\.x"):
        changed(value, {"c.x": 1})


SQUARE = Style("square", "x-square-hmacsha256-signature", "", "{url}{body}", encoding="base64")
FORMS = Style("forms", "X-Twilio-Signature", "", "{url}{form}", encoding="base64", algorithm="sha1")
SMS = b"AccountSid=AC0001&From=%2B15550001&MessageSid=SM0001&To=%2B15550002&Body=h%C3%A9llo&NumMedia=0"
EDWARDS = Style("ed", "x", "", "{timestamp}{body}", algorithm="ed25519", key_of=seed_key)
ASYMMETRIC = Style(
    "v1a", "x", "v1a,", "{id}.{timestamp}.{body}", algorithm="ed25519", encoding="base64", key_of=seed_key
)
BARE = Style("bare", "x", "", "{body}", encoding="base64")
HEX = Style("hex", "x", "", "{body}")
TIMED = Style("timed", "x", "", "{timestamp}{body}")
PADDLE = Style("paddle", "Paddle-Signature", "h1=", "{timestamp}:{body}")
CURVE = Style("curve", "x", "", "{timestamp}{body}", encoding="base64", algorithm="ecdsa", key_of=seed_key)
MAILS = b'[{"email":"a@example.com","timestamp":1767225600,"event":"delivered","sg_event_id":"e1","sg_message_id":"m1"}]\r\n'
SHA256 = Style("forms", "x", "", "{url}{form}", encoding="base64")


@pytest.mark.parametrize(
    ("style", "secret", "body", "url", "wanted"),
    [
        (
            STYLES["standard"],
            "whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz",
            B,
            "",
            "3mQsjeQjw7FNepPNUuBHpwCnbduHgkp7Vv1pNsOa0KU=",
        ),
        (STYLES["github"], S, B, "", "571854fb8eb1e90f47e20da76a9b16a361773c2130740db441bf0c3f641a81bd"),
        (STYLES["stripe"], "whsec_chaosbot", B, "", "097636d9a511eaeb837fd72f464e72a7a960e501264ff02cf478a231e2696997"),
        (STYLES["slack"], S, B, "", "991ad3fc563d7869c6668b496b0638853331941a554a89ab455facdb128101b6"),
        (
            STYLES["slack"],
            S,
            b"token=x&team_id=T0001&user_id=U0001&command=%2Fweather&text=94070&response_url=http%3A%2F%2F127.0.0.1%2Fr",
            "",
            "da2e0370a6787a87b845cadd13268ae0b03a2e99c733a562216450e2585269d4",
        ),
        (
            EDWARDS,
            SEED,
            b'{"type":1}',
            "",
            (
                "25aa4784bff62901fdfb578701f99af3dd1d7ebd0a0de05316b3453d30c2d592"
                "ce160c002a6c878a7fae2e0dd551179e7f002c0a600c04899e3c5fd7e652d00a"
            ),
        ),
        (
            EDWARDS,
            SEED,
            B,
            "",
            (
                "7d01b2ef72a9e4e1a65e054f00971bf44bf05976128e3b0f2b3566bfd09d3ae6"
                "c1314a4bc31ba9a6d9306c5927863477ec4be4cc750724fd095e57848001180a"
            ),
        ),
        (
            ASYMMETRIC,
            SEED,
            B,
            "",
            "VxCiAytDe+0+1K6FtPW83UwsZqxvJrRl+BRi1kBtV9SSh5AGGRdFuRgJf0JpJRJrB/jmmyPIiQrnaHnyHAb1DA==",
        ),
        (BARE, S, B, "", "VxhU+46x6Q9H4g2napsWo2F3PCEwdA20Qb8MP2Qagb0="),
        (BARE, S, b'{"destination":"U1","events":[]}', "", "JfB2BEXaK5qGV6/SD14fR6nPbhyLjJON4d8J7905IwA="),
        (
            FORMS,
            "12345",
            b"CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310&To=%2B18005551212",
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            "GvWf1cFY/Q7PnoempGyD5oXAezc=",
        ),
        (FORMS, S, SMS, "http://127.0.0.1:8080/sms", "Xpnkh7Rym+ZfVZUqzCDn6J5c8Fw="),
        (SHA256, S, SMS, "http://127.0.0.1:8080/sms", "O0xEuSGsUPgGoMS+uElFwqX3+SI8vLxexPNfAXfWMqk="),
        (
            FORMS,
            S,
            B,
            "http://127.0.0.1:8080/sms?bodySHA256=58f1b18bcb0e9ad399d0c9dfeb7df1a6ff97c60c47bcfef2d3fcf0a6f5008ce5",
            "J7JWGOMiEejtDE4ik4xs2UqSiQo=",
        ),
        (SQUARE, S, B, "https://example.com/webhook", "itEgQTTzNDcsNpnW0hePs7qXu6JwYUyyXfug8THo8ic="),
        (PADDLE, S, B, "", "6b2e251f543ad77c7c389c749de261379e88a872d14c7f0c280797e33c4f0dd5"),
        (
            TIMED,
            S,
            b"a" * 50,
            "",
            "cbaa9b768d246cf3fdb23cc931a89bea8260918f3d0431c13fc1dbb14fdc9a51",
        ),  # Mailgun's token
        (
            HEX,
            S,
            b"qgg8vlvZRS6UYooatFL8Aw",
            "",
            "a71b62d4139cb87cd6a4322cd98379b6752d7dbbfd7412604359a6dfe4266f0b",
        ),  # Zoom's CRC
        (BARE, S, b"challenge", "", "cOE+wOyYqetWUBnBO7CyXyFVmnW+FYmKpatmDhz7zo4="),  # X's CRC
        (
            HEX,
            S,
            b"TOKEN",
            "",
            "3f72440c06383ea1c044c1d753d5fbf8bd4f808d20d9720af2aa7b4666407609",
        ),  # Meta's proof of the app secret
        (
            CURVE,
            "chaosbot",
            MAILS,
            "",
            "MEYCIQD1L+oh1JaUEwNNJTTACQV8XlvOvwXt7uzTGC9U89oWswIhAJNAOiz+JlsRgaN9UxqDrzR0I79Ubw1ixwNMtOe9joU1",
        ),
    ],
)
def test_known_vectors(style: Style, secret: str, body: bytes, url: str, wanted: str) -> None:
    made = style.signed(secret, T, body, url)
    assert style.signature(made if not style.signs_id else type(made)(made.key, "msg_1", str(T), body, url)) == wanted


def test_members_of_a_body_are_signed_one_by_one() -> None:
    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    style = Style("sns", "x", "", "".join(f"{name}\n{{.{name}}}\n" for name in names))
    told = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
        "Subject": "S",
        "Message": "héllo",
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "Other": 1,
    }
    text = style.content(style.signed(S, T, json.dumps(told).encode()))
    assert hashlib.sha256(text).hexdigest() == "eb26cde78f12c228d090bbe595f376485f9dca5d5ba16e45503389f2c318cb2f"


def test_the_legacy_signature_of_github() -> None:
    made = STYLES["github"].signed(S, T, B)
    assert STYLES["github"].signature(made, "sha1") == "ced6468141ff5a424b9847d327a09ea4970480f4"


def test_keys_of_secrets() -> None:
    assert public_key(SEED).hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    der = base64.b64encode(public_key("chaosbot", "ecdsa")).decode()
    assert der.startswith("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEm0693fbslQuVs3Y4h83yEY8h9l9SbxkkmfTz6L3FAyME/")
    assert der.endswith("vJNPzCEk/iBiENOHeZAGPN8ANduYUqeHXlnCLqL3w==")
    assert base64_key("whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz") == b"chaosbot-secret-24-bytes"
    assert text_key("whsec_abcd") == b"whsec_abcd"
    assert len(seed_key("any words")) == 32
