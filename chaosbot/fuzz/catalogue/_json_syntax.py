"""json: bodies that are no JSON, nearly JSON, or JSON of the wrong kind."""

from __future__ import annotations

from collections.abc import Iterator

from chaosbot.core.case import Case, Change
from chaosbot.core.kit import Kit, broken, invalid, shaped
from chaosbot.core.verdict import Mechanism

_STRUCTURAL = frozenset(b'{}[]:,"')
_CUTS = 14
_NO_JSON = Change(Mechanism.SYNTAX)

# Bodies that have nothing to do with an update. True: no correct parser accepts it.
_BODIES: dict[str, tuple[bytes, bool, str]] = {
    "empty": (b"", True, "an empty body"),
    "blank": (b" \r\n\t ", True, "white space only"),
    "word": (b"hello", True, "a word without quotes"),
    "brace": (b"{", True, "one opening brace"),
    "closed": (b"}", True, "one closing brace"),
    "key": (b'{"update_id"', True, "a key without value"),
    "colon": (b'{"update_id" 1}', True, "a missing colon"),
    "comma": (b'{"update_id":1 "message":{}}', True, "a missing comma"),
    "commas": (b'{"update_id":1,,"message":{}}', True, "two commas"),
    "leading": (b'{,"update_id":1}', True, "a leading comma"),
    "trailing": (b'{"update_id":1,}', True, "a trailing comma"),
    "single": (b"{'update_id':1}", True, "single quotes"),
    "unquoted": (b"{update_id:1}", True, "a key without quotes"),
    "python": (b'{"update_id":1,"message":None}', True, "Python's None"),
    "upper": (b'{"update_id":1,"message":TRUE}', True, "an upper-case literal"),
    "undefined": (b'{"update_id":1,"message":undefined}', True, "JavaScript's undefined"),
    "escape": (b'{"update_id":1,"a":"\\x41"}', True, "an escape that JSON does not know"),
    "unicode": (b'{"update_id":1,"a":"\\u12"}', True, "a short \\u escape"),
    "backslash": (b'{"update_id":1,"a":"\\"}', True, "a backslash before the closing quote"),
    "mismatch": (b'{"update_id":[1}', True, "brackets that do not match"),
    "nul": (b'{"update_id":1}\x00', True, "a NUL behind it"),
    "form": (b"update_id=1&message=hi", True, "form data"),
    "xml": (b"<?xml version='1.0'?><update id='1'/>", True, "XML"),
    "entity": (
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>',
        True,
        "XML with an external entity",
    ),
    "yaml": (b"update_id: 1\nmessage: !!python/object/apply:os.getpid []\n", True, "YAML with a constructor"),
    "pickle": (b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00}\x94.", True, "a pickle"),
    "msgpack": (b"\x81\xa9update_id\x01", True, "MessagePack"),
    "binary": (bytes(range(256)), True, "all 256 bytes"),
    "lines": (b'{"update_id":1}\n{"update_id":2}\n', True, "two documents, one a line"),
}

_ROOTS: dict[str, bytes] = {
    "null": b"null",
    "true": b"true",
    "false": b"false",
    "zero": b"0",
    "number": b"42",
    "negative": b"-1",
    "fraction": b"1.5",
    "string": b'"update"',
    "blank": b'""',
    "list": b"[]",
    "lists": b"[[]]",
    "object": b"{}",
    "nulls": b"[null,null]",
}


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    for name, (body, wrong, summary) in _BODIES.items():
        yield kit.case(
            f"json/{name}",
            kit.crowd(f"json/{name}"),
            body,
            summary,
            invalid() if wrong else broken(),
            change=_NO_JSON if wrong else None,
        )
    for name, body in _ROOTS.items():
        summary = f"the root is {body.decode()}"
        yield kit.case(
            f"json/root-{name}",
            kit.crowd(f"json/root-{name}"),
            body,
            summary,
            broken(),
            change=shaped(f"json/root-{name}"),
        )
    yield from _cut(kit)
    yield from _around(kit)
    yield from _encodings(kit)


def _cut(kit: Kit) -> Iterator[Case]:
    """The update cut at structural points, spread evenly over it."""
    length = len(kit.crowd("json/truncated").body)
    body = kit.crowd("json/truncated").body
    points = [number for number in range(1, len(body)) if body[number] in _STRUCTURAL]
    step = max(1, len(points) // _CUTS)
    for number, point in enumerate(points[::step][:_CUTS], 1):
        base = kit.crowd(f"json/truncated-{number}")
        # Ids differ in length between updates; the cut keeps its relative place.
        cut = base.body[: max(1, min(point * len(base.body) // length, len(base.body) - 1))]
        summary = f"cut after {len(cut)} of {len(base.body)} bytes"
        yield kit.case(f"json/truncated-{number}", base, cut, summary, invalid(), change=_NO_JSON)
    for name, size in (("last", -1), ("first", 1)):
        base = kit.crowd(f"json/truncated-{name}")
        kept = "all but the last byte" if size < 0 else "the first byte only"
        yield kit.case(f"json/truncated-{name}", base, base.body[:size], kept, invalid(), change=_NO_JSON)


def _around(kit: Kit) -> Iterator[Case]:
    """Something before, behind or inside an update that is valid itself."""
    around: dict[str, tuple[bytes, bytes, bool, str]] = {
        "garbage-behind": (b"", b"x", True, "a letter behind it"),
        "brace-behind": (b"", b"}", True, "one brace too many"),
        "bracket-behind": (b"", b"]", True, "a bracket behind it"),
        "comma-behind": (b"", b",", True, "a comma behind it"),
        "second-behind": (b"", b'{"update_id":1}', True, "a second document behind it"),
        "semicolon-behind": (b"", b";", True, "a semicolon behind it"),
        "newlines-behind": (b"", b"\r\n\r\n\n", False, "line ends behind it"),
        "blanks-before": (b" \r\n\t", b"", False, "white space before it"),
        "garbage-before": (b"x", b"", True, "a letter before it"),
        "guard-before": (b")]}',\n", b"", True, "a guard against inclusion before it"),
        "nbsp-before": ("\u00a0".encode(), b"", True, "a no-break space before it"),
        "formfeed-before": (b"\x0c", b"", True, "a form feed before it"),
        "comment-before": (b"/* hi */", b"", True, "a comment before it"),
        "comment-behind": (b"", b" // hi", True, "a line comment behind it"),
        "hash-behind": (b"", b"\n# hi", True, "a hash comment behind it"),
        "bom-before": (b"\xef\xbb\xbf", b"", False, "a byte order mark before it"),
        "callback-around": (b"callback(", b")", True, "wrapped in a function call"),
        "list-around": (b"[", b"]", False, "wrapped in a list"),
        "string-around": (b'"', b'"', True, "wrapped in quotes that are not escaped"),
    }
    for name, (before, behind, wrong, summary) in around.items():
        base = kit.crowd(f"json/{name}")
        yield kit.case(
            f"json/{name}",
            base,
            before + base.body + behind,
            summary,
            invalid() if wrong else broken(),
            change=_NO_JSON if wrong else None,
        )


def _encodings(kit: Kit) -> Iterator[Case]:
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-7", "cp037"):
        base = kit.crowd(f"json/{name}")
        body = base.body.decode().encode(name, "replace")
        # UTF-7 leaves an update without special characters nearly as it was; parsers that sniff accept UTF-16.
        yield kit.case(f"json/{name}", base, body, f"encoded as {name.upper()}", broken())
    raw: dict[str, tuple[bytes, str]] = {
        "overlong": (b"\xc0\xaf", "an overlong slash"),
        "overlong3": (b"\xe0\x80\xaf", "an overlong slash of three bytes"),
        "nul-overlong": (b"\xc0\x80", "an overlong NUL"),
        "surrogate": (b"\xed\xa0\x80", "half a surrogate pair"),
        "pair": (b"\xed\xa0\xbd\xed\xb8\x80", "a surrogate pair, each half encoded by itself"),
        "cut": (b"\xf0\x9f\x99", "a character cut short"),
        "lone": (b"\x80", "a continuation byte by itself"),
        "beyond": (b"\xf4\x90\x80\x80", "a character beyond Unicode"),
        "five": (b"\xf8\x88\x80\x80\x80", "a sequence of five bytes"),
        "latin1": (b"caf\xe9", "Latin-1"),
        "ff": (b"\xff\xfe", "the bytes FF FE"),
    }
    for name, (data, summary) in raw.items():
        base = kit.crowd(f"json/utf8-{name}")
        yield kit.case(f"json/utf8-{name}", base, _member(base.body, b'"%b"' % data), summary, broken())
    control: dict[str, tuple[bytes, str]] = {
        "nul": (b"a\x00b", "a NUL"),
        "newline": (b"a\nb", "a line end"),
        "tab": (b"a\tb", "a tab"),
        "escape": (b"a\x1b[31mb", "an escape sequence of terminals"),
    }
    for name, (data, summary) in control.items():
        base = kit.crowd(f"json/raw-{name}")
        yield kit.case(
            f"json/raw-{name}", base, _member(base.body, b'"%b"' % data), f"{summary} unescaped in a string", broken()
        )
    base = kit.crowd("json/raw-delete")
    yield kit.case("json/raw-delete", base, _member(base.body, b'"a\x7fb"'), "a DEL in a string (allowed)", broken())


def _member(body: bytes, value: bytes) -> bytes:
    """The body with one more member."""
    stripped = body.rstrip()
    return stripped[:-1] + b',"chaosbot":' + value + b"}" if stripped.endswith(b"}") else body + value
