"""auth (forger): who does not know the secret is refused before any work is done.

For platforms whose secret stands in a header. Without a secret on the target there is nothing to forge, so there are no cases.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from chaosbot.checks._cases import ASKED
from chaosbot.core.case import Case, Ending, Expect, Reach, Role, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.kit import ACK, REFUSED, Base, Kit, RawRequest, refused, technique
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.requests import with_length

CHECK = "forged_refused"
WRONG = "chaosbot-wrong-secret"
_BIG = 4_000_000
_PIECE = 2**20
_PIECES = 48
_FORWARDED = (
    ("X-Forwarded-For", "149.154.167.220"),
    ("X-Real-IP", "91.108.4.7"),
    ("CF-Connecting-IP", "149.154.160.9"),
    ("Forwarded", "for=149.154.167.220;proto=https"),
    ("X-Forwarded-Host", "api.telegram.org"),
    ("User-Agent", "TelegramBot (like TwitterBot)"),
    ("Origin", "https://api.telegram.org"),
    ("X-Original-URL", "/health"),
    ("X-HTTP-Method-Override", "GET"),
)


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    if kit.endpoint.secret and kit.platform.secret_header:
        yield from _values(kit)
        yield from _places(kit)
        yield from _methods(kit)
        yield from _before_parsing(kit)
        yield from _cost(kit)
        yield from _right(kit)


def _forge(
    kit: Kit,
    name: str,
    change: object,
    summary: str,
    expect: Expect | None = None,
    check: str = "",
    role: Role = Role.ATTEMPT,
) -> Case:
    base = kit.asked(name)
    bare = base.request.without(kit.platform.secret_header)
    request = change(bare, base) if callable(change) else bare
    return kit.case(
        name,
        base,
        request,
        summary,
        expect or refused(),
        threat=Threat.FORGER,
        check=check or CHECK,
        role=role,
    )


def _values(kit: Kit) -> Iterator[Case]:
    secret, header = kit.endpoint.secret, kit.platform.secret_header
    values: dict[str, tuple[bytes | str, str]] = {
        "empty": ("", "the secret is empty"),
        "prefix": (secret[:-1], "the secret lacks its last character"),
        "half": (secret[: len(secret) // 2], "the first half of the secret"),
        "first": (secret[:1], "the secret's first character"),
        "suffix": (secret[1:], "the secret lacks its first character"),
        "longer": (secret + "a", "the secret with one more character"),
        "twice": (secret + secret, "the secret twice over"),
        "last": (secret[:-1] + ("a" if secret[-1] != "a" else "b"), "the secret's last character is another"),
        "reversed": (secret[::-1], "the secret backwards"),
        "quoted": (f'"{secret}"', "the secret in quotes"),
        "bearer": (f"Bearer {secret}", "the secret behind 'Bearer'"),
        "listed": (f"{WRONG}, {secret}", "a list that holds the secret"),
        "encoded": (quote("-" + secret + "-"), "the secret, percent-encoded and padded"),
        "nbsp": (b"\xa0" + secret.encode(), "the secret behind a no-break space"),
        "regex": (".*", "a pattern that matches every secret"),
        "wildcard": ("%", "SQL's wildcard"),
        "null": ("null", "the word null"),
        "none": ("None", "the word None"),
        "true": ("true", "the word true"),
        "zero": ("0", "the number 0"),
        "injection": ("' OR '1'='1", "an SQL injection"),
        "template": ("${jndi:ldap://127.0.0.1/a}", "a look-up of a logging library"),
    }
    if secret.swapcase() != secret:
        values["case"] = (secret.swapcase(), "the secret in the other case")
    for name, (value, summary) in values.items():
        if value == secret or (value == secret[:-1] and not value):
            continue
        check = "secret_exact" if name not in ("regex", "wildcard", "injection", "template") else "forged_refused"
        yield _forge(
            kit,
            f"auth/secret-{name}",
            lambda bare, _, value=value: bare.plus((header, value)),
            summary,
            refused(400),
            check,
        )
    odd: dict[str, tuple[bytes, str]] = {
        "257": (b"a" * 257, "257 characters, one more than a secret can have"),
        "8000": (b"a" * 8000, "8000 characters"),
        "latin1": (secret.encode()[:-1] + b"\xe9", "a byte that is no ASCII at the end"),
        "utf8": ("séc-ret-ключ".encode(), "characters beyond ASCII"),
        "homoglyph": (
            secret.replace("e", "е").replace("a", "а").encode() + "а".encode(),
            "letters that only look alike",
        ),
        "control": (secret.encode() + b"\x01", "a control character at the end"),
        "nul": (secret.encode() + b"\x00", "a NUL at the end"),
    }
    for name, (raw, summary) in odd.items():
        yield _forge(
            kit,
            f"auth/odd-{name}",
            lambda bare, _, raw=raw: bare.plus((header, raw)),
            f"the secret header carries {summary}",
            refused(400, 431, close=True),
            "secret_exact" if name in ("latin1", "homoglyph", "control", "nul") else "forged_refused",
        )


def _places(kit: Kit) -> Iterator[Case]:
    secret, header = kit.endpoint.secret, kit.platform.secret_header
    yield _forge(kit, "auth/missing", None, "no secret at all")
    yield _forge(kit, "auth/wrong", lambda bare, _: bare.plus((header, WRONG)), "a wrong secret", role=Role.PLAIN)
    for name, pair in (("right-wrong", (secret, WRONG)), ("wrong-right", (WRONG, secret))):
        yield _forge(
            kit,
            f"auth/doubled-{name}",
            lambda bare, _, pair=pair: bare.plus(*((header, value) for value in pair)),
            f"the secret header twice: {name.replace('-', ' then ')}",
            # A server may join repeated headers, take the first or the last, or refuse; only the first of these is safe, but
            # RFC 9110 leaves it to the recipient, so what is wrong here is an error, not an acceptance of a present secret.
            Expect(REFUSED | {2, 400}, reach=Reach.AT_MOST_ONCE),
            "no_server_error",
        )
    for name in ("secret", "token", "secret_token", header):
        yield _forge(
            kit,
            f"auth/query-{name.lower()}",
            lambda bare, _, name=name: bare.with_query(f"{name}={quote(secret)}"),
            f"the secret in the query string as {name}=",
        )
    others = {
        "authorization": ("Authorization", f"Bearer {secret}"),
        "cookie": ("Cookie", f"secret={secret}; token={secret}"),
        "apikey": ("X-Api-Key", secret),
        "underscore": (header.replace("-", "_"), secret),
        "similar": (f"{header}s", secret),
        "forwarded": (f"X-Forwarded-{header}", secret),
    }
    for name, pair in others.items():
        yield _forge(
            kit,
            f"auth/elsewhere-{name}",
            lambda bare, _, pair=pair: bare.plus(pair),
            f"the secret in another header ({pair[0]})",
            refused(400),
        )
    yield _forge(
        kit,
        "auth/body-secret",
        lambda bare, base: bare.with_body(_inside(base.body, secret)),
        "the secret in the body",
        refused(400),
    )
    yield _forge(
        kit,
        "auth/trailer-secret",
        lambda bare, base: _chunked(bare, base.body, b"%b: %b\r\n" % (header.encode(), secret.encode())),
        "the secret in a trailer, after the body",
        # Some servers merge trailers into the headers, which RFC 9110 discourages; whoever does that knows the secret anyway.
        Expect(REFUSED | {2, 400, 411, 501}, close=True, reach=Reach.AT_MOST_ONCE),
        "no_server_error",
    )
    for pair in _FORWARDED:
        yield _forge(
            kit,
            f"auth/spoofed-{pair[0].lower()}",
            lambda bare, _, pair=pair: bare.plus((header, WRONG), pair),
            f"a wrong secret, and {pair[0]} claims to be the platform",
        )


def _inside(body: bytes, secret: str) -> bytes:
    return body.rstrip()[:-1] + b',"secret_token":"%b"}' % secret.encode() if body.rstrip()[-1:] == b"}" else body


def _chunked(request: RawRequest, body: bytes, trailers: bytes = b"") -> RawRequest:
    framed = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)
    parts = request.without("Content-Length").plus(("Transfer-Encoding", "chunked"))
    return RawRequest(parts.line, parts.headers, framed)


def _methods(kit: Kit) -> Iterator[Case]:
    for method in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "post"):
        # A page on GET or an answer to OPTIONS is nobody's harm; an effect is.
        expect = Expect(frozenset({2, 4, 501}), close=True, reach=Reach.NONE)
        yield _forge(
            kit,
            f"auth/method-{method.lower() if method.isupper() else 'lowercase'}",
            lambda bare, _, method=method: bare.with_method(method),
            f"{method} without the secret",
            expect,
        )


def _before_parsing(kit: Kit) -> Iterator[Case]:
    header = kit.platform.secret_header

    def body(data: bytes) -> object:
        return lambda bare, _base: bare.plus((header, WRONG)).with_body(data)

    def cut(bare: RawRequest, base: Base) -> RawRequest:
        return bare.plus((header, WRONG)).with_body(base.body[: len(base.body) // 2])

    bodies: dict[str, tuple[object, str]] = {
        "empty": (body(b""), "an empty body"),
        "truncated": (cut, "JSON cut in half"),
        "null": (body(b"null"), "the body null"),
        "text": (body(b"this is no JSON"), "a body that is no JSON"),
        "nested": (body(b"[" * 20_000), "20 000 open brackets"),
        "utf8": (body(b'{"update_id":"\xff\xfe"}'), "a body that is no UTF-8"),
        "list": (body(b"[]"), "a list as body"),
        "number": (body(b'{"update_id":' + b"9" * 5000 + b"}"), "a number of 5000 digits"),
        "key": (body(b'{"update_id":1,"update_id":2}'), "a doubled key"),
    }
    for name, (change, summary) in bodies.items():
        yield _forge(
            kit, f"auth/unparsed-{name}", change, f"a wrong secret and {summary}", refused(), "auth_before_parsing"
        )
    headers: dict[str, tuple[tuple[str, str], str]] = {
        "type": (("Content-Type", "application/xml"), "another content type"),
        "gzip": (("Content-Encoding", "gzip"), "a lying Content-Encoding"),
        "charset": (("Content-Type", "application/json; charset=utf-7"), "a strange charset"),
    }
    for name, (pair, summary) in headers.items():
        yield _forge(
            kit,
            f"auth/unread-{name}",
            lambda bare, _, pair=pair: bare.with_header(*pair).plus((header, WRONG)),
            f"a wrong secret and {summary}",
            refused(415),
            "auth_before_parsing",
        )


def _cost(kit: Kit) -> Iterator[Case]:
    header = kit.platform.secret_header
    large = refused(400, 413, close=True)
    yield _forge(
        kit,
        "auth/costly-body",
        lambda bare, _: bare.plus((header, WRONG)).with_body(b'{"update_id":1,"pad":"' + b"x" * _BIG + b'"}'),
        "a wrong secret and 4 MB of body",
        large,
        "pre_auth_cost",
    )
    yield _forge(
        kit,
        "auth/costly-gzip",
        lambda bare, _: bare.plus((header, WRONG), ("Content-Encoding", "gzip")).with_body(
            gzip.compress(bytes(_BIG), 9, mtime=0)
        ),
        "a wrong secret and a gzip body that grows a thousandfold",
        refused(400, 413, 415, close=True),
        "pre_auth_cost",
    )
    name = "auth/costly-announced"
    base = kit.base(name)
    request = base.request.without(header).plus((header, WRONG)).with_header("Content-Length", "99999999")
    yield kit.case(
        name,
        base,
        (Segment(request.head + b"{"),),
        "a wrong secret; 100 MB are announced and never sent",
        large,
        threat=Threat.FORGER,
        check="pre_auth_cost",
        ending=Ending.HALF_CLOSE,
    )


def _right(kit: Kit) -> Iterator[Case]:
    """The other side of exactness: what HTTP calls the same header is the same header."""
    secret, header = kit.endpoint.secret, kit.platform.secret_header
    same = {
        "lower": (header.lower(), secret, "the header's name in lower case"),
        "upper": (header.upper(), secret, "the header's name in upper case"),
        "padded": (header, f"  {secret}\t ", "white space around the secret, which HTTP says is not part of it"),
    }
    base = kit.asked(ASKED)
    yield kit.case(
        ASKED,
        base,
        base.request,
        "the right secret: what a forged request would get",
        Expect(ACK),
        threat=Threat.NETWORK,
    )
    for name, (key, value, summary) in same.items():
        base = kit.base(f"auth/right-{name}")
        request = base.request.without(header).plus((key, value))
        yield kit.case(
            f"auth/right-{name}",
            base,
            request,
            f"the right secret with {summary}",
            # Not every parser takes the white space off, and no platform sends any.
            Expect(ACK | REFUSED if name == "padded" else ACK, reach=Reach.AT_MOST_ONCE),
            threat=Threat.NETWORK,
            check="no_server_error" if name == "padded" else "valid_accepted",
        )


_PAGES: Final = (
    "health", "healthz", "status", "metrics", "info", "version", "env", ".env", "config", "debug", "admin", "openapi.json",
    "actuator/env", "debug/vars",
)  # fmt: skip
"""Pages beside the webhook that people leave open; what they show is for everybody."""


def pages(kit: Kit) -> Iterator[Case]:
    """Pages (forger): what a target shows beside its webhook holds no secret."""
    for word in _PAGES:
        base = kit.base(f"pages/{word}")
        host = base.request.header("Host") or b"localhost"
        request = RawRequest(b"GET /" + word.encode() + b" HTTP/1.1", ((b"Host", host), (b"Connection", b"close")))
        yield replace(
            kit.case(
                f"pages/{word}",
                base,
                request,
                f"GET /{word}, without the secret",
                Expect(frozenset({2, 3, 4, 501, 503}), close=True, reach=Reach.NONE),
                threat=Threat.FORGER,
                check="no_leak",
            ),
            marker="",
            chat=None,
            update_id=None,
        )


def flood(platform: Platform, endpoint: Endpoint, dice: Dice) -> Case | None:
    """48 MB from a sender without the secret, to be sent alone; None where there is no secret."""
    if not endpoint.secret:
        return None
    update = platform.golden(dice)[platform.canary()]
    head = with_length(platform.encode(replace(endpoint, secret=WRONG), update), _PIECE * _PIECES)
    if head is None:
        return None
    piece = Segment(b" " * _PIECE)
    return Case(
        "auth/costly-flood",
        "auth",
        Threat.FORGER,
        (Segment(head), *[piece] * _PIECES),
        Expect(frozenset({401, 403, 404, 413}), close=True, reach=Reach.NONE),
        f"{_PIECE * _PIECES // 2**20} MB of body with a wrong secret",
        check="pre_auth_cost",
        change=technique("auth/costly-flood"),
    )
