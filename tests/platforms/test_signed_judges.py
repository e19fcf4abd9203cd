"""The vendors' own libraries judge the signed platforms: what must pass passes, what must be refused is refused."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

import pytest
import slack_sdk.signature
import standardwebhooks
import stripe
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gidgethub import ValidationFailure
from gidgethub import sansio as github

from chaosbot.core.case import Case, Reach
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.kit import RawRequest
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue import cases

# The forms in which the vendors hand out secrets.
SECRETS = {
    "standard": "whsec_" + base64.b64encode(b"chaosbot-secret-24-bytes").decode(),
    "github": "chaosbot-secret",
    "stripe": "whsec_" + "a1B2" * 8,
    "slack": "8f742231b10e8888abcd99yyyzzz85a5",
}
# What the libraries raise beside their own error where a header or body is garbled; a receiver answers 500, which is no acceptance.
RAISED = (ValueError, TypeError, UnicodeError, AttributeError)


def _standard(secret: str, headers: dict[str, str], body: bytes) -> None:
    standardwebhooks.Webhook(secret).verify(body.decode(), headers)


def _github(secret: str, headers: dict[str, str], body: bytes) -> None:
    event = github.Event.from_http(headers, body, secret=secret)
    assert event.event in ("issue_comment", "ping")


def _stripe(secret: str, headers: dict[str, str], body: bytes) -> None:
    stripe.WebhookSignature.verify_header(body.decode(), headers.get("stripe-signature", ""), secret, 300)


def _slack(secret: str, headers: dict[str, str], body: bytes) -> None:
    if not slack_sdk.signature.SignatureVerifier(secret).is_valid_request(body, headers):
        raise standardwebhooks.WebhookVerificationError("refused")


JUDGES: dict[str, Callable[[str, dict[str, str], bytes], None]] = {
    "standard": _standard,
    "github": _github,
    "stripe": _stripe,
    "slack": _slack,
}
REFUSALS = (standardwebhooks.WebhookVerificationError, ValidationFailure, stripe.SignatureVerificationError)


def parts(case: Case) -> tuple[dict[str, str], bytes]:
    request = RawRequest.of(case.request)
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers, request.body


def accepts(style: str, case: Case) -> bool:
    headers, body = parts(case)
    try:
        JUDGES[style](SECRETS[style], headers, body)
    except (*REFUSALS, *RAISED):
        return False
    return True


def built(style: str) -> tuple[Case, ...]:
    endpoint = Endpoint("127.0.0.1", "/hook", SECRETS[style], started=int(time.time()))
    return cases(PLATFORMS.build("standard_webhooks", {"style": style}), endpoint, Dice(1))


@pytest.mark.parametrize("style", JUDGES)
@pytest.mark.quick(-1)
def test_the_vendors_library_accepts_every_genuine_delivery(style: str) -> None:
    platform = PLATFORMS.build("standard_webhooks", {"style": style})
    endpoint = Endpoint("127.0.0.1", "/hook", SECRETS[style], started=int(time.time()))
    for number in range(200):
        for name, update in platform.golden(Dice(number)).items():
            request = RawRequest.of(platform.encode(endpoint, update))
            headers = {key.decode().lower(): value.decode() for key, value in request.headers}
            JUDGES[style](SECRETS[style], headers, request.body)
            if style == "github":
                assert headers["x-github-event"] == name


@pytest.mark.parametrize("style", JUDGES)
def test_no_case_of_the_catalogue_contradicts_the_vendors_library(style: str) -> None:
    wrong = []
    for case in built(style):
        if case.group != "signed" or case.expect is None:
            continue
        if case.expect.reach is Reach.NONE and case.threat is Threat.FORGER and accepts(style, case):
            wrong.append(f"{case.name} must be refused, and is accepted")
        if case.expect.statuses == frozenset({2}) and not accepts(style, case):
            wrong.append(f"{case.name} must be accepted, and is refused")
    # Replayed deliveries carry right signatures; that they take effect once is the receiver's own business.
    assert [text for text in wrong if "replayed" not in text] == []


@pytest.mark.parametrize("secret", [SECRETS["standard"], SECRETS["standard"].removeprefix("whsec_")])
def test_a_secret_of_standard_webhooks_works_with_and_without_its_prefix(secret: str) -> None:
    platform = PLATFORMS.build("standard_webhooks", {})
    endpoint = Endpoint("127.0.0.1", "/hook", secret, started=int(time.time()))
    request = RawRequest.of(platform.encode(endpoint, {"type": "ping"}))
    headers = {key.decode().lower(): value.decode() for key, value in request.headers}
    standardwebhooks.Webhook(secret).verify(request.body.decode(), headers)


def test_a_scheme_of_ones_own_is_said_by_options() -> None:
    options = {
        "style": "hmac",
        "header": "Paddle-Signature",
        "prefix": "h1=",
        "signed": "{timestamp}:{body}",
        "time_member": "ts=",
        "separator": ";",
    }
    platform = PLATFORMS.build("standard_webhooks", options)
    body = '{"id":"evt_1","type":"ping","text":"héllo"}'.encode()
    endpoint = Endpoint("127.0.0.1", "/hook", "chaosbot-secret", started=1767225600)
    request = RawRequest.of(platform.encode(endpoint, body))
    digest = hmac.new(b"chaosbot-secret", b"1767225600:" + body, hashlib.sha256).hexdigest()
    assert request.header("Paddle-Signature") == f"ts=1767225600;h1={digest}".encode()


def test_a_scheme_of_ones_own_may_sign_the_url_and_have_a_key_pair() -> None:
    body = '{"id":"evt_1","type":"ping","text":"héllo"}'.encode()
    square = {"style": "hmac", "header": "X-Square", "signed": "{url}{body}", "encoding": "base64"}
    platform = PLATFORMS.build("standard_webhooks", square | {"url": "https://example.com"})
    endpoint = Endpoint("127.0.0.1", "/webhook", "chaosbot-secret", started=1767225600)
    assert (
        RawRequest.of(platform.encode(endpoint, body)).header("X-Square")
        == b"itEgQTTzNDcsNpnW0hePs7qXu6JwYUyyXfug8THo8ic="
    )
    mails = {"style": "hmac", "header": "X-Signature", "signed": "{timestamp}{body}", "time_header": "X-Timestamp"}
    platform = PLATFORMS.build("standard_webhooks", mails | {"algorithm": "ecdsa", "encoding": "base64"})
    request = platform.encode(endpoint, body)
    key = serialization.load_der_public_key(base64.b64decode(platform.public_key(endpoint.secret)))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for one in (request, platform.resigned(endpoint.secret, request, request, 60)):
        got = RawRequest.of(one or b"")
        signature = base64.b64decode(got.header("X-Signature") or b"")
        key.verify(signature, (got.header("X-Timestamp") or b"") + got.body, ec.ECDSA(hashes.SHA256()))
    assert got.header("X-Timestamp") == b"1767225660"


@pytest.mark.parametrize(
    ("tolerance", "told"), [("5s", "signed 2 s ago"), ("5m", "signed 60 s ago"), ("0s", "signed 60 s ago")]
)
def test_how_old_a_signature_may_be_is_said_by_an_option(tolerance: str, told: str) -> None:
    options = {"style": "hmac", "signed": "{timestamp}.{body}", "time_header": "X-Time", "tolerance": tolerance}
    platform = PLATFORMS.build("standard_webhooks", options)
    made = {case.name: case for case in platform.catalogue(Endpoint("h", "/", "chaosbot-secret", started=9), Dice(1))}
    assert made["signed/time-recent"].summary == told
    assert ("signed/time-stale" in made) == (tolerance != "0s")


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"style": "hmac", "signed": "{timestamp}"}, "signed must contain {body}"),
        ({"style": "hmac", "signed": "{id}.{body}"}, "id_header"),
        ({"style": "hmac", "algorithm": "md5"}, "algorithm"),
        ({"style": "hmac", "tolerance": "2d"}, "tolerance"),
        ({"style": "hmac", "url": "example.com"}, "url"),
    ],
)
def test_a_scheme_that_cannot_be_is_refused_with_the_rule(options: dict[str, str], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        PLATFORMS.build("standard_webhooks", options)
