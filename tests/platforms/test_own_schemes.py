"""Ways of signing that options put together: tokens, key pairs, signatures inside of the body; other people's libraries verify them."""

import base64
import hashlib
import hmac
import json
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import google.auth.transport.requests
import google.oauth2.id_token
import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from typer.testing import CliRunner

from chaosbot.cli import app
from chaosbot.core.case import Case, Reach
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.kit import RawRequest, changed
from chaosbot.core.mock import mock_of
from chaosbot.core.platform import PLATFORMS, Endpoint, Platform
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue import cases
from chaosbot.mocks.server import MockListener, MockServer

SECRET = "a secret from which key pairs follow"
NEXT, LAST = "the secret of next month", "the secret of last year"
NOW = 1_767_225_600
HERE = Endpoint("127.0.0.1:8000", "/hook", SECRET, started=NOW)
BODY = {"type": "order.paid", "id": "ord_12345678", "text": "Grüße: 3 €", "at": "2026-01-01T10:00:00Z"}


def own(**options: Any) -> Platform:
    return PLATFORMS.build("standard_webhooks", options)


def signed_cases(platform: Platform, endpoint: Endpoint = HERE) -> dict[str, Case]:
    return {case.name: case for case in cases(platform, endpoint, Dice(1)) if case.group == "signed"}


def held_to(platform: Platform, accepts: Callable[[RawRequest], bool], endpoint: Endpoint = HERE) -> list[str]:
    """The cases of which a verifier thinks otherwise than is expected."""
    wrong = []
    for name, case in signed_cases(platform, endpoint).items():
        passed = accepts(RawRequest.of(case.request))
        forged = case.expect.reach is Reach.NONE and case.threat is Threat.FORGER
        genuine = case.expect.statuses == frozenset({2}) and "replayed" not in name
        if (forged and passed) or (genuine and not passed):
            wrong.append(f"{name}: {'accepted' if passed else 'refused'}")
    return wrong


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK_SECRET", SECRET)
        patch.setenv("CHAOSBOT_SECOND_SECRET", NEXT)
        server = MockServer(
            [MockListener(mock_of("mock:keys;secret_env=HOOK_SECRET"))], lambda _: None, time.monotonic()
        )
        server.start()
        yield server.urls["keys"]
        server.stop()


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────────────────


CLAIMS = {"iss": "https://issuer.example", "aud": "{url}", "jti": "{id}", "payload_hash": "{body_sha256}"}


def bearer(algorithm: str, key_for: Callable[[str], Any]) -> Callable[[RawRequest], bool]:
    """What a careful receiver does with PyJWT."""

    def accepts(request: RawRequest) -> bool:
        head = (request.header("Authorization") or b"").decode("latin-1")
        try:
            token = head.removeprefix("Bearer ")
            wanted = {"issuer": CLAIMS["iss"], "audience": "http://127.0.0.1:8000/hook"}
            claims = jwt.decode(
                token, key_for(token), [algorithm], **wanted, options={"require": ["exp", "iss", "aud"]}
            )
        except jwt.PyJWTError:
            return False
        return hmac.compare_digest(claims["payload_hash"], hashlib.sha256(request.body).hexdigest())

    return accepts


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [pytest.param("rsa", "RS256", marks=pytest.mark.slow), ("ecdsa", "ES256"), ("ed25519", "EdDSA")],
)
def test_a_receiver_that_fetches_its_keys_believes_tokens_and_nothing_else(
    issuer: str, algorithm: str, name: str
) -> None:
    keys = jwt.PyJWKClient(f"{issuer}/jwks.json", cache_keys=True)
    now = Endpoint("127.0.0.1:8000", "/hook", SECRET, started=int(time.time()))
    accepts = bearer(name, lambda token: keys.get_signing_key_from_jwt(token).key)
    platform = own(style="jwt", algorithm=algorithm, claims=CLAIMS, sample=BODY, former_secret=LAST, second_secret=NEXT)
    assert accepts(RawRequest.of(platform.encode(now, BODY)))
    assert held_to(platform, accepts, now) == []
    named = signed_cases(platform, now)
    assert {"signed/token-none", "signed/token-stranger", "signed/token-embedded", "signed/token-confused"} <= set(
        named
    )
    assert {
        "signed/token-expired",
        "signed/token-aud",
        "signed/token-kid-path",
        "signed/body-member",
        "signed/rotation-second",
    } <= set(named)


def test_a_token_by_a_shared_secret_is_as_well(issuer: str) -> None:
    del issuer
    now = Endpoint("127.0.0.1:8000", "/hook", SECRET, started=int(time.time()))
    platform = own(style="jwt", claims=CLAIMS, sample=BODY)
    assert held_to(platform, bearer("HS256", lambda _: SECRET), now) == []
    assert platform.public_key(SECRET) == ""


def test_google_s_library_believes_a_push_of_pub_sub(issuer: str) -> None:
    """Pub/Sub: the message is base64 inside of JSON, and the token says whose push it is."""
    message = {
        "data": base64.b64encode(b'{"order":1}').decode(),
        "messageId": "13610984283",
        "publishTime": "2026-01-01T00:00:00Z",
    }
    push = {"message": message, "subscription": "projects/acme/subscriptions/orders"}
    claims = {
        "iss": "https://accounts.google.com",
        "aud": "{url}",
        "email": "push@acme.iam.example",
        "email_verified": True,
    }
    platform = own(style="jwt", algorithm="rsa", claims=claims, sample=push)
    now = Endpoint("127.0.0.1:8000", "/push", SECRET, started=int(time.time()))
    request = RawRequest.of(platform.encode(now, push))
    token = (request.header("Authorization") or b"").removeprefix(b"Bearer ")
    transport = google.auth.transport.requests.Request()
    told = google.oauth2.id_token.verify_token(
        token, transport, "http://127.0.0.1:8000/push", certs_url=f"{issuer}/jwks.json"
    )
    assert told["email"] == "push@acme.iam.example"
    assert platform.read(request.data).update_id is None  # its ids stand inside of the message
    forged = RawRequest.of(signed_cases(platform, now)["signed/token-stranger"].request)
    with pytest.raises(jwt.InvalidSignatureError):
        google.oauth2.id_token.verify_token(
            (forged.header("Authorization") or b"").removeprefix(b"Bearer "), transport, certs_url=f"{issuer}/jwks.json"
        )


def test_a_token_is_renewed_for_another_body_and_a_later_time_and_a_wrong_one_stays_wrong() -> None:
    platform = own(style="jwt", algorithm="ecdsa", claims=CLAIMS, sample=BODY)
    before = platform.encode(HERE, BODY)
    after = RawRequest.of(before).with_body(b'{"other":1}').data
    renewed = RawRequest.of(platform.resigned(SECRET, before, after, 100) or b"")
    assert renewed.body == b'{"other":1}'
    key = jwt.PyJWK(json.loads(platform.public_key(SECRET))["keys"][1]).key
    token = (renewed.header("Authorization") or b"").removeprefix(b"Bearer ")
    claims = jwt.decode(token, key, ["ES256"], options={"verify_exp": False, "verify_aud": False, "verify_iat": False})
    assert claims["iat"] == NOW + 100
    assert claims["exp"] == NOW + 400
    assert claims["payload_hash"] == hashlib.sha256(renewed.body).hexdigest()
    expired = signed_cases(platform)["signed/token-expired"].request
    later = RawRequest.of(platform.resigned(SECRET, expired, expired, 100) or b"")
    said = jwt.decode((later.header("Authorization") or b"")[7:], options={"verify_signature": False})
    assert said["exp"] == NOW - 86_400 + 100  # as long ago as before, when it is sent later
    stranger = signed_cases(platform)["signed/token-stranger"].request
    assert platform.resigned(SECRET, stranger, stranger, 100) == stranger
    assert platform.resigned(SECRET, stranger, RawRequest.of(stranger).with_body(b"{}").data) is None


def test_keys_are_served_as_documents_of_every_kind(issuer: str) -> None:
    def got(path: str) -> bytes:
        with urllib.request.urlopen(issuer + path) as answer:
            return answer.read()

    about = json.loads(got("/.well-known/openid-configuration"))
    assert about["jwks_uri"] == f"{issuer}/jwks.json"
    assert [key["alg"] for key in json.loads(got("/jwks.json"))["keys"]] == ["EdDSA", "ES256", "RS256"] * 2
    public = serialization.load_pem_public_key(got("/rsa.pem"))
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 2048
    assert x509.load_pem_x509_certificate(got("/certificate.pem")).public_key() == public


def test_a_private_key_in_pem_is_a_secret(monkeypatch) -> None:
    private = rsa.generate_private_key(65537, 2048)
    forms = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret = private.private_bytes(*forms).decode()
    platform = own(style="jwt", algorithm="rsa", claims={"iss": "acme"})
    request = RawRequest.of(platform.encode(Endpoint("h", "/", secret, started=int(time.time())), BODY))
    token = (request.header("Authorization") or b"").removeprefix(b"Bearer ")
    assert jwt.decode(token, private.public_key(), ["RS256"])["iss"] == "acme"
    assert platform.mistaken(secret) == ""
    assert "another kind" in own(style="jwt", algorithm="ecdsa").mistaken(secret)
    assert "no private key" in platform.mistaken("-----BEGIN RSA PRIVATE KEY-----\nno\n-----END RSA PRIVATE KEY-----")
    assert "PEM" in own(style="hmac").mistaken(secret)
    monkeypatch.setenv("HOOK_SECRET", secret)
    mock_of("mock:keys;secret_env=HOOK_SECRET")
    for text in ("mock:keys", "mock:keys;secret_env=CHAOSBOT_NOT_SET"):
        with pytest.raises(ConfigError, match="secret_env"):
            mock_of(text)


# ── signatures inside of the body ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_sns_is_a_few_options(issuer: str) -> None:
    """SNS: RSA over names and values in lines, in the body, with a certificate behind a URL that the body names."""
    fields = "Message,MessageId,Subject,SubscribeURL,Timestamp,Token,TopicArn,Type"
    notification = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:t",
        "Subject": "S",
        "Message": "héllo",
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "SignatureVersion": "2",
        "SigningCertURL": f"{issuer}/certificate.pem",
    }
    platform = own(
        style="hmac", algorithm="rsa", encoding="base64", member="Signature", time_place="Timestamp",
        signed="{lines:" + fields + "}", tolerance="1h", content_type="text/plain; charset=UTF-8", sample=notification,
    )  # fmt: skip

    def verify(request: RawRequest) -> bytes:
        told = json.loads(request.body)
        with urllib.request.urlopen(told["SigningCertURL"]) as answer:
            key = x509.load_pem_x509_certificate(answer.read()).public_key()
        canonical = "".join(f"{name}\n{told[name]}\n" for name in fields.split(",") if name in told).encode()
        assert isinstance(key, rsa.RSAPublicKey)
        key.verify(base64.b64decode(told["Signature"]), canonical, padding.PKCS1v15(), hashes.SHA256())
        return canonical

    request = RawRequest.of(platform.encode(HERE, notification))
    # What must be signed was checked with AWS's own validator; the time is the same as in the vector.
    digest = "eb26cde78f12c228d090bbe595f376485f9dca5d5ba16e45503389f2c318cb2f"
    assert hashlib.sha256(verify(request)).hexdigest() == digest
    assert request.header("Content-Type") == b"text/plain; charset=UTF-8"
    fresh = platform.fresh(notification, Dice(3))
    assert fresh["MessageId"] != notification["MessageId"]
    assert platform.read(platform.encode(HERE, fresh)).update_id == fresh["MessageId"]

    def accepts(got: RawRequest) -> bool:
        try:
            verify(got)
            sent = json.loads(got.body)["Timestamp"]
        except (InvalidSignature, ValueError, KeyError, TypeError):
            return False
        return sent[:10] == "2026-01-01"

    assert held_to(platform, accepts) == []
    assert {"signed/time-old", "signed/flipped", "signed/missing", "signed/foreign"} <= set(signed_cases(platform))


def test_mailgun_is_a_few_options() -> None:
    """Mailgun: time, token and an HMAC of both stand in a member of the body; the event itself is not signed."""
    event = {
        "signature": {"timestamp": str(NOW), "token": "a" * 50, "signature": ""},
        "event-data": {"event": "opened", "id": "Ase7i2zsRYeDXztHGENqRA"},
    }
    platform = own(
        style="hmac", member="signature.signature", time_place="signature.timestamp",
        signed="{.signature.timestamp}{.signature.token}", tolerance="15m", sample=event,
    )  # fmt: skip
    at = Endpoint("h", "/", "chaosbot-secret", started=NOW)
    told = json.loads(RawRequest.of(platform.encode(at, event)).body)["signature"]
    assert told["signature"] == "cbaa9b768d246cf3fdb23cc931a89bea8260918f3d0431c13fc1dbb14fdc9a51"
    later = json.loads(
        RawRequest.of(
            platform.resigned("chaosbot-secret", platform.encode(at, event), platform.encode(at, event), 60) or b""
        ).body
    )
    assert later["signature"]["timestamp"] == str(NOW + 60)
    key = b"chaosbot-secret"
    assert later["signature"]["signature"] == hmac.new(key, f"{NOW + 60}{'a' * 50}".encode(), "sha256").hexdigest()


def test_a_changed_body_is_sealed_again_and_a_wrong_signature_stays_wrong() -> None:
    platform = own(style="hmac", member="sign", signed="{lines:id,text}", sample=BODY)
    before = platform.encode(HERE, BODY)
    told = json.loads(RawRequest.of(before).body)
    after = RawRequest.of(before).with_body(json.dumps(told | {"text": "another"}).encode()).data
    renewed = json.loads(RawRequest.of(platform.resigned(SECRET, before, after) or b"").body)
    content = f"id\n{BODY['id']}\ntext\nanother\n".encode()
    assert renewed["sign"] == hmac.new(SECRET.encode(), content, "sha256").hexdigest()
    wrong = RawRequest.of(before).with_body(json.dumps(told | {"sign": "0" * 64}).encode()).data
    after = RawRequest.of(before).with_body(json.dumps(told | {"sign": "0" * 64, "text": "x"}).encode()).data
    assert json.loads(RawRequest.of(platform.resigned(SECRET, wrong, after) or b"").body)["sign"] == "0" * 64
    assert RawRequest.of(platform.encode(HERE, b"[1]")).body == b"[1]"
    assert platform.encode(HERE, changed(BODY, {"text": 5})) != before


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"style": "jwt", "claims": []}, "JSON object"),
        ({"style": "jwt", "algorithm": "sha1"}, "algorithm of a JWT"),
        ({"style": "jwt", "algorithm": "rsa-sha1"}, "algorithm of a JWT"),
        ({"style": "jwt", "member": "Signature"}, "header"),
        ({"style": "hmac", "member": "Signature"}, "must name members"),
        ({"style": "hmac", "member": "sign", "signed": "{.id}", "separator": ","}, "separator"),
    ],
)
def test_a_scheme_that_cannot_be_is_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        own(**options)


# ── a campaign ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Pushed(BaseHTTPRequestHandler):
    """A receiver of pushes: the token first, then the body; `Pushed.mistake` is what it believes a token, or ``aud``: it looks at none."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    keys: ClassVar[jwt.PyJWKClient]
    mistake: ClassVar[str] = ""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit() and len(length) < 7):
            return self.answer(411)
        body = self.rfile.read(int(length))
        if len(body) < int(length) or not self.believed():
            return self.answer(400 if len(body) < int(length) else 401)
        try:
            return self.answer(200 if isinstance(json.loads(body.decode()), dict) else 422)
        except (ValueError, RecursionError):
            return self.answer(400)

    def believed(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        careless = self.mistake == "aud"
        about = {} if careless else {"audience": f"http://{self.headers['Host']}/push"}
        try:
            options = {"verify_aud": not careless, "require": ["exp"]}
            jwt.decode(token, self.key_for(token), ["RS256"], **about, options=options)
        except (jwt.PyJWTError, OSError):
            return False
        return scheme == "Bearer"

    def key_for(self, token: str) -> Any:
        """The issuer's key of this id, or the one that the token wants."""
        told = jwt.decode_complete(token, options={"verify_signature": False})
        head, wish = told["header"], told["header"].get(self.mistake) or told["payload"].get(self.mistake)
        match self.mistake:
            case "jku" if wish:
                return jwt.PyJWKClient(wish).get_signing_key_from_jwt(token).key
            case "iss" if wish.startswith("http"):
                return jwt.PyJWKClient(f"{wish}/.well-known/jwks.json").get_signing_key_from_jwt(token).key
            case "x5u" if wish:
                with urllib.request.urlopen(wish, timeout=2) as answer:
                    return x509.load_pem_x509_certificate(answer.read()).public_key()
            case "x5c" if wish:
                return x509.load_der_x509_certificate(base64.b64decode(wish[0])).public_key()
            case "jwk" if wish:
                return jwt.PyJWK(wish).key
            case "kid":
                with closing(sqlite3.connect(":memory:")) as rows:
                    rows.execute("CREATE TABLE keys (id TEXT, pem TEXT)")
                    known = ((key.key_id, pem_of(key.key)) for key in self.keys.get_signing_keys())
                    rows.executemany("INSERT INTO keys VALUES (?, ?)", known)
                    found = rows.execute(f"SELECT pem FROM keys WHERE id = '{head.get('kid')}'").fetchone()
                    return found[0] if found else b""
        return self.keys.get_signing_key_from_jwt(token).key

    def answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def pem_of(key: Any) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        pytest.param("", {}, marks=pytest.mark.slow),
        pytest.param("aud", {"forged_refused": "target"}, marks=pytest.mark.slow),
        pytest.param("jku", {"forged_refused": "jku", "urls_not_fetched": "jku"}, marks=pytest.mark.slow),
        pytest.param("x5u", {"forged_refused": "x5u", "urls_not_fetched": "x5u"}, marks=pytest.mark.slow),
        pytest.param("iss", {"forged_refused": "iss", "urls_not_fetched": "iss"}, marks=pytest.mark.slow),
        pytest.param("jwk", {"forged_refused": "brings the key"}, marks=pytest.mark.slow),
        pytest.param("x5c", {"forged_refused": "brings a certificate"}, marks=pytest.mark.slow),
        pytest.param("kid", {"forged_refused": "is SQL"}, marks=pytest.mark.slow),
    ],
)
def test_a_campaign_knows_a_receiver_of_tokens_that_is_careless_from_one_that_is_not(
    issuer: str, mistake: str, told: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pushed, "mistake", mistake)
    monkeypatch.setattr(Pushed, "keys", jwt.PyJWKClient(f"{issuer}/jwks.json"), raising=False)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pushed)
    server.daemon_threads = True
    monkeypatch.setattr(server, "handle_error", lambda *_: None)  # cases that hang up are part of the test
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    options = ["style=jwt", "algorithm=rsa", 'claims={"aud": "{url}", "iss": "acme"}', f"sample={json.dumps(BODY)}"]
    arguments = ["fuzz", f"http://127.0.0.1:{server.server_address[1]}/push", "--platform", "standard_webhooks"]
    arguments += [part for option in options for part in ("--platform-option", option)]
    arguments += ["--secret-env", "HOOK_SECRET", "--seed", "5", "--duration", "60s", "--max-examples", "32"]
    arguments += ["--case", "signed/*", "--case", "json/*", "--out", str(tmp_path / "run"), "--corpus", str(tmp_path)]
    try:
        result = CliRunner().invoke(app, arguments)
    finally:
        server.shutdown()
        server.server_close()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    found = [(one["check"], one["title"]) for one in report["findings"]]
    assert result.exit_code == bool(mistake), (result.output, found)
    assert {check for check, _ in found} == told.keys(), found
    assert all(told[check] in title for check, title in found), found
