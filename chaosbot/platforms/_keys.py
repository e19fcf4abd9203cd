"""Key pairs for asymmetric signatures, each derived from the webhook's secret, and the documents in which receivers find the public halves.

The same secret gives the same pair in every process, so that what signs and what serves the public key need not speak to each other. A
private key of one's own, in PEM, is a secret as well.

| algorithm | key | signature | JWT's name |
|---|---|---|---|
| ed25519 | 32 bytes | 64 bytes | EdDSA |
| ecdsa | P-256 | DER, with SHA-256 (in a JWT r and s side by side) | ES256 |
| rsa | 2048 bits | PKCS #1 v1.5 with SHA-256 | RS256 |
| rsa-sha1 | the same key as rsa | the same with SHA-1 | none |
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import json
import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from chaosbot.core.jsontext import read_json

ASYMMETRIC: Final = ("ed25519", "ecdsa", "rsa", "rsa-sha1")
JWT_NAMES: Final = {
    "ed25519": "EdDSA",
    "ecdsa": "ES256",
    "rsa": "RS256",
    "sha256": "HS256",
    "sha384": "HS384",
    "sha512": "HS512",
}
"""What JWTs call each algorithm; those that are not here sign none."""
_PEM: Final = b"-----BEGIN "
_BITS: Final = 2048
_EXPONENT: Final = 65537
_SMALL: Final = math.prod(
    number for number in range(3, 2000, 2) if all(number % one for one in range(3, math.isqrt(number) + 1, 2))
)
_WITNESSES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def text_key(secret: str) -> bytes:
    """The key of a secret that is used as it is written, whatever prefix it has (Stripe's ``whsec_…`` too)."""
    return secret.encode("utf-8", "surrogateescape")


def base64_key(secret: str) -> bytes:
    """The key of a Standard Webhooks secret: base64, with or without ``whsec_`` before it; other text is its own bytes.

    Source: the specification's "Signature scheme" and the reference libraries, which strip the prefix and decode the rest.
    """
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return text_key(secret)


def seed_key(secret: str) -> bytes:
    """What a key pair is derived from: 64 hexadecimal digits (the seed of Ed25519, the scalar on P-256), base64 behind ``whsk_`` (a seed,
    or seed and public key), a private key in PEM as it is, or a digest of any other text.
    """
    if re.fullmatch(r"[0-9a-fA-F]{64}", secret):
        return bytes.fromhex(secret)
    if secret.startswith("whsk_"):
        return base64_key(secret.removeprefix("whsk_"))[:32].ljust(32, b"\0")
    written = text_key(secret)
    return written if written.startswith(_PEM) else hashlib.sha256(written).digest()


def unfit(secret: str, algorithm: str) -> str:
    """What a secret in PEM is that signs nothing by this algorithm; empty where it does, and for all other secrets."""
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - most platforms do without it
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - as above

    if not text_key(secret).startswith(_PEM):
        return ""
    try:
        key = forms.load_pem_private_key(text_key(secret), None)
    except (ValueError, TypeError):
        return "no private key in PEM without a password"
    kinds = {"ed25519": ed25519.Ed25519PrivateKey, "ecdsa": ec.EllipticCurvePrivateKey}
    fits = isinstance(key, kinds.get(algorithm, rsa.RSAPrivateKey))
    fits = fits and not (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name != ec.SECP256R1.name)
    return "" if fits else f"a key in PEM of another kind than {algorithm} needs"


@lru_cache(maxsize=16)
def _private(seed: bytes, algorithm: str) -> Any:
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 - as above

    if seed.startswith(_PEM):
        return forms.load_pem_private_key(seed, None)
    if algorithm == "ecdsa":
        return ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed) if algorithm == "ed25519" else _rsa(seed)


@lru_cache(maxsize=8)
def _rsa(seed: bytes) -> Any:
    """The RSA key of a seed; a quarter of a second the first time."""
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - as above

    p, q = _prime(seed, b"p"), _prime(seed, b"q")
    d = pow(_EXPONENT, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def _prime(seed: bytes, which: bytes) -> int:
    """The first prime in a stream of numbers that follows from the seed; its two highest bits are set, so that two make a full modulus."""
    half = _BITS // 2
    for count in itertools.count():
        drawn = int.from_bytes(hashlib.shake_256(which + seed + count.to_bytes(4)).digest(half // 8))
        number = drawn | 3 << (half - 2) | 1
        if math.gcd(number, _SMALL) == 1 and number % _EXPONENT != 1 and _probably_prime(number):
            return number
    raise AssertionError("itertools.count() ends never")


def _probably_prime(number: int) -> bool:
    """The test of Miller and Rabin."""
    twos = (number - 1 & 1 - number).bit_length() - 1
    for witness in _WITNESSES:
        power = pow(witness, number - 1 >> twos, number)
        if power not in (1, number - 1) and all(
            (power := power * power % number) != number - 1 for _ in range(twos - 1)
        ):
            return False
    return True


def sign(seed: bytes, algorithm: str, content: bytes) -> bytes:
    """A signature with a private key; the same content always gets the same one."""
    key = _private(seed, algorithm)
    if algorithm == "ed25519":
        made: bytes = key.sign(content)
        return made
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - as above

    if algorithm == "ecdsa":
        signed: bytes = key.sign(content, ECDSA(hashes.SHA256(), deterministic_signing=True))
    else:
        signed = key.sign(content, PKCS1v15(), hashes.SHA1() if algorithm == "rsa-sha1" else hashes.SHA256())  # noqa: S303 - as senders do
    return signed


def public_key(secret: str, algorithm: str = "ed25519") -> bytes:
    """The public key that belongs to a secret, with which a target is configured: the 32 bytes of Ed25519, or the DER of the others."""
    return _public(seed_key(secret), algorithm)


def _public(seed: bytes, algorithm: str) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - as above

    key = _private(seed, algorithm).public_key()
    if algorithm == "ed25519":
        raw: bytes = key.public_bytes_raw()
        return raw
    der: bytes = key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)
    return der


def pem(secret: str, algorithm: str) -> bytes:
    """The public key in PEM."""
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415 - as above

    key = _private(seed_key(secret), algorithm).public_key()
    made: bytes = key.public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    return made


@lru_cache(maxsize=8)
def certificate(secret: str) -> bytes:
    """A certificate of the RSA key, signed by itself, in PEM."""
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - as above

    key = _private(seed_key(secret), "rsa")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "webhooks.chaosbot.example")])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1)
    built = built.not_valid_before(datetime(2025, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
    made: bytes = built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return made


# ── JSON Web Tokens and Keys ──────────────────────────────────────────────────────────────────────────────────────────


def base64url(data: bytes) -> str:
    """Base64 of URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8))


def key_id(seed: bytes, algorithm: str) -> str:
    """The id by which a token says which key signed it."""
    return hashlib.sha256(_public(seed, algorithm)).hexdigest()[:16]


def jwk(seed: bytes, algorithm: str) -> dict[str, str]:
    """The public key as a JSON Web Key (RFC 7517, 8037)."""
    about = {"use": "sig", "alg": JWT_NAMES[algorithm], "kid": key_id(seed, algorithm)}
    key = _private(seed, algorithm).public_key()
    if algorithm == "ed25519":
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_bytes_raw()), **about}
    numbers = key.public_numbers()
    if algorithm == "rsa":
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e), **about}
    x, y = (base64url(value.to_bytes(32)) for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **about}


def key_set(*secrets: str) -> dict[str, list[dict[str, str]]]:
    """The public keys of these secrets, of every algorithm that JWTs know, as one JSON Web Key Set; a key in PEM is of its own kind only."""
    named = [algorithm for algorithm in ASYMMETRIC if algorithm in JWT_NAMES]
    return {"keys": [jwk(seed_key(one), name) for one in secrets for name in named if not unfit(one, name)]}


def jwt_signature(key: bytes, algorithm: str, content: bytes) -> bytes:
    """A JWT's signature."""
    if algorithm not in ASYMMETRIC:
        return hmac.digest(key, content, algorithm)
    made = sign(key, algorithm, content)
    if algorithm != "ecdsa":
        return made
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature  # noqa: PLC0415 - as above

    return b"".join(number.to_bytes(32) for number in decode_dss_signature(made))


def jwt(key: bytes, algorithm: str, claims: Any, **header: Any) -> str:
    """A token in its compact form.

    Args:
        key: An HMAC's key, or a key pair's seed.
        algorithm: One of `JWT_NAMES`.
        claims: What it says.
        header: More members of its header, or others.
    """
    head: dict[str, Any] = {"alg": JWT_NAMES[algorithm], "typ": "JWT"}
    head |= {"kid": key_id(key, algorithm)} if algorithm in ASYMMETRIC else {}
    said = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head | header, claims))
    return f"{said}.{base64url(jwt_signature(key, algorithm, said.encode()))}"


def jwt_claims(token: str, key: bytes, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims of a token that this key signed; None for all else."""
    said, _, signature = token.rpartition(".")
    if not signature or base64url(jwt_signature(key, algorithm, said.encode())) != signature:
        return None
    head, claims = (read_json(base64.urlsafe_b64decode(part + "==")) for part in said.split("."))
    return head, claims
