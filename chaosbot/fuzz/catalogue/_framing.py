"""framing: requests that are no proper HTTP. Refused and closed, or read as RFC 9112 allows; never twice, never a server error."""

from __future__ import annotations

from collections.abc import Iterator

from chaosbot.core.case import Case, Ending, Expect, Reach, Segment
from chaosbot.core.kit import BROKEN, FRAMED, Base, Kit, RawRequest

_STRICT = Expect(FRAMED, close=True, reach=Reach.NONE)
"""No recipient may take this for a request."""
_LENIENT = Expect(FRAMED | BROKEN, close=True, reach=Reach.AT_MOST_ONCE)
"""Recipients may be lenient here."""


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    yield from _lengths(kit)
    yield from _chunks(kit)
    yield from _heads(kit)
    yield from _lines(kit)
    yield from _connections(kit)


def _one(
    kit: Kit, name: str, data: bytes, base: Base, summary: str, expect: Expect, ending: Ending = Ending.HALF_CLOSE
) -> Case:
    return kit.case(f"framing/{name}", base, (Segment(data),), summary, expect, ending=ending, check="no_server_error")


def _lengths(kit: Kit) -> Iterator[Case]:
    def length(name: str, value: bytes | None, summary: str, expect: Expect, more: bytes = b"") -> Case:
        base = kit.crowd(f"framing/{name}")
        request = base.request.without("Content-Length")
        if value is not None:
            value = value.replace(b"@", str(len(base.body)).encode())
            request = request.plus(*(("Content-Length", part) for part in value.split(b"|")))
        return _one(kit, name, request.data + more, base, summary, expect)

    yield length("length-short", b"10", "Content-Length says 10", _LENIENT)
    yield length("length-long", b"100000", "Content-Length says far more than is sent", _STRICT)
    yield length("length-one", b"@0", "Content-Length says ten times what is sent", _STRICT)
    yield length("length-missing", None, "neither Content-Length nor chunks", _LENIENT)
    yield length("length-zero", b"0", "Content-Length says 0, a body follows", _LENIENT)
    yield length("length-negative", b"-1", "Content-Length is -1", _STRICT)
    yield length("length-plus", b"+@", "Content-Length has a plus sign", _LENIENT)
    yield length("length-hex", b"0x10", "Content-Length is hexadecimal", _STRICT)
    yield length("length-word", b"many", "Content-Length is a word", _STRICT)
    yield length("length-empty", b"", "Content-Length is empty", _LENIENT)
    yield length("length-fraction", b"@.0", "Content-Length has a fraction", _STRICT)
    yield length("length-list", b"@, @", "Content-Length is a list of the same number", _LENIENT)
    yield length("length-twice", b"@|@", "Content-Length twice, the same", _LENIENT)
    yield length("length-differing", b"@|10", "Content-Length twice, differing", _STRICT)
    yield length("length-overflow", b"18446744073709551617", "Content-Length overflows 64 bits", _STRICT)
    yield length("length-digits", b"9" * 400, "Content-Length has 400 digits", _STRICT)


def _chunks(kit: Kit) -> Iterator[Case]:
    def chunked(
        name: str, framed: bytes, summary: str, expect: Expect, coding: str = "chunked", *, both: bool = False
    ) -> Case:
        base = kit.crowd(f"framing/{name}")
        request = base.request if both else base.request.without("Content-Length")
        request = request.plus(("Transfer-Encoding", coding))
        size, half = b"%x" % len(base.body), len(base.body) // 2
        parts = {
            b"<size>": size,
            b"<SIZE>": size.upper(),
            b"<half>": b"%x" % half,
            b"<rest>": b"%x" % (len(base.body) - half),
        }
        for word, value in parts.items():
            framed = framed.replace(word, value)
        framed = (
            framed.replace(b"<body>", base.body)
            .replace(b"<first>", base.body[:half])
            .replace(b"<last>", base.body[half:])
        )
        return _one(kit, name, request.head + framed, base, summary, expect)

    valid = Expect(frozenset({2, 411, 501}), close=True, reach=Reach.AT_MOST_ONCE)
    one = b"<size>\r\n<body>\r\n0\r\n\r\n"
    yield chunked("chunks-one", one, "one chunk (sound)", valid)
    yield chunked("chunks-two", b"<half>\r\n<first>\r\n<rest>\r\n<last>\r\n0\r\n\r\n", "two chunks (sound)", valid)
    yield chunked("chunks-extension", b"<size>;a=b\r\n<body>\r\n0\r\n\r\n", "a chunk extension (sound)", _LENIENT)
    yield chunked("chunks-trailer", b"<size>\r\n<body>\r\n0\r\nX-Trailer: 1\r\n\r\n", "a trailer (sound)", _LENIENT)
    yield chunked("chunks-upper", b"<SIZE>\r\n<body>\r\n0\r\n\r\n", "an upper-case size (sound)", valid)
    yield chunked("chunks-zeros", b"0000<size>\r\n<body>\r\n000\r\n\r\n", "sizes with leading zeros", _LENIENT)
    yield chunked("chunks-word", b"zz\r\n<body>\r\n0\r\n\r\n", "a size that is no number", _STRICT)
    yield chunked("chunks-negative", b"-5\r\n<body>\r\n0\r\n\r\n", "a negative size", _STRICT)
    yield chunked("chunks-prefix", b"0x<size>\r\n<body>\r\n0\r\n\r\n", "a size behind 0x", _STRICT)
    yield chunked(
        "chunks-overflow", b"FFFFFFFFFFFFFFFFF\r\n<body>\r\n0\r\n\r\n", "a size that overflows 64 bits", _STRICT
    )
    yield chunked("chunks-oversized", b"7fffffff\r\n<body>\r\n0\r\n\r\n", "a size far beyond what follows", _STRICT)
    yield chunked("chunks-short", b"5\r\n<body>\r\n0\r\n\r\n", "a size smaller than the chunk", _STRICT)
    yield chunked("chunks-unended", b"<size>\r\n<body>\r\n", "the last chunk is missing", _STRICT)
    yield chunked("chunks-bare", b"<size>\n<body>\n0\n\n", "bare line feeds", _LENIENT)
    yield chunked("chunks-none", b"0\r\n\r\n", "no chunk at all: an empty body", _LENIENT)
    yield chunked("chunks-raw", b"<body>", "no chunk framing", _STRICT)
    yield chunked("chunks-length", one, "Content-Length beside Transfer-Encoding", _LENIENT, both=True)
    yield chunked("coding-identity", one, "Transfer-Encoding identity", _LENIENT, "identity")
    yield chunked("coding-twice", one, "chunked twice", _LENIENT, "chunked, chunked")
    yield chunked("coding-gzip", one, "Transfer-Encoding gzip, chunked without gzip", _LENIENT, "gzip, chunked")
    yield chunked("coding-unknown", one, "an unknown Transfer-Encoding", _LENIENT, "xchunked")
    yield chunked("coding-padded", one, "Transfer-Encoding behind a vertical tab", _LENIENT, "\x0bchunked")
    yield chunked("coding-upper", one, "Transfer-Encoding in upper case (sound)", _LENIENT, "CHUNKED")


def _heads(kit: Kit) -> Iterator[Case]:
    def head(name: str, raw: bytes, summary: str, expect: Expect, place: str = "end") -> Case:
        base = kit.crowd(f"framing/{name}")
        line, _, rest = base.request.head.partition(b"\r\n")
        made = line + b"\r\n" + raw + rest if place == "start" else base.request.head[:-2] + raw + b"\r\n"
        return _one(kit, name, made + base.body, base, summary, expect)

    yield head("header-64k", b"X-Long: " + b"a" * 65_536 + b"\r\n", "a header of 64 KB", _LENIENT)
    yield head("header-1m", b"X-Long: " + b"a" * 1_000_000 + b"\r\n", "a header of 1 MB", _LENIENT)
    yield head("headers-1000", b"".join(b"X-%d: a\r\n" % n for n in range(1000)), "1000 headers", _LENIENT)
    yield head("headers-20000", b"".join(b"X-%d: a\r\n" % n for n in range(20_000)), "20 000 headers", _LENIENT)
    yield head("header-nul", b"X-Nul: a\x00b\r\n", "a NUL in a header", _LENIENT)
    yield head("header-cr", b"X-Cr: a\rb\r\n", "a bare CR in a header", _LENIENT)
    yield head("header-lf", b"X-Lf: a\nX-Injected: b\r\n", "a bare LF in a header", _LENIENT)
    yield head("header-latin1", b"X-Latin: caf\xe9\r\n", "a byte beyond ASCII in a header", _LENIENT)
    yield head("header-fold", b"X-Fold: a\r\n b\r\n", "a folded header", _LENIENT)
    yield head("header-space", b" X-Space: a\r\n", "white space before the first header", _LENIENT, "start")
    yield head("header-colon", b"X-No-Colon\r\n", "a header without colon", _LENIENT)
    yield head("header-nameless", b": value\r\n", "a header without name", _LENIENT)
    yield head("header-blank", b"X-Blank : a\r\n", "a blank before the colon", _LENIENT)
    yield head("header-badname", b"X@(Bad): a\r\n", "a name with characters that names may not have", _LENIENT)
    yield head("host-twice", b"Host: evil.example\r\n", "two Host headers", _LENIENT)
    yield head("connection-close", b"Connection: close\r\n", "Connection twice: keep-alive and close", _LENIENT)
    yield head("upgrade-h2c", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "an upgrade to HTTP/2", _LENIENT)
    yield head("upgrade-websocket", b"Upgrade: websocket\r\n", "an upgrade to WebSocket", _LENIENT)


def _lines(kit: Kit) -> Iterator[Case]:
    def line(name: str, made: str, summary: str, expect: Expect) -> Case:
        base = kit.crowd(f"framing/{name}")
        path = base.request.line.split(b" ")[1].decode()
        request = base.request.with_line(made.replace("<path>", path))
        return _one(kit, name, request.data, base, summary, expect)

    lost = Expect(FRAMED | {2, 4}, close=True, reach=Reach.AT_MOST_ONCE)
    yield line("version-0.9", "POST <path>", "HTTP/0.9", _LENIENT)
    yield line("version-1.0", "POST <path> HTTP/1.0", "HTTP/1.0 (sound)", lost)
    yield line("version-2", "POST <path> HTTP/2.0", "HTTP/2.0 in the request line", lost)
    yield line("version-9.9", "POST <path> HTTP/9.9", "HTTP/9.9", lost)
    yield line("version-word", "POST <path> HTML/1.1", "another protocol's name", lost)
    yield line("target-absolute", "POST http://evil.example<path> HTTP/1.1", "an absolute target of another host", lost)
    yield line("target-dots", "POST <path>/../../../etc/passwd HTTP/1.1", "a path upwards", lost)
    yield line("target-encoded", "POST <path>%00%2e%2e%2f HTTP/1.1", "a NUL and dots, encoded", lost)
    yield line("target-badcode", "POST <path>%zz HTTP/1.1", "a broken percent code", lost)
    yield line("target-slashes", "POST /<path> HTTP/1.1", "two slashes", lost)
    yield line("target-8k", "POST <path>?" + "a" * 8_190 + " HTTP/1.1", "a query of 8 KB", lost)
    yield line("target-64k", "POST <path>?" + "a" * 65_536 + " HTTP/1.1", "a query of 64 KB", lost)
    yield line("target-fragment", "POST <path>#top HTTP/1.1", "a fragment", lost)
    yield line("target-unicode", "POST <path>/é HTTP/1.1", "a path beyond ASCII", lost)
    yield line("line-blanks", "POST   <path>   HTTP/1.1", "several blanks in the request line", lost)
    yield line("line-tab", "POST\t<path>\tHTTP/1.1", "tabs in the request line", lost)
    yield line("method-long", "P" * 300 + " <path> HTTP/1.1", "a method of 300 letters", lost)
    yield line("method-asterisk", "OPTIONS * HTTP/1.1", "OPTIONS *", lost)
    yield line("method-connect", "CONNECT example.com:443 HTTP/1.1", "CONNECT", lost)


def _connections(kit: Kit) -> Iterator[Case]:
    base = kit.crowd("framing/tls-hello")
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(32) + b"\x20" + bytes(32) + b"\x00\x02\x13\x01" + bytes(400)
    yield _one(
        kit, "tls-hello", hello, base, "a TLS handshake on the plain port", Expect(FRAMED, close=True, reach=Reach.NONE)
    )
    openings = {
        "h2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), "HTTP/2 without asking"),
        "ssh-banner": (b"SSH-2.0-chaosbot\r\n", "SSH"),
        "nothing": (b"", "nothing at all"),
        "blank-lines": (b"\r\n" * 20, "blank lines only"),
        "nuls": (bytes(2000), "2000 NULs"),
        "proxy-line": (b"PROXY TCP4 149.154.167.220 127.0.0.1 443 80\r\n", "a PROXY protocol line alone"),
    }
    for word, (data, what) in openings.items():
        name = f"framing/{word}"
        # Some servers answer even that with a page of their own.
        expect = Expect(FRAMED | {4}, close=True, reach=Reach.NONE)
        yield _one(kit, word, data, kit.crowd(name), f"{what} on the port", expect)
    yield from _pipelines(kit)


def _pipelines(kit: Kit) -> Iterator[Case]:
    base = kit.crowd("framing/pipelined-blank")
    yield _one(
        kit,
        "pipelined-blank",
        b"\r\n\r\n" + base.request.data,
        base,
        "blank lines before the request (allowed)",
        _LENIENT,
    )
    base = kit.crowd("framing/pipelined-smuggled")
    inner = RawRequest(b"GET /chaosbot-smuggled HTTP/1.1", ((b"Host", b"localhost"),)).data
    request = base.request.without("Content-Length").plus(("Content-Length", "4"), ("Transfer-Encoding", "chunked"))
    yield _one(
        kit,
        "pipelined-smuggled",
        request.head + b"%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n",
        base,
        "a request hidden behind two lengths",
        _LENIENT,
    )
    base = kit.crowd("framing/pipelined-garbage")
    yield _one(
        kit,
        "pipelined-garbage",
        base.request.data + b"GARBAGE\r\n\r\n",
        base,
        "a sound request with garbage behind it",
        Expect(FRAMED | BROKEN, close=True, reach=Reach.AT_MOST_ONCE),
        Ending.WAIT,
    )
