"""Webhooks with signed bodies: Standard Webhooks, GitHub's, Stripe's and Slack's way of signing, and your own HMAC.

| style | header | signed | timestamp | secret |
|---|---|---|---|---|
| standard | ``webhook-signature: v1,<base64>`` … separated by blanks | ``id.timestamp.body`` | ``webhook-timestamp``, 5 min | base64, with or without ``whsec_`` |
| svix | the same as ``svix-id``, ``svix-timestamp``, ``svix-signature`` | ``id.timestamp.body`` | 5 min | base64 |
| v1a | ``webhook-signature: v1a,<base64>``, Ed25519 | ``id.timestamp.body`` | ``webhook-timestamp``, 5 min | ``whsk_…``, a seed, or any text |
| github | ``X-Hub-Signature-256: sha256=<hex>`` | ``body`` | none | as written |
| stripe | ``Stripe-Signature: t=<time>,v1=<hex>`` … | ``timestamp.body`` | ``t``, 5 min, past only | as written, ``whsec_`` included |
| slack | ``X-Slack-Signature: v0=<hex>`` | ``v0:timestamp:body`` | ``X-Slack-Request-Timestamp``, 5 min | as written |
| hmac | ``header=…`` with ``prefix=…`` | ``signed={timestamp}.{body}`` | ``time_header=…`` | as written |
| hmac | in the body: ``member=…`` | ``signed={lines:a,b}`` or ``{.member}`` | ``time_place=…`` | as written |
| jwt | ``Authorization: Bearer <token>`` | ``claims={"aud": "{url}"}``, with ``{body_sha256}`` the body too | ``iat``, ``exp`` | as written |

All others are HMACs, with SHA-256 unless ``algorithm`` says otherwise; ``ed25519``, ``ecdsa`` and ``rsa`` are signatures with a key
pair, derived from the secret unless that is a private key in PEM. ``chaosbot send … --public-key`` prints the public key, and the mock
``keys`` serves it. Paddle, Square, Viber, Zoom, Jira, SendGrid, Mailgun, SNS and Pub/Sub need these styles and no code. The time comes
from the endpoint, never from a clock.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import orjson

from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DAY_S, DeliveryRules
from chaosbot.core.kit import Kit
from chaosbot.core.marker import markers_in
from chaosbot.core.platform import EPOCH, Bait, Endpoint, Platform
from chaosbot.core.registry import option
from chaosbot.core.shape import Object, OneOf, Shape
from chaosbot.platforms._generic import (
    bodies_of,
    check_origin,
    delivery_id,
    inferred,
    marker_place,
    parsed,
    post,
    renew,
)
from chaosbot.platforms._keys import ASYMMETRIC, JWT_NAMES, key_set, public_key, seed_key, text_key, unfit
from chaosbot.platforms._signatures import STYLES, Style, mistaken, resigned
from chaosbot.platforms._signed_cases import baits, cases
from chaosbot.platforms._transport import dumps

_CLAIMS: Final = {"iss": "https://webhooks.chaosbot.example", "aud": "{url}", "sub": "chaosbot", "jti": "{id}"}


@dataclass(frozen=True)
class StandardWebhooks(Platform):
    """Signed webhooks."""

    signs: ClassVar[bool] = True
    signed_with: ClassVar[str] = "the endpoint's signing secret, as its sender shows it"

    style: str = option(
        "text",
        "whose way of signing; hmac and jwt are your own, as the other options say",
        "standard",
        choices=(*STYLES, "hmac", "jwt"),
    )
    sample: Any = option("json", "a valid body, as JSON, instead of the style's own events", None)  # noqa: RUF009 - frozen field
    more: Any = option("json", "further valid bodies, as a JSON list; a recording given as sample has them", ())  # noqa: RUF009 - frozen field
    header: str = option("text", "hmac, jwt: the header of the signature; X-Signature, or of a token Authorization", "")
    member: str = option("text", "hmac: the signature's place in the body, instead of a header, e.g. Signature", "")
    time_place: str = option("text", "hmac: the timestamp's place in the body, e.g. Timestamp", "")
    algorithm: str = option(
        "text",
        "hmac, jwt: the hash of an HMAC, or the key pair",
        "sha256",
        choices=("sha1", "sha256", "sha384", "sha512", *ASYMMETRIC),
    )
    claims: Any = option(  # noqa: RUF009 - frozen field
        "json", "jwt: what a token says beside its times; {id}, {url} and {body_sha256} are filled in", None
    )
    encoding: str = option("text", "hmac: how the digest is written", "hex", choices=("hex", "base64"))
    prefix: str = option("text", "hmac: what stands before the signature", "")
    signed: str = option(
        "text",
        "hmac: what is signed, of {id}, {timestamp}, {url}, {body}, {.member} and {lines:member,member}",
        "{body}",
    )
    content_type: str = option("text", "hmac, jwt: the body's content type", "application/json")
    headers: Any = option("json", "hmac, jwt: more headers of every delivery, as a JSON object", None)  # noqa: RUF009 - frozen field
    url: str = option(
        "text", "hmac: scheme and host as the sender knows them, for {url}; the request's own otherwise", ""
    )
    id_header: str = option("text", "hmac: the header of the delivery id", "")
    time_header: str = option("text", "hmac: the header of the timestamp", "")
    time_member: str = option(
        "text", "hmac: what stands before a timestamp in the signature's own header, e.g. ts=", ""
    )
    separator: str = option("text", "hmac: what stands between the parts of the signature's header", "")
    former_secret: str = option("text", "a secret that was replaced (CHAOSBOT_FORMER_SECRET)", "")
    second_secret: str = option(
        "text", "a secret that is valid as well, while one is being replaced (CHAOSBOT_SECOND_SECRET)", ""
    )
    tolerance: float = option("duration", "hmac, jwt: how old a signature may be; 0s where it never grows old", 300.0)
    future: bool = option("flag", "hmac: whether signatures from the future must be refused", True)

    def __post_init__(self) -> None:
        """Refuses a sample that is no JSON, and what can be signed by no header."""
        for name in ("sample", "more", "claims", "headers"):
            object.__setattr__(self, name, parsed(name, getattr(self, name)))
        self._events()
        if not self.own:
            return
        check_origin("url", self.url)
        if not isinstance(self.headers or {}, dict):
            raise ConfigError("headers", 'is no JSON object; write for example {"X-Shopify-Topic": "orders/create"}')
        if not 0 <= self.tolerance < DAY_S:
            raise ValueError(f"tolerance is {self.tolerance:g} s; it must be below a day, and 0s for none")
        if self.style == "jwt":
            self._check_token()
            return
        if not self.member and "{body}" not in self.signed:
            raise ValueError("signed must contain {body}; a signature that leaves the body out protects nothing")
        if self.member and ("{body}" in self.signed or ("{." not in self.signed and "{lines:" not in self.signed)):
            raise ValueError(
                "signed must name members of the body, by {.member} or {lines:a,b}, where the signature is one of them"
            )
        if self.member and self.separator:
            raise ValueError("a signature in the body (member=…) stands alone; leave separator out")
        for member, header, option_name in (
            ("{id}", self.id_header, "id_header"),
            ("{timestamp}", self.time_header or self.time_member or self.time_place, "time_header"),
        ):
            if member in self.signed and not header:
                raise ValueError(f"signed contains {member}; name the header that carries it ({option_name}=…)")

    def _check_token(self) -> None:
        """Refuses what makes no JSON Web Token."""
        if self.claims is not None and not isinstance(self.claims, dict):
            raise ConfigError("claims", 'is no JSON object; write for example {"iss": "acme", "aud": "{url}"}')
        if self.algorithm not in JWT_NAMES:
            raise UnknownName.of("algorithm of a JWT", self.algorithm, JWT_NAMES, where="algorithm")
        if self.member:
            raise ValueError("a token stands in a header; leave member out")

    @property
    def own(self) -> bool:
        """Whether the way of signing is put together by options."""
        return self.style in ("hmac", "jwt")

    @cached_property
    def scheme(self) -> Style:
        """The way of signing."""
        if not self.own:
            return STYLES[self.style]
        token = self.style == "jwt"
        return Style(
            self.style,
            "" if self.member else self.header or ("Authorization" if token else "X-Signature"),
            self.prefix or ("Bearer " if token and not self.header else ""),
            "" if token else self.signed,
            encoding=self.encoding,
            algorithm=self.algorithm,
            id_header=self.id_header.lower(),
            time_header=self.time_header,
            time_member=self.time_member,
            separator=self.separator or ("," if self.time_member else ""),
            # A receiver that was never told of a second secret need not read several signatures.
            lists=bool(self.second_secret),
            key_of=seed_key if self.algorithm in ASYMMETRIC else text_key,
            tolerance_s=self.tolerance,
            both_ways=self.future,
            # Decoders of base64 drop what follows the padding, and a token is as right without the word before it.
            lenient=frozenset({"signed/longer"} if self.encoding == "base64" or token else ())
            | frozenset({"signed/unversioned", "signed/version"} if token else ()),
            events=STYLES["standard"].events,
            constant=tuple((str(name), str(value)) for name, value in (self.headers or {}).items()),
            member=self.member,
            time_place=self.time_place,
            claims=(_CLAIMS if self.claims is None else self.claims) if token else None,
        )

    @property
    def base_url(self) -> str:
        """As the sender knows the target."""
        return self.url

    def mistaken(self, secret: str) -> str:
        """A token, a key, or a secret of another way of signing."""
        if self.scheme.algorithm in ASYMMETRIC and secret.startswith("-----BEGIN"):
            return unfit(secret, self.scheme.algorithm)
        return mistaken(secret, prefixed=self.style not in ("github", "slack"))

    @property
    def fresh_s(self) -> float:
        """By how old a signature may be."""
        return self.scheme.fresh_s

    @property
    def proof(self) -> str:
        """The signature's header; empty where it stands in the body."""
        return self.scheme.header

    @property
    def described(self) -> bool:
        """A few events say what bodies may look like, not what each member may be."""
        return False

    def _events(self) -> dict[str, Any]:
        return self.scheme.events(EPOCH) if self.sample is None else bodies_of(self.sample, self.more)

    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Delivery id (of the header, or else of the body), kind and marker."""
        del path
        if method != "POST" or len(body) > 1 << 20:
            return None
        try:
            root = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(root, dict):
            return None
        named = dict(headers)
        found = markers_in(body.decode("utf-8", "replace"))
        kind = root.get("type") or named.get(self.scheme.kind_header.lower()) or root.get("action")
        event = root.get("event")
        if isinstance(event, dict):  # an envelope around what happened
            kind = event.get("type", kind)
        return UpdateFacts(
            update_id=named.get(self.scheme.id_header) or delivery_id(root),
            kind=kind if isinstance(kind, str) else None,
            marker=found[0] if found else None,
        )

    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """A signed POST; bytes are signed and sent as they are."""
        url = (self.base_url or f"http://{endpoint.host}") + endpoint.path
        body = self.scheme.sealed(endpoint.secret, endpoint.time, dumps(update), url)
        headers = self.scheme.headers(endpoint.secret, endpoint.time, body, self._kind(update), url)
        return post(endpoint, body, headers, self.content_type)

    def _kind(self, update: Any) -> str:
        """The kind that the event's header names: that of the golden event with the same members at the top."""
        if not self.scheme.kind_header or not isinstance(update, dict):
            return ""
        known = ((name, len(event.keys() ^ update.keys())) for name, event in self._events().items())
        return min(known, key=lambda pair: pair[1])[0]

    def public_key(self, secret: str) -> str:
        """As the specification writes it for the style v1a; of tokens a JSON Web Key Set; in hexadecimal of Ed25519, and DER in base64 of the others."""
        algorithm = self.scheme.algorithm
        if algorithm not in ASYMMETRIC:
            return ""
        if self.style == "jwt":
            return json.dumps(key_set(secret), indent=2)
        raw = public_key(secret, algorithm)
        if self.style == "hmac" and algorithm == "ed25519":
            return raw.hex()
        return ("" if self.style == "hmac" else "whpk_") + base64.b64encode(raw).decode()

    def delivery(self) -> DeliveryRules:
        """The specification's schedule: ten attempts over three days; 410 ends it."""
        if self.style not in ("standard", "svix", "v1a"):
            return DeliveryRules()
        hours = (2, 5, 10, 14, 20, 24)
        pauses = (5.0, 300.0, 1800.0, *(hour * 3600.0 for hour in hours))
        return DeliveryRules(answer_wait_s=20.0, schedule_s=pauses, final_statuses=frozenset({410}))

    def again(self, request: bytes, secret: str, attempt: int, reason: str, later_s: int) -> bytes:
        """The same id with a new time and signature."""
        del attempt, reason
        return self.resigned(secret, request, request, later_s) or request

    def resigned(self, secret: str, before: bytes, after: bytes, later_s: int = 0) -> bytes | None:
        """Renews id, timestamp and signature where they were right."""
        return resigned(self.scheme, secret, before, after, later_s, self.base_url) if secret else after

    def golden(self, dice: Dice) -> dict[str, Any]:
        """A few events as the style's platform sends them, or the sample."""
        return {name: renew(event, dice.at("golden", name)) for name, event in self._events().items()}

    def shape(self) -> Shape:
        """Bodies like the golden ones."""
        return OneOf(tuple(inferred(event) for event in self._events().values()) or (Object(),))

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same event with an id and marker of its own."""
        return renew(update, dice)

    def written(self, text: str, dice: Dice) -> Any:
        """The first event with this text in it."""
        event = next(iter(self._events().values()))
        path = marker_place(event)
        return renew(event, dice, {path: text}) if path else None

    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """Forged, garbled, stale and replayed signatures."""
        if not endpoint.secret:
            return ()
        return tuple(cases(Kit(self, endpoint, dice), self.scheme))

    def baits(self, endpoint: Endpoint, dice: Dice, url: str) -> Iterator[Bait]:
        """Tokens of another key that say where it is."""
        return baits(Kit(self, endpoint, dice), self.scheme, url)
