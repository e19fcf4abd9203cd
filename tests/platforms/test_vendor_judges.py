"""The vendors' own libraries judge each platform: what is genuine passes, and what must be refused is refused."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from chaosbot.core.case import Case, Reach
from chaosbot.core.dice import Dice
from chaosbot.core.platform import PLATFORMS, Endpoint, Platform
from chaosbot.core.shape import sample
from chaosbot.core.verdict import Threat
from tests.support.deliveries import HOST, Received, deliveries

Judge = Callable[[str, Received], bool]


def library(name: str) -> Any:
    """A vendor's library; the test is skipped where it is not installed."""
    return pytest.importorskip(name)


def slack(secret: str, got: Received) -> bool:
    signature = library("slack_sdk.signature")
    return bool(signature.SignatureVerifier(secret).is_valid_request(got.body, dict(got.headers)))


def github(secret: str, got: Received) -> bool:
    library("gidgethub")
    sansio = importlib.import_module("gidgethub.sansio")
    if got.headers.get("x-hub-signature-256") is None:
        return False
    try:
        sansio.Event.from_http(got.headers, got.body, secret=secret)
    except (
        KeyError,
        importlib.import_module("gidgethub").ValidationFailure,
        importlib.import_module("gidgethub").BadRequest,
    ):
        return False
    return True


def stripe(secret: str, got: Received) -> bool:
    verifier = library("stripe")
    try:
        verifier.WebhookSignature.verify_header(got.body.decode(), got.headers.get("stripe-signature", ""), secret, 300)
    except verifier.SignatureVerificationError:
        return False
    return True


def discord(secret: str, got: Received) -> bool:
    verify = library("discord_interactions").verify_key
    signature, stamp = got.headers.get("x-signature-ed25519"), got.headers.get("x-signature-timestamp")
    key = PLATFORMS.build("discord", {}).public_key(secret)
    return bool(signature and stamp and verify(got.body, signature, stamp, key))


def meta(secret: str, got: Received) -> bool:
    validate = library("pywa.utils").webhook_updates_validator
    return bool(validate(secret, got.body, got.headers.get("x-hub-signature-256", "")))


def twilio(secret: str, got: Received) -> bool:
    library("twilio")
    validator = importlib.import_module("twilio.request_validator").RequestValidator(secret)
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(got.body.decode("utf-8", "replace"), keep_blank_values=True):
        fields.setdefault(name, []).append(value)
    given = got.headers.get("x-twilio-signature")
    return given is not None and bool(validator.validate(f"http://{HOST}{got.target}", MultiDict(fields), given))


class MultiDict(dict[str, Any]):
    """A form as web frameworks hold it."""

    def getlist(self, name: str) -> list[str]:
        return list(self[name])


def standard(secret: str, got: Received) -> bool:
    svix = library("svix.webhooks")
    try:
        svix.Webhook(secret).verify(got.body, dict(got.headers))
    except svix.WebhookVerificationError:
        return False
    return True


JUDGES: dict[str, tuple[str, Judge]] = {
    "slack": ("8f742231b10e8888abcd99yyyzzz85a5", slack),
    "github": ("chaosbot-secret", github),
    "discord": (bytes(range(32)).hex(), discord),
    "whatsapp": ("chaosbot-secret", meta),
    "messenger": ("chaosbot-secret", meta),
    "twilio": ("12345", twilio),
    "standard_webhooks": ("whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz", standard),
    "stripe": ("whsec_" + "a1B2" * 8, stripe),
}
# What the libraries raise beside their own error where a header or body is garbled; a receiver answers 500, which is no acceptance.
RAISED = (ValueError, TypeError, UnicodeError, AttributeError)


def endpoint(name: str) -> Endpoint:
    return Endpoint(HOST, "/hook", JUDGES[name][0], started=int(time.time()))


def accepted(name: str, data: bytes) -> bool:
    secret, judge = JUDGES[name]
    try:
        return judge(secret, Received.of(data))
    except RAISED:
        return False


def signed(platform: Platform, update: Any) -> bool:
    """Whether updates of this kind carry a signature at all."""
    return platform.proof.lower().encode() in platform.encode(Endpoint(HOST, "/", "x" * 32), update).lower()


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.quick(3)
def test_the_vendors_library_accepts_every_genuine_delivery(name: str) -> None:
    platform, where = PLATFORMS.build(name, {}), endpoint(name)
    shape = platform.shape()
    assert shape is not None
    checked = 0
    for number in range(20):
        drawn = [platform.fresh(sample(shape, Dice(number).at(draw)), Dice(number)) for draw in range(30)]
        for update in (*platform.golden(Dice(number)).values(), *drawn):
            if signed(platform, update):
                assert accepted(name, platform.encode(where, update)), update
                checked += 1
    assert checked > 600


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", JUDGES)
def test_of_thousands_of_deliveries_the_genuine_ones_pass_and_the_forged_ones_do_not(name: str) -> None:
    genuine = forged = 0
    for data, word, tampered in deliveries(PLATFORMS.build(name, {}), endpoint(name)):
        assert accepted(name, data), data
        genuine += 1
        if tampered:
            forged += 1
            assert not accepted(name, tampered), (word, tampered)
    assert genuine >= 3_000
    assert forged >= 2_400


@pytest.mark.parametrize("name", JUDGES)
def test_no_case_contradicts_the_vendors_library(name: str) -> None:
    wrong = []
    for case in PLATFORMS.build(name, {}).catalogue(endpoint(name), Dice(1)):
        if "replayed" in case.name or not _about_signatures(case):
            continue
        passes = accepted(name, case.request)
        if case.threat is Threat.FORGER and case.expect.reach is Reach.NONE and passes:
            wrong.append(f"{case.name} must be refused, and is accepted")
        if case.expect.statuses == frozenset({2}) and not passes:
            wrong.append(f"{case.name} must be accepted, and is refused")
    assert wrong == []


@pytest.mark.parametrize("name", JUDGES)
def test_while_secrets_change_a_delivery_is_right_by_the_one_that_signed_it_alone(name: str) -> None:
    others = {"discord": ("a1" * 32, "b2" * 32), "standard_webhooks": ("whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8)}
    former, second = others.get(name, ("the secret of last year", "the secret of next month"))
    platform = PLATFORMS.build(name, {"former_secret": former, "second_secret": second})
    cases = {one.name: one for one in platform.catalogue(endpoint(name), Dice(1)) if one.check == "secrets_rotated"}
    assert set(cases) == {"signed/rotation-former", "signed/rotation-second"}
    for case, secret in ((cases["signed/rotation-former"], former), (cases["signed/rotation-second"], second)):
        assert not accepted(name, case.request)
        judge = JUDGES[name][1]
        got = Received.of(case.request)
        if name == "discord":
            signature, stamp = got.headers["x-signature-ed25519"], got.headers["x-signature-timestamp"]
            assert library("discord_interactions").verify_key(got.body, signature, stamp, platform.public_key(secret))
        else:
            assert judge(secret, got)


def _about_signatures(case: Case) -> bool:
    """Whether the case is decided by its signature: handshakes by GET have none."""
    return case.request.startswith(b"POST")


@pytest.mark.parametrize("name", JUDGES)
def test_a_delivery_that_is_tried_again_is_genuine_too(name: str) -> None:
    platform, now = PLATFORMS.build(name, {}), int(time.time())
    first = Endpoint(HOST, "/hook", JUDGES[name][0], started=now - 3600)
    request = platform.encode(first, platform.golden(Dice(3))[platform.canary()])
    if platform.delivery().retries:
        assert accepted(name, platform.again(request, first.secret, 2, "status", 3600))
