"""encoding: what the headers say about the body, true or not. Decoded with a cap, or 413, 415 or 417."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cache

from chaosbot.core.case import Case, Ending, Expect, Reach, Segment
from chaosbot.core.kit import BIG, BROKEN, Kit, RawRequest, invalid
from chaosbot.core.verdict import Threat

_BOMB = 200_000_000
# Some servers forbid (403) what others call an unsupported type (415).
_ANY = Expect(BROKEN | {403, 406, 417}, reach=Reach.AT_MOST_ONCE)


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    yield from _types(kit)
    yield from _codings(kit)
    yield from _expectations(kit)


def _types(kit: Kit) -> Iterator[Case]:
    same = {
        "charset": "application/json; charset=utf-8",
        "charset-upper": "application/json; charset=UTF-8",
        "upper": "Application/JSON",
        "blank": "application/json ; charset=utf-8",
        "quoted": 'application/json; charset="utf-8"',
    }
    for word, value in same.items():
        name = f"encoding/json-{word}"
        base = kit.crowd(name)
        yield kit.case(
            name,
            base,
            base.request.with_header("Content-Type", value),
            f"Content-Type: {value}",
            # The same type in other words; but no platform writes it so, and taking only one spelling does no harm.
            _ANY,
            threat=Threat.NETWORK,
        )
    others = {
        "plain": "text/plain",
        "form": "application/x-www-form-urlencoded",
        "multipart": "multipart/form-data; boundary=chaosbot",
        "multipart-bare": "multipart/form-data",
        "xml": "application/xml",
        "html": "text/html",
        "octets": "application/octet-stream",
        "problem": "application/problem+json",
        "empty": "",
        "garbage": ";;;===",
        "latin1": "application/json; charset=iso-8859-1",
        "utf16": "application/json; charset=utf-16",
        "unknown": "application/json; charset=klingon",
        "twice": "application/json, text/plain",
        "long": "application/json; a=" + "b" * 4000,
    }
    for word, value in others.items():
        name = f"encoding/type-{word}"
        base = kit.crowd(name)
        request = base.request.with_header("Content-Type", value)
        yield kit.case(name, base, request, f"Content-Type: {value[:60]}", _ANY)
    base = kit.crowd("encoding/type-absent")
    yield kit.case("encoding/type-absent", base, base.request.without("Content-Type"), "no Content-Type", _ANY)


def _codings(kit: Kit) -> Iterator[Case]:
    def coded(word: str, body: bytes, coding: str, summary: str, expect: Expect = _ANY) -> Case:
        name = f"encoding/{word}"
        base = kit.crowd(name)
        return kit.case(name, base, base.request.with_body(body).plus(("Content-Encoding", coding)), summary, expect)

    def packed(word: str, coding: str, summary: str) -> Case:
        name = f"encoding/{word}"
        base = kit.crowd(name)
        body = {
            "gzip": lambda: gzip.compress(base.body, mtime=0),
            "deflate": lambda: zlib.compress(base.body),
            "gzip, gzip": lambda: gzip.compress(gzip.compress(base.body, mtime=0), mtime=0),
            "GZIP": lambda: gzip.compress(base.body, mtime=0),
        }[coding]()
        return kit.case(name, base, base.request.with_body(body).plus(("Content-Encoding", coding)), summary, _ANY)

    yield packed("gzip-sound", "gzip", "a gzip body")
    yield packed("gzip-upper", "GZIP", "a gzip body, the coding in upper case")
    yield packed("gzip-double", "gzip, gzip", "gzip within gzip")
    yield packed("deflate-sound", "deflate", "a deflate body")
    plain = kit.crowd("encoding/gzip-lying")
    lying = plain.request.plus(("Content-Encoding", "gzip"))
    yield kit.case("encoding/gzip-lying", plain, lying, "gzip is announced, plain JSON comes", _ANY)
    small = gzip.compress(b'{"update_id":1}', mtime=0)
    yield coded("gzip-cut", small[:-6], "gzip", "a gzip body cut short")
    yield coded("gzip-header", small[:10], "gzip", "the header of gzip and nothing more")
    yield coded("gzip-checksum", small[:-8] + bytes(8), "gzip", "a gzip body with a wrong checksum")
    yield coded("gzip-trailing", small + b"garbage", "gzip", "garbage behind a gzip body")
    yield coded("gzip-members", small + small, "gzip", "two gzip members")
    yield coded("gzip-empty", gzip.compress(b"", mtime=0), "gzip", "nothing, compressed")
    yield coded("gzip-nothing", b"", "gzip", "an empty body said to be gzip")
    bomb = Expect(BIG, close=True, reach=Reach.NONE)
    yield coded("gzip-bomb", _bomb(), "gzip", "200 MB of blanks in 200 KB of gzip", bomb)
    yield coded(
        "gzip-bomb-double", gzip.compress(_bomb(), mtime=0), "gzip, gzip", "the same, compressed once more", bomb
    )
    for coding in ("br", "zstd", "compress", "identity", "x-gzip", "chaos", "", "gzip;q=1"):
        # What cannot be decoded is one mistake, whatever the coding.
        name = f"encoding/gzip-coding-{coding.replace(';', '-').replace('=', '') or 'empty'}"
        base = kit.crowd(name)
        request = base.request.plus(("Content-Encoding", coding))
        yield kit.case(name, base, request, f"Content-Encoding: {coding or '(empty)'} on plain JSON", _ANY)
    base = kit.crowd("encoding/gzip-unannounced")
    body = gzip.compress(base.body, mtime=0)
    yield kit.case("encoding/gzip-unannounced", base, base.request.with_body(body), "gzip without saying so", invalid())


@cache
def _bomb() -> bytes:
    """Blanks, so that it is no JSON whatever a server does with it, compressed once and repeated from one block.

    A deflate stream may be flushed at a byte boundary; a block in between only refers to what it flushed itself.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b" " * 1_000_000
    first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.flush(zlib.Z_FINISH)
    count = _BOMB // len(block)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    checksum = 0
    for _ in range(count):
        checksum = zlib.crc32(block, checksum)
    return head + first * count + end + checksum.to_bytes(4, "little") + (count * len(block)).to_bytes(4, "little")


def _expectations(kit: Kit) -> Iterator[Case]:
    def expecting(word: str, value: str, summary: str, pause_s: float, ending: Ending = Ending.WAIT) -> Case:
        name = f"encoding/{word}"
        base = kit.crowd(name)
        request = base.request.plus(("Expect", value))
        sound = Expect(BROKEN | {417}, close=True, reach=Reach.AT_MOST_ONCE)
        segments = (Segment(request.head), Segment(request.body, pause_s))
        return kit.case(name, base, segments, summary, sound, ending=ending)

    yield expecting("expect-continue", "100-continue", "Expect: 100-continue, the body comes a little later", 0.1)
    yield expecting("expect-unknown", "chaos", "an Expect that nobody knows", 0.0)
    name = "encoding/expect-abandoned"
    base = kit.crowd(name)
    request: RawRequest = base.request.plus(("Expect", "100-continue"))
    yield kit.case(
        name,
        base,
        (Segment(request.head),),
        "Expect: 100-continue, and no body follows",
        Expect(frozenset({1, 4}), close=True, reach=Reach.NONE),
        ending=Ending.HALF_CLOSE,
    )
    name = "encoding/accept-nothing"
    base = kit.crowd(name)
    request = base.request.with_header("Accept-Encoding", "identity;q=0").plus(("Accept", "image/png"))
    yield kit.case(name, base, request, "the sender accepts images only", _ANY)
