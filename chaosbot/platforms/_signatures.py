"""Ways of signing, as values: which headers a body gets, and how the parts are put together.

What the vendors' own libraries accept was measured with them (standardwebhooks 1.1, stripe 16.1 and 23.1, slack_sdk 3.48 and bolt 5.1,
gidgethub 6.0, octokit methods 6.0, discord-interactions 0.4, twilio 9.13, pywa 4.5); a receiver that does as its vendor's library does
is not called broken.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from chaosbot.core.kit import GONE, Path, path_of, there
from chaosbot.platforms import _keys
from chaosbot.platforms._keys import ASYMMETRIC, base64_key, seed_key, text_key
from chaosbot.platforms._transport import dumps

Header = tuple[str, str]


_FORMS: Final = (
    (re.compile(r"(xox[a-z]|xapp)-"), "a Slack token"),
    (re.compile(r"gh[oprsu]_|github_pat_"), "a GitHub token"),
    (re.compile(r"[prs]k_(live|test)_"), "a Stripe API key"),
    (re.compile(r"EAA[A-Za-z0-9]{30}"), "a Meta access token"),
    (re.compile(r"[0-9]{6,12}:[\w-]{30}"), "a Telegram bot's token"),
    (re.compile(r"(AC|SK)[0-9a-f]{32}$"), "a Twilio SID"),
    (re.compile(r"[\w-]{23,28}\.[\w-]{6}\.[\w-]{27}"), "a Discord bot's token"),
    (re.compile(r"-----BEGIN "), "a key in PEM"),
    (re.compile(r"whpk_"), "a public key"),
    (re.compile(r"whs[ek][ck]?_"), "a secret of Stripe's or of Standard Webhooks"),
)


def mistaken(secret: str, *, prefixed: bool = False) -> str:
    """What a secret is that signs no webhook, by its form; empty where it may sign some.

    Args:
        secret: The secret.
        prefixed: Whether secrets with ``whsec_`` or ``whsk_`` before them are right.
    """
    found = next((what for form, what in _FORMS if form.match(secret)), "")
    return "" if prefixed and found == _FORMS[-1][1] else found


@dataclass(frozen=True, slots=True)
class Signed:
    """What goes into a signature and how it is written.

    Args:
        key: The key.
        message_id: The delivery's id.
        timestamp: Unix time, as it stands in the header.
        body: The body.
        url: The whole URL, as the target knows it.
    """

    key: bytes
    message_id: str
    timestamp: str
    body: bytes
    url: str = ""

    @property
    def form(self) -> str:
        """Names and values of a form body, sorted by name, with nothing between; empty for JSON."""
        if self.body[:1] in (b"{", b"["):
            return ""
        pairs = parse_qsl(self.body.decode("utf-8", "surrogateescape"), keep_blank_values=True)
        return "".join(name + value for name, value in sorted(set(pairs)))


@dataclass(frozen=True, slots=True)
class Style:
    """One way of signing.

    Args:
        name: Its name.
        header: The header of the signature; empty where it stands in the body.
        version: What stands before a signature (``v1,`` ``sha256=`` …); empty where the signature stands alone.
        template: What is signed, with ``{id}``, ``{timestamp}``, ``{body}``, ``{url}`` (the whole URL), ``{form}`` (a form's names and
            values, sorted), ``{.path}`` (a member of a JSON body) and ``{lines:a,b}`` (of those members that are there, name and value,
            each on a line of its own) in it.
        separator: What stands between several signatures; empty where there is only one.
        lists: Whether there may be several, of which one right one is enough.
        encoding: How a digest is written: ``hex`` or ``base64``.
        algorithm: The hash of the HMAC (``sha1``, ``sha256``, ``sha384``, ``sha512``), or one of the key pairs of `_keys.ASYMMETRIC`.
        key_of: How a secret becomes a key.
        id_header: The header of the delivery's id, in lower case; empty where there is none.
        id_prefix: What a delivery's id begins with; ids without a prefix are UUIDs.
        time_header: The header of the timestamp; empty where it stands in the signature's header or nowhere.
        time_member: What stands before the timestamp in the signature's header (``t=``); empty where it is not there.
        kind_header: The header that names the kind of event; empty where the body does.
        constant: Headers that every delivery carries; ``{id}`` in a value is the delivery's id.
        legacy: A second signature that is sent for old receivers: its header, version and algorithm.
        tolerance_s: How old a signature may be; 0 where it never grows old.
        both_ways: Whether the tolerance holds for the future as well; a receiver of the vendor's library accepts any
            future time where it does not.
        lenient: Names of cases (``signed/…``) that the vendor's own library accepts although they are odd; they are no forgery.
        events: Golden events by kind, made for a time.
        member: The dotted place of the signature in a JSON body, where it stands there.
        time_place: The dotted place of the timestamp in a JSON body, where it stands there: Unix time, or ISO 8601 where golden events
            have that.
        claims: Where the signature is a JSON Web Token, what it says; texts may hold ``{id}``, ``{url}`` and ``{body_sha256}``. The times
            ``iat`` and ``exp`` follow from the timestamp and the tolerance.
    """

    name: str
    header: str
    version: str
    template: str
    separator: str = ""
    lists: bool = True
    encoding: str = "hex"
    algorithm: str = "sha256"
    key_of: Callable[[str], bytes] = text_key
    id_header: str = ""
    id_prefix: str = ""
    time_header: str = ""
    time_member: str = ""
    kind_header: str = ""
    constant: tuple[Header, ...] = ()
    legacy: tuple[str, str, str] | None = None
    tolerance_s: float = 300.0
    both_ways: bool = True
    lenient: frozenset[str] = frozenset()
    events: Callable[[int], dict[str, Any]] = lambda _time: {}
    member: str = ""
    time_place: str = ""
    claims: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def timed(self) -> bool:
        """Whether a delivery carries a signed timestamp, beside those of a token."""
        return "{timestamp}" in self.template or bool(self.time_place)

    @property
    def fresh_s(self) -> float:
        """How many seconds after it was made a signature is surely not too old."""
        return min(60.0, self.tolerance_s / 5) if self.tolerance_s else 60.0

    @property
    def signs_id(self) -> bool:
        """Whether the delivery's id is signed, so that another one must be refused."""
        return "{id}" in self.template

    def content(self, signed: Signed) -> bytes:
        """The bytes that are signed, or what a token says."""
        if self.claims is not None:
            return dumps(self.said(signed))
        parts = {"{id}": signed.message_id.encode(), "{timestamp}": signed.timestamp.encode(), "{body}": signed.body}
        parts["{url}"] = signed.url.encode("utf-8", "surrogateescape")
        if "{form}" in self.template:
            parts["{form}"] = signed.form.encode("utf-8", "surrogateescape")
        pieces = _PLACEHOLDER.split(self.template)
        if members := [piece for piece in pieces if piece.startswith(("{.", "{lines:"))]:
            told = self.stamped(_json(signed.body), signed.timestamp)
            parts |= {one: _word(there(told, one[2:-1])) for one in members if one[1] == "."}
            parts |= {one: _lined(told, one[7:-1].split(",")) for one in members if one[1] != "."}
        return b"".join(parts.get(piece, piece.encode()) for piece in pieces)

    def said(self, signed: Signed) -> dict[str, Any]:
        """The claims of a token."""
        digest = hashlib.sha256(signed.body).hexdigest()
        known = {"{id}": signed.message_id, "{url}": signed.url, "{body_sha256}": digest}
        issued = int(signed.timestamp)
        lasts: dict[str, Any] = {"exp": issued + int(self.tolerance_s)} if self.tolerance_s else {}
        filled = {
            name: _PLACEHOLDER.sub(lambda match: known.get(match[0], match[0]), value)
            if isinstance(value, str)
            else value
            for name, value in (self.claims or {}).items()
        }
        return {"iat": issued, **lasts, **filled}

    def signature(self, signed: Signed, algorithm: str = "") -> str:
        """One signature, without its version."""
        algorithm = algorithm or self.algorithm
        if self.claims is not None:
            return _keys.jwt(signed.key, algorithm, self.said(signed))
        content = self.content(signed)
        asymmetric = algorithm in ASYMMETRIC
        made = _keys.sign(signed.key, algorithm, content) if asymmetric else hmac.digest(signed.key, content, algorithm)
        return made.hex() if self.encoding == "hex" else base64.b64encode(made).decode()

    def value(self, signed: Signed, *signatures: str) -> str:
        """The header's value for these signatures (with their versions)."""
        stamp = (f"{self.time_member}{signed.timestamp}",) if self.time_member else ()
        return self.separator.join((*stamp, *signatures)) if self.separator else signatures[0]

    def others(self, signed: Signed, kind: str = "") -> tuple[Header, ...]:
        """The headers beside the signature.

        Args:
            signed: The parts of the delivery.
            kind: The event's kind; empty for the usual one.
        """
        found: list[Header] = []
        if self.id_header:
            found.append((self.id_header, signed.message_id))
        if self.time_header:
            found.append((self.time_header, signed.timestamp))
        if self.kind_header:
            found.append((self.kind_header, kind or next(iter(self.events(0)))))
        return (*found, *((name, value.replace("{id}", signed.message_id)) for name, value in self.constant))

    def signed(self, secret: str, time: int, body: bytes, url: str = "") -> Signed:
        """The parts for a body; its delivery id follows from the body, so that the same body is the same delivery."""
        digest = hashlib.sha256(body).hexdigest()
        message_id = f"{self.id_prefix}{digest[:24]}" if self.id_prefix else _uuid(digest)
        return Signed(self.key_of(secret), message_id, str(time), body, url)

    def headers(self, secret: str, time: int, body: bytes, kind: str = "", url: str = "") -> tuple[Header, ...]:
        """All headers of a genuine delivery; without a secret there is no signature."""
        signed = self.signed(secret, time, body, url)
        others = self.others(signed, kind)
        if not secret:
            return others
        if self.legacy is not None:
            header, version, algorithm = self.legacy
            others = (*others, (header, version + self.signature(signed, algorithm)))
        if self.member:
            return others
        return (*others, (self.header, self.value(signed, self.version + self.signature(signed))))

    # ── signatures inside of the body ─────────────────────────────────────────────────────────────────────────────────

    def stamped(self, told: Any, stamp: str) -> Any:
        """A body's value with this timestamp, in the form in which it has one; without a place for it, as it is."""
        old = there(told, self.time_place) if self.time_place else None
        if isinstance(old, bool) or not isinstance(old, int | str) or not stamp:
            return told
        new: Any = stamp
        if _is_time(stamp):
            new = int(stamp) if isinstance(old, int) else stamp if old.isdigit() else _iso(int(stamp))
        return _with(told, path_of(self.time_place), new)

    def placed(self, body: bytes, value: Any, stamp: str = "") -> bytes:
        """A body with this signature in its place (without one where it is None), and perhaps another timestamp; what has no such place stays."""
        told = _json(body)
        inside, _, name = self.member.rpartition(".")
        holder = there(told, inside) if inside else told
        if not isinstance(holder, dict) or (value is None and name not in holder):
            return body
        try:
            return dumps(_with(self.stamped(told, stamp), path_of(self.member), GONE if value is None else value))
        except RecursionError:  # nested too deeply to be taken apart
            return body

    def sealed(self, secret: str, time: int, body: bytes, url: str = "") -> bytes:
        """The body as it travels: with the signature in it, where that is its place."""
        if not self.member or not secret:
            return body
        stamped = self.placed(body, "", str(time))
        signed = self.signed(secret, time, stamped, url)
        return self.placed(stamped, self.version + self.signature(signed))


_PLACEHOLDER: Final = re.compile(r"(\{(?:id|timestamp|body|body_sha256|url|form|\.[\w.]+|lines:[\w.,]+)\})")
_MOST_DIGITS: Final = 12
"""Longer numbers are no time that a calendar has."""


def _with(value: Any, path: Path, new: Any) -> Any:
    """The value with something else at a path (`GONE` for nothing); only what is on the way is copied, however deep the rest is."""
    if not path:
        return new
    copy = value.copy()
    if new is GONE and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _with(copy[path[0]] if len(path) > 1 else None, path[1:], new)
    return copy


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lined(told: Any, members: list[str]) -> bytes:
    """Names and values of those members that are there, each on a line."""
    held = ((name, there(told, name)) for name in members)
    return b"".join(b"%b\n%b\n" % (name.encode(), _word(value)) for name, value in held if value is not None)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _word(value: Any) -> bytes:
    """A member as it stands in what is signed; what is not there stands for nothing."""
    if value is None:
        return b""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else orjson.dumps(value)


def _uuid(digest: str) -> str:
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _standard_events(time: int) -> dict[str, Any]:
    del time
    return {
        "contact.created": {
            "type": "contact.created",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"id": "1f81eb52-5198-4599-803e-771906343485", "name": "Ada", "active": True, "visits": 3},
        },
        "invoice.paid": {
            "type": "invoice.paid",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"id": "inv_42", "description": "A plan", "amount": 1200, "lines": [{"title": "Seat", "count": 2}]},
        },
    }


def _github_events(time: int) -> dict[str, Any]:
    del time
    sender = {"login": "octocat", "id": 1, "type": "User"}
    repository = {"id": 35129377, "name": "public-repo", "full_name": "octocat/public-repo", "private": False}
    return {
        "issue_comment": {
            "action": "created",
            "issue": {"id": 73464126, "number": 2, "title": "Spelling error"},
            "comment": {"id": 99262140, "body": "You are totally right! I'll get this fixed right away."},
            "repository": repository,
            "sender": sender,
        },
        "ping": {"zen": "Keep it logically awesome.", "hook_id": 30, "repository": repository, "sender": sender},
    }


def _stripe_events(time: int) -> dict[str, Any]:
    return {
        "charge.succeeded": {
            "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
            "object": "event",
            "type": "charge.succeeded",
            "created": time,
            "livemode": False,
            "data": {
                "object": {"id": "ch_1", "amount": 2000, "currency": "usd", "description": "A plan", "paid": True}
            },
        },
    }


def _slack_events(time: int) -> dict[str, Any]:
    return {
        "event_callback": {
            "type": "event_callback",
            "team_id": "T0001",
            "api_app_id": "A0001",
            "event_id": "Ev0LAN670R",
            "event_time": time,
            "event": {
                "type": "message",
                "channel": "C0001",
                "user": "U0001",
                "text": "Live long and prosper.",
                "ts": "1.2",
            },
        },
        "url_verification": {
            "type": "url_verification",
            "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
        },
    }


_STANDARD: Final = Style(
    "standard",
    "webhook-signature",
    "v1,",
    "{id}.{timestamp}.{body}",
    separator=" ",
    encoding="base64",
    key_of=base64_key,
    id_header="webhook-id",
    id_prefix="msg_",
    time_header="webhook-timestamp",
    # The reference library for Python decodes base64 leniently: what follows the padding is dropped.
    lenient=frozenset({"signed/longer"}),
    events=_standard_events,
)
STYLES: Final[dict[str, Style]] = {
    style.name: style
    for style in (
        _STANDARD,
        replace(_STANDARD, name="svix", header="svix-signature", id_header="svix-id", time_header="svix-timestamp"),
        replace(_STANDARD, name="v1a", version="v1a,", algorithm="ed25519", key_of=seed_key, lenient=frozenset()),
        Style(
            "github",
            "X-Hub-Signature-256",
            "sha256=",
            "{body}",
            id_header="x-github-delivery",
            kind_header="X-GitHub-Event",
            constant=(
                ("User-Agent", "GitHub-Hookshot/044aadd"),
                ("X-GitHub-Hook-ID", "30"),
                ("X-GitHub-Hook-Installation-Target-ID", "35129377"),
                ("X-GitHub-Hook-Installation-Target-Type", "repository"),
            ),
            legacy=("X-Hub-Signature", "sha1=", "sha1"),
            events=_github_events,
        ),
        Style(
            "stripe",
            "Stripe-Signature",
            "v1=",
            "{timestamp}.{body}",
            separator=",",
            time_member="t=",
            both_ways=False,
            # A number of 40 digits is a time in the future to the vendor's library for Python, NaN one to that for Node.
            lenient=frozenset({"signed/time-huge", "signed/time-nan", "signed/time-milliseconds"}),
            events=_stripe_events,
        ),
        Style(
            "slack",
            "X-Slack-Signature",
            "v0=",
            "v0:{timestamp}:{body}",
            time_header="X-Slack-Request-Timestamp",
            # The vendor's framework for Node checks the past only.
            both_ways=False,
            # It compares times as numbers, and what is none is never too old.
            lenient=frozenset({"signed/time-huge", "signed/time-milliseconds", "signed/time-nan", "signed/time-word"}),
            events=_slack_events,
        ),
    )
}
"""All styles by name."""


# ── signing a changed request as its original was ─────────────────────────────────────────────────────────────────────

# A case is sent more than once, as a delivery of its own each time, and smaller each time while it shrinks. A
# signature that no longer fits its body would be refused, and the target would look mended. What was right stays
# right, and half a signature half a signature.

_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*(\d+)[ \t]*\r?$")
_CODED: Final = re.compile(rb"(?im)^transfer-encoding:")
_SHORTEST: Final = 12
_SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (str, str.upper)


def resigned(style: Style, secret: str, before: bytes, after: bytes, later_s: int, base: str = "") -> bytes | None:
    """`after`, signed as `before` was; None where the signed body cannot be told from the framing around it.

    Args:
        style: The way of signing.
        secret: The secret that both are signed with.
        before: A request as it was built.
        after: The same request with another body (or the same one, for another time).
        later_s: How far the timestamp moves.
        base: Scheme and host of the URL, where the target knows itself by another name than the Host header's.
    """
    old, new = _plain(before), _plain(after)
    if old is None or new is None:
        return None
    head, body = old
    if style.member:
        return _resealed(style, secret, old, new, later_s, base)
    value = _value(head, style.header)
    if style.claims is not None:
        return _reissued(style, secret, old, new, later_s, base)
    stamp = _stamp(head, style)
    made = style.signed(secret, 0, body, url_of(head, base))
    identity = _value(head, style.id_header).decode("latin-1")
    signed = replace(made, message_id=identity, timestamp=stamp)
    right = style.signature(signed)
    moved = _moved(stamp, later_s)
    time_header = style.time_header or style.header
    spelling, size = _likeness(right, value)
    if not size:
        # Signed by somebody else: another body would not be what they signed.
        return _changed(head, time_header, stamp, moved) + b"\r\n\r\n" + body if new[1] == body else None
    derived = style.signed(secret, 0, new[1]).message_id if identity == made.message_id else identity
    renewed = replace(signed, message_id=derived, timestamp=moved, body=new[1], url=url_of(new[0], base))
    fresh = spelling(style.signature(renewed))
    changed = _changed(new[0], style.id_header, identity, derived)
    changed = _changed(changed, time_header, stamp, moved)
    if style.legacy is not None:
        header, _, algorithm = style.legacy
        changed = _changed(changed, header, style.signature(signed, algorithm), style.signature(renewed, algorithm))
    return _changed(changed, style.header, spelling(right)[:size], fresh[:size]) + b"\r\n\r\n" + new[1]


def _resealed(
    style: Style, secret: str, old: tuple[bytes, bytes], new: tuple[bytes, bytes], later_s: int, base: str
) -> bytes:
    """As `resigned`, where the signature stands in the body; what was not right stays as it is."""
    body = new[1]
    told, held = _json(old[1]), _json(body)
    value = there(told, style.member)
    stamp = _unstamped(there(told, style.time_place)) if style.time_place else ""
    made = replace(style.signed(secret, 0, old[1], url_of(old[0], base)), timestamp=stamp)
    if isinstance(value, str) and value == style.version + style.signature(made) and there(held, style.member) == value:
        moved = _moved(stamp, later_s)
        unsigned = style.placed(body, "", moved)
        signed = replace(made, body=unsigned, timestamp=moved, url=url_of(new[0], base))
        body = style.placed(unsigned, style.version + style.signature(signed))
    length = _LENGTH.sub(b"Content-Length: %d" % len(body), new[0])
    return length + b"\r\n\r\n" + body


def _is_time(stamp: str) -> bool:
    """Whether a timestamp is a Unix time, and none of those that a garbled request carries."""
    return stamp.isascii() and stamp.isdigit() and len(stamp) < _MOST_DIGITS


def _moved(stamp: str, later_s: int) -> str:
    return str(int(stamp) + later_s) if _is_time(stamp) else stamp


def _unstamped(value: Any) -> str:
    """The Unix time that a timestamp of a body says, as text; what is none of those that `Style.stamped` writes stays as it is."""
    if isinstance(value, str) and not value.isdigit():
        try:
            return str(int(datetime.fromisoformat(value).timestamp()))
        except ValueError:
            return value
    return "" if value is None else str(value)


def _reissued(
    style: Style, secret: str, old: tuple[bytes, bytes], new: tuple[bytes, bytes], later_s: int, base: str
) -> bytes | None:
    """As `resigned`, where the signature is a token: what it said rightly of the old request it says of the new one, and the rest stays."""
    value = _value(old[0], style.header).decode("latin-1")
    key = style.key_of(secret)
    found = _keys.jwt_claims(value.removeprefix(style.version), key, style.algorithm)
    if found is None:
        return new[0] + b"\r\n\r\n" + new[1] if old[1] == new[1] else None
    head, claims = found
    right, renewed = (
        style.said(replace(style.signed(secret, 0, body, url_of(top, base)), timestamp="0")) for top, body in (old, new)
    )
    moved: dict[str, Any] = {}
    for name, said in claims.items():
        if name in _TIMES and type(said) is int:
            moved[name] = said + later_s
        else:
            moved[name] = renewed[name] if name in renewed and said == right.get(name) else said
    token = _keys.jwt(key, style.algorithm, moved, **head)
    return _changed(new[0], style.header, value.removeprefix(style.version), token) + b"\r\n\r\n" + new[1]


_TIMES: Final = ("iat", "exp", "nbf")


def url_of(head: bytes, base: str = "") -> str:
    """The URL of a request by its head: of this scheme and host, or plain HTTP and the Host header's."""
    target = ([*head.split(b"\r\n", 1)[0].split(b" "), b""])[1].decode("utf-8", "surrogateescape")
    return (base or f"http://{_value(head, 'Host').decode('latin-1')}") + target


def _likeness(right: str, value: bytes) -> tuple[Callable[[str], str], int]:
    """How the right signature, or the beginning of it, is spelled in a header's value, and how much of it is there."""
    for size in range(len(right), _SHORTEST - 1, -1):
        for spell in _SPELLINGS:
            if spell(right[:size]).encode() in value:
                return spell, size
    return str, 0


def _plain(request: bytes) -> tuple[bytes, bytes] | None:
    """Head and body of a single request with one right Content-Length."""
    head, separator, body = request.partition(b"\r\n\r\n")
    if not separator or _CODED.search(head) or _LENGTH.findall(head) != [str(len(body)).encode()]:
        return None
    return head, body


def _lines(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?im)^" + re.escape(name.encode()) + rb":[^\r\n]*")


def _value(head: bytes, name: str) -> bytes:
    """All that stands in headers of this name."""
    return b" ".join(line.partition(b":")[2].strip() for line in _lines(name).findall(head)) if name else b""


def _stamp(head: bytes, style: Style) -> str:
    if style.time_header:
        return _value(head, style.time_header).decode("latin-1")
    if not style.time_member:
        return ""
    found = re.search(rb"(?:^|[,\s])" + re.escape(style.time_member.encode()) + rb"(\d+)", _value(head, style.header))
    return found[1].decode() if found else ""


def _changed(head: bytes, name: str, old: str, new: str) -> bytes:
    """The head with another value in the headers of this name."""
    if not name or not old or old == new:
        return head
    return _lines(name).sub(lambda line: line[0].replace(old.encode("latin-1"), new.encode("latin-1")), head)
