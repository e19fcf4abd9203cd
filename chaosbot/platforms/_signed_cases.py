"""signed (forger): who cannot sign is refused; stale and foreign signatures are refused; rotation lists with one right one pass.

A change with a new signature (mutate, then re-sign) reaches the parser and belongs to the neutral groups; a change without one must
be refused before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from chaosbot.core.case import Case, Expect, Reach, Role
from chaosbot.core.kit import ACK, INVALID, REFUSED, Base, Kit, RawRequest, accepted, refused
from chaosbot.core.platform import Bait
from chaosbot.core.verdict import Threat
from chaosbot.platforms import _keys
from chaosbot.platforms._keys import ASYMMETRIC, public_key
from chaosbot.platforms._signatures import Signed, Style, url_of

Value = str | bytes | Callable[[Base], str]
"""A header's value, or how to make it from a base."""

_WRONG = "chaosbot-wrong-secret"
_HOUR = 3600
_NO_SECRETS = {"empty": "", "undefined": "undefined", "null": "null", "none": "None", "changeme": "changeme"}
"""What stands in place of a secret that was never set, by its word."""
_OTHER_VERSION = {"v1,": "v2,", "v1=": "v0=", "v0=": "v9=", "sha256=": "sha1="}
_REFUSED = refused(400, 422)
_EITHER = Expect(ACK | REFUSED | {400, 422}, reach=Reach.AT_MOST_ONCE)


def cases(kit: Kit, style: Style) -> Iterator[Case]:
    """All cases of this group."""
    maker = _Maker(kit, style)
    yield from _signatures(maker)
    yield from _bodies(maker)
    if style.claims is not None:
        yield from _tokens(maker)
    elif style.algorithm in ASYMMETRIC:
        yield from _asymmetric(maker)
    if style.timed:
        yield from _times(maker)
    yield from _rotation(maker)
    yield from _replays(maker)


class _Maker:
    """Builds requests with any signature."""

    def __init__(self, kit: Kit, style: Style) -> None:
        self.kit = kit
        self.style = style

    def parts(self, base: Base) -> Signed:
        """The genuine parts of a base's signature."""
        return self.style.signed(self.kit.endpoint.secret, self.kit.endpoint.time, base.body, self.url(base))

    def url(self, base: Base) -> str:
        """The URL that is signed where the way of signing includes it."""
        return url_of(base.request.head, self.kit.platform.base_url)

    def right(self, base: Base) -> str:
        """The genuine signature with its version."""
        return self.style.version + self.style.signature(self.parts(base))

    def request(self, base: Base, value: str | bytes | None, signed: Signed | None = None) -> RawRequest:
        """The base's request with another signature (none when it is None) and the timestamp and other headers of `signed`."""
        if self.style.member:
            told = value.decode("latin-1") if isinstance(value, bytes) else value
            stamp = signed.timestamp if signed is not None else ""
            return base.request.with_body(self.style.placed(base.body, told, stamp))
        legacy = self.style.legacy[0] if self.style.legacy is not None else ""
        bare = base.request.without(self.style.header, legacy)
        if signed is not None:
            for name, text in self.style.others(signed):
                bare = bare.with_header(name, text)
        return bare if value is None else bare.plus((self.style.header, value))

    def forged(self, name: str, request: RawRequest, base: Base, summary: str, expect: Expect = _REFUSED) -> Case:
        """A case that must be refused, or may be accepted where the vendor's own library accepts it."""
        if f"signed/{name}" in self.style.lenient:
            return self.genuine(name, request, base, summary, _EITHER)
        return self.kit.case(
            f"signed/{name}", base, request, summary, expect, threat=Threat.FORGER, check="forged_refused"
        )

    def genuine(self, name: str, request: RawRequest, base: Base, summary: str, expect: Expect | None = None) -> Case:
        """A case that must be accepted, or may be refused when `expect` says so."""
        return self.kit.case(
            f"signed/{name}",
            base,
            request,
            summary,
            expect or accepted(),
            threat=Threat.NETWORK,
            check="no_server_error" if expect else "valid_accepted",
        )


def _signatures(maker: _Maker) -> Iterator[Case]:
    style = maker.style
    base = maker.kit.base("signed/missing")
    yield maker.forged("missing", maker.request(base, None), base, "no signature at all")

    def wrong(name: str, value: Value, summary: str, expect: Expect = _REFUSED) -> Case:
        here = maker.kit.base(f"signed/{name}")
        written = value(here) if callable(value) else value
        return maker.forged(name, maker.request(here, written), here, summary, expect)

    def wrap(here: Base, *signatures: str) -> str:
        return style.value(maker.parts(here), *signatures)

    def keyed(secret: str) -> Callable[[Base], str]:
        return lambda here: wrap(
            here, style.version + style.signature(replace(maker.parts(here), key=style.key_of(secret)))
        )

    foreign = keyed(_WRONG)

    def hashed(algorithm: str) -> Value:
        return lambda here: wrap(here, style.version + style.signature(maker.parts(here), algorithm))

    yield wrong("missing-empty", "", "an empty signature")
    yield wrong("version-only", lambda here: wrap(here, style.version), "a version without signature")
    yield wrong("garbage", "chaosbot", "a word instead of a signature")
    yield replace(wrong("foreign", foreign, "signed with another secret"), role=Role.PLAIN)
    for word, secret in _NO_SECRETS.items() if style.algorithm not in ASYMMETRIC else ():
        if secret != maker.kit.endpoint.secret:
            what = f"'{secret}' as its secret" if secret else "an empty secret"
            yield wrong(f"key-{word}", keyed(secret), f"signed with {what}, as if none were set")
    yield wrong(
        "flipped", lambda here: wrap(here, _flip(maker.right(here))), "one character of the signature is another"
    )
    yield wrong("truncated", lambda here: wrap(here, maker.right(here)[:-8]), "the signature lacks its end")
    yield wrong("longer", lambda here: wrap(here, maker.right(here) + "00"), "the signature goes on")
    if style.claims is None:
        yield wrong("sha1", hashed("sha1"), "signed with SHA-1")
        yield wrong("sha512", hashed("sha512"), "signed with SHA-512")
    if style.version:
        yield wrong(
            "unversioned", lambda here: wrap(here, maker.right(here).removeprefix(style.version)), "without version"
        )
        other = _OTHER_VERSION.get(style.version, "x" + style.version)
        yield wrong(
            "version",
            lambda here: wrap(here, maker.right(here).replace(style.version, other, 1)),
            f"the version {other}",
        )
    yield wrong("zeros", lambda here: wrap(here, style.version + "0" * 64), "zeros")
    if "\n" not in maker.kit.endpoint.secret:
        yield wrong("secret", maker.kit.endpoint.secret, "the secret itself as signature")
    broken = refused(400, 422, 431, close=True)
    yield wrong("bytes", b"\xff\xfe" + style.version.encode(), "bytes beyond ASCII", broken)
    yield wrong("bytes-inside", style.version.encode() + b"\xff\xfe" * 22, "a signature of bytes beyond ASCII", broken)
    yield wrong("long", style.version + "0" * 10_000, "a signature of 10 000 digits", broken)
    yield wrong("many", lambda here: wrap(here, *[style.version + "0" * 64] * 90), "90 wrong signatures")
    yield wrong("null", "null", "the word null")
    here = maker.kit.base("signed/missing-query")
    request = maker.request(here, None).with_query(f"signature={maker.right(here).replace('+', '%2B')}")
    yield maker.forged("missing-query", request, here, "the right signature in the query")
    here = maker.kit.base("signed/upper")
    # Hexadecimal digits in capitals are the same number; comparing them as text is as right.
    upper = style.version + style.signature(maker.parts(here)).upper()
    expect = _EITHER if style.encoding == "hex" else _REFUSED
    case = maker.genuine if style.encoding == "hex" else maker.forged
    yield case("upper", maker.request(here, wrap(here, upper)), here, "the signature in capitals", expect)
    for order in ("right-wrong", "wrong-right") if not style.member else ():
        here = maker.kit.base(f"signed/doubled-{order}")
        values = [maker.request(here, None), wrap(here, maker.right(here)), foreign(here)]
        pair = values[1:] if order == "right-wrong" else values[:0:-1]
        request = maker.request(here, None).plus(*((style.header, str(value)) for value in pair))
        yield maker.genuine(
            f"doubled-{order}", request, here, f"two signature headers, {order.replace('-', ' then ')}", _EITHER
        )


def _flip(signature: str) -> str:
    """Another character in the middle, of the same alphabet."""
    middle = len(signature) - 10
    return signature[:middle] + ("0" if signature[middle] != "0" else "1") + signature[middle + 1 :]


def _bodies(maker: _Maker) -> Iterator[Case]:
    """The body is changed and the signature is not."""

    def changed(name: str, change: Callable[[bytes], bytes], summary: str) -> Iterator[Case]:
        base = maker.kit.base(f"signed/{name}")
        body, parts = change(base.body), maker.parts(base)
        if maker.style.content(replace(parts, body=body)) != maker.style.content(parts):
            yield maker.forged(name, base.request.with_body(body), base, summary)

    yield from changed(
        "body-spaced", lambda body: body.replace(b":", b": ", 1), "one blank more in the body (written anew)"
    )
    yield from changed("body-newline", lambda body: body + b"\n", "a line end behind the body")
    yield from changed("body-member", lambda body: body[:-1] + b',"admin":true}', "one more member")
    yield from changed(
        "body-flipped", lambda body: body[:-3] + bytes([body[-3] ^ 1]) + body[-2:], "one bit of the body flipped"
    )
    yield from changed("body-empty", lambda _: b"", "no body")
    yield from changed("body-cut", lambda body: body[: len(body) // 2], "half of the body")
    yield from changed("body-twice", lambda body: body + body, "the body twice")
    yield from changed("body-null", lambda _: b"null", "the body null")
    yield from changed("body-latin", lambda body: body + b"\xff", "a byte that is no UTF-8 behind the body")
    broken = maker.kit.base("signed/missing-broken")
    request = maker.request(broken, None).with_body(b'{"broken')
    yield maker.kit.case(
        "signed/missing-broken",
        broken,
        request,
        "no signature, and a body that is no JSON",
        refused(400),
        threat=Threat.FORGER,
        check="auth_before_parsing",
    )
    large = maker.kit.base("signed/missing-large")
    request = maker.request(large, None).with_body(b'{"pad":"' + b"x" * 4_000_000 + b'"}')
    yield maker.kit.case(
        "signed/missing-large",
        large,
        request,
        "no signature, and 4 MB of body",
        refused(400, 413, close=True),
        threat=Threat.FORGER,
        check="pre_auth_cost",
    )
    genuine = maker.kit.base("signed/resigned")
    spaced = maker.kit.signed(genuine.body.replace(b'":', b'": '))
    yield maker.genuine("resigned", spaced, genuine, "the body written anew and signed anew")


def _asymmetric(maker: _Maker) -> Iterator[Case]:
    """What everybody can make who knows the public key."""
    base = maker.kit.base("signed/public-key")
    signed = replace(maker.parts(base), key=public_key(maker.kit.endpoint.secret, maker.style.algorithm))
    value = maker.style.value(signed, maker.style.version + maker.style.signature(signed, "sha256"))
    yield maker.forged("public-key", maker.request(base, value), base, "an HMAC with the public key as its secret")


def _tokens(maker: _Maker) -> Iterator[Case]:
    """JSON Web Tokens that are none of the sender's, or not for this target, or not for now."""
    style, now = maker.style, maker.kit.endpoint.time
    secret = maker.kit.endpoint.secret
    key, other = style.key_of(secret), style.key_of(_WRONG)
    asymmetric = style.algorithm in ASYMMETRIC

    def forged(name: str, summary: str, make: Callable[[dict[str, Any]], str]) -> Case:
        base = maker.kit.base(f"signed/token-{name}")
        token = make(style.said(maker.parts(base)))
        return maker.forged(f"token-{name}", maker.request(base, style.version + token), base, summary)

    def genuine(**claims: Any) -> Callable[[dict[str, Any]], str]:
        left = {name for name, value in claims.items() if value is None}
        return lambda said: _keys.jwt(
            key, style.algorithm, {name: value for name, value in (said | claims).items() if name not in left}
        )

    def bare(alg: str) -> Callable[[dict[str, Any]], str]:
        return lambda said: _keys.jwt(key, style.algorithm, said, alg=alg).rpartition(".")[0] + "."

    def swapped(said: dict[str, Any]) -> str:
        head, _, signature = _keys.jwt(key, style.algorithm, said).split(".")
        return ".".join((head, _keys.jwt(other, style.algorithm, said | {"sub": "admin"}).split(".")[1], signature))

    for alg in ("none", "None", "nOnE"):
        yield forged(alg, f"an unsigned token that says its algorithm is {alg}", bare(alg))
    yield forged("unsigned", "a token without its signature", bare(_keys.JWT_NAMES[style.algorithm]))
    yield forged("claims", "a token whose claims were changed after it was signed", swapped)
    yield forged(
        "kid-path",
        "a token signed with nothing, whose key id is a path",
        lambda said: _keys.jwt(b"", "sha256", said, kid="../../../../dev/null"),
    )
    written = _keys.pem(_WRONG, style.algorithm).decode() if asymmetric else _WRONG
    yield forged(
        "kid-sql",
        "a token of another key, whose key id is SQL that selects that key",
        lambda said: _keys.jwt(other, style.algorithm, said, kid=f"' UNION SELECT '{written}' -- "),
    )
    yield forged(
        "kid-list",
        "a token of another key, whose key id is a list",
        lambda said: _keys.jwt(other, style.algorithm, said, kid=["chaosbot"]),
    )
    if asymmetric:
        known = {"kid": _keys.key_id(key, style.algorithm)}
        yield forged(
            "stranger",
            "a token of another key, under this key's id",
            lambda said: _keys.jwt(other, style.algorithm, said, **known),
        )
        own = _keys.jwk(other, style.algorithm)
        yield forged(
            "embedded",
            "a token that brings the key with which it is to be verified",
            lambda said: _keys.jwt(other, style.algorithm, said, jwk=own),
        )
        if style.algorithm == "rsa":
            chain = [_keys.certificate(_WRONG).decode().partition("\n")[2].partition("-----END")[0].replace("\n", "")]
            yield forged(
                "chain",
                "a token that brings a certificate of the key with which it is to be verified",
                lambda said: _keys.jwt(other, style.algorithm, said, x5c=chain),
            )
        public = _keys.pem(secret, style.algorithm)
        yield forged(
            "confused",
            "an HMAC with the public key as its secret",
            lambda said: _keys.jwt(public, "sha256", said, **known),
        )
    if style.tolerance_s:
        yield forged("expired", "a token that expired a day ago", genuine(iat=now - 25 * _HOUR, exp=now - 24 * _HOUR))
    yield forged("not-yet", "a token that is not valid before tomorrow", genuine(nbf=now + 24 * _HOUR))
    # Another issuer has other keys, so who checks those need not read its name.
    if "aud" in (style.claims or {}):
        yield forged("aud", "a token for another target", genuine(aud="https://elsewhere.chaosbot.example"))
        yield forged("aud-missing", "a token for no target", genuine(aud=None))


def baits(kit: Kit, style: Style, url: str) -> Iterator[Bait]:
    """Tokens of another key that say where it is: by a URL as the header's ``jku``, ``x5u`` or ``kid``, or as the issuer."""
    if style.claims is None or style.algorithm not in ASYMMETRIC:
        return
    maker, key = _Maker(kit, style), style.key_of(_WRONG)
    keys, certificate = json.dumps(_keys.key_set(_WRONG)).encode(), _keys.certificate(_WRONG)
    for place in ("jku", "x5u", "kid", "iss"):
        here, base = f"{url}/{place}", kit.base(f"urls/token-{place}")
        header, claims = ({}, {place: here}) if place == "iss" else ({place: here}, {})
        token = _keys.jwt(key, style.algorithm, style.said(maker.parts(base)) | claims, **header)
        case = kit.case(
            f"urls/token-{place}",
            base,
            maker.request(base, style.version + token),
            f"a token of another key whose {place} is the URL of that key",
            _REFUSED,
            threat=Threat.FORGER,
            check="forged_refused",
        )
        metadata = json.dumps({"issuer": here, "jwks_uri": f"{here}/jwks.json"}).encode()
        documents = {"": certificate if place == "x5u" else keys, "/.well-known/openid-configuration": metadata}
        documents |= dict.fromkeys(("/jwks.json", "/.well-known/jwks.json"), keys)
        yield Bait(place, urlsplit(here).path, case, documents)


def _times(maker: _Maker) -> Iterator[Case]:
    """Right signatures for wrong times."""
    now = maker.kit.endpoint.time
    style = maker.style

    def timed(name: str, stamp: str, summary: str, *, passes: bool = False, expect: Expect | None = None) -> Case:
        base = maker.kit.base(f"signed/{name}")
        signed = replace(maker.parts(base), timestamp=stamp)
        value = style.value(signed, style.version + style.signature(signed))
        request = maker.request(base, value, signed)
        if passes:
            return maker.genuine(name, request, base, summary, expect)
        return maker.forged(name, request, base, summary)

    recent_s = min(60, int(style.tolerance_s / 2)) if style.tolerance_s else 60
    if recent_s:
        yield timed("time-recent", str(now - recent_s), f"signed {recent_s} s ago", passes=True)
    if style.tolerance_s:
        yield from _old(timed, now, style)
    base = maker.kit.base("signed/time-shifted")
    signed = maker.parts(base)
    later = replace(signed, timestamp=str(now + 1))
    value = style.value(later, maker.right(base))
    yield maker.forged("time-shifted", maker.request(base, value, later), base, "the timestamp is not the signed one")
    if style.member:
        return
    base = maker.kit.base("signed/time-missing")
    bare = base.request.without(style.time_header) if style.time_header else maker.request(base, maker.right(base))
    yield maker.forged("time-missing", bare, base, "the timestamp is missing")


def _old(timed: Callable[..., Case], now: int, style: Style) -> Iterator[Case]:
    """Times that are no time of now."""
    if style.tolerance_s < _HOUR:
        yield timed("time-stale", str(now - _HOUR), "signed an hour ago")
    yield timed("time-old", str(now - 365 * 24 * _HOUR), "signed a year ago")
    tolerated = None if style.both_ways else _EITHER
    yield timed("time-future", str(now + 24 * _HOUR), "signed tomorrow", passes=not style.both_ways, expect=tolerated)
    yield timed("time-zero", "0", "signed in 1970")
    yield timed("time-negative", f"-{now}", "signed before 1970")
    yield timed("time-word", "now", "the timestamp is a word")
    if not style.time_place:
        yield timed("time-empty", "", "the timestamp is empty")
    yield timed("time-huge", "9" * 40, "the timestamp has 40 digits")
    yield timed("time-milliseconds", f"{now}000", "the timestamp is in milliseconds")
    yield timed("time-nan", "NaN", "the timestamp is NaN")


def _rotation(maker: _Maker) -> Iterator[Case]:
    """While a secret is being changed, a delivery carries a signature for each; one right one is enough. Afterwards the old one is dead."""
    style, platform = maker.style, maker.kit.platform
    for case, word, secret, summary in (
        (maker.forged, "former", platform.former_secret, "signed with the secret that was replaced"),
        (maker.genuine, "second", platform.second_secret, "signed with the second secret alone"),
    ):
        if not secret:
            continue
        name = f"rotation-{word}"
        base = maker.kit.base(f"signed/{name}")
        signed = replace(maker.parts(base), key=style.key_of(secret))
        value = style.value(signed, style.version + style.signature(signed))
        yield replace(case(name, maker.request(base, value, signed), base, summary), check="secrets_rotated")
    if not style.separator or not style.lists:
        return

    def rotated(name: str, summary: str, order: tuple[str, ...], *, passes: bool) -> Case:
        base = maker.kit.base(f"signed/{name}")
        words = {
            "right": maker.right(base),
            "wrong": style.version + "0" * 64,
            "newer": "v9" + style.version[-1:] + "abc",
        }
        request = maker.request(base, style.value(maker.parts(base), *(words[word] for word in order)))
        return maker.genuine(name, request, base, summary) if passes else maker.forged(name, request, base, summary)

    yield rotated("rotation-first", "the right signature is the first of two", ("right", "wrong"), passes=True)
    yield rotated("rotation-last", "the right signature is the last of three", ("wrong", "wrong", "right"), passes=True)
    yield rotated(
        "rotation-newer", "a signature of a newer version beside the right one", ("newer", "right"), passes=True
    )
    yield rotated("rotation-none", "two wrong signatures", ("wrong", "wrong"), passes=False)


def _replays(maker: _Maker) -> Iterator[Case]:
    """The same signed delivery again takes effect once; a signed id cannot be exchanged."""
    base = maker.kit.base("signed/replayed")
    again = Expect(ACK | REFUSED | INVALID | {409}, reach=Reach.AT_MOST_ONCE)
    yield maker.kit.case(
        "signed/replayed-first",
        base,
        base.request,
        "a genuine delivery",
        accepted(),
        threat=Threat.NETWORK,
        check="effect_at_most_once",
    )
    yield maker.kit.case(
        "signed/replayed-again",
        base,
        base.request,
        "the same delivery for the second time",
        again,
        threat=Threat.FORGER,
        check="effect_at_most_once",
    )
    style = maker.style
    if style.id_header:
        other = maker.kit.base("signed/id-exchanged")
        request = other.request.with_header(style.id_header, "msg_chaosbot_other")
        if style.signs_id:
            yield maker.forged("id-exchanged", request, other, "the delivery id is not the signed one")
            yield maker.forged(
                "id-missing", other.request.without(style.id_header), other, "the delivery id is missing"
            )
        else:
            yield maker.genuine("id-exchanged", request, other, "another delivery id (it is not signed)")
