"""structure: sound JSON with a mean shape: doubled keys, depths, masses, surrogates. Bounded time and memory, no other meaning."""

from __future__ import annotations

from collections.abc import Iterator

from chaosbot.core.case import Case, Change
from chaosbot.core.kit import BIG, Kit, broken, shaped
from chaosbot.core.verdict import Mechanism, Threat

_DEPTHS = (100, 500, 1_000, 1_025, 5_000, 20_000, 100_000)
_MEGA = 1_000_000


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    yield from _keys(kit)
    yield from _depths(kit)
    yield from _masses(kit)
    yield from _texts(kit)


def _with(
    kit: Kit, name: str, extra: bytes, summary: str, *, first: bool = False, change: Change | None = None
) -> Case:
    base = kit.crowd(name)
    body = base.body.strip()
    body = b"{" + extra + b"," + body[1:] if first else body[:-1] + b"," + extra + b"}"
    return kit.case(name, base, body, summary, broken(), change=change)


def _keys(kit: Kit) -> Iterator[Case]:
    members: dict[str, tuple[bytes, str]] = {
        "proto": (b'"__proto__":{"admin":true,"is_admin":true,"tier":"admin"}', "__proto__"),
        "constructor": (b'"constructor":{"prototype":{"admin":true}}', "constructor.prototype"),
        "class": (b'"__class__":"os.system","__init__":{"__globals__":{}}', "names of Python's inside"),
        "type": (b'"$type":"System.Diagnostics.Process","@class":"java.lang.Runtime"', "type hints of deserializers"),
        "operator": (b'"$where":"sleep(1)","$gt":""', "operators of a database"),
        "empty": (b'"":""', "an empty key"),
        "dotted": (b'"message.chat.id":1,"message[chat]":2', "paths as keys"),
        "nul": (b'"a\\u0000b":1', "a NUL in a key"),
        "nfc": ('"caf\u00e9":1,"cafe\u0301":2'.encode(), "two keys that are one after normalisation"),
        "fullwidth": ('"\uff4dessage":{"text":"hi"}'.encode(), "a key in full-width letters"),
        "zerowidth": ('"mes\u200bsage":{"text":"hi"}'.encode(), "a key with a zero-width space"),
        "escaped": (b'"\\u006dessage_two":1', "a key written in escapes"),
        "case": (b'"Message":{"text":"hi"},"MESSAGE":{}', "keys that differ only in case"),
        "long": (b'"' + b"k" * 100_000 + b'":1', "a key of 100 000 characters"),
        "surrogate": (b'"\\ud800":1', "half a surrogate pair as a key"),
    }
    for word, (extra, what) in members.items():
        yield _with(kit, f"structure/key-{word}", extra, f"one more member: {what}")
    keys = list(kit.golden[kit.platform.canary()])
    for word, key in {"id": keys[0], "payload": keys[-1]}.items():
        for value in ("1", "null"):
            extra = f'"{key}":{value}'.encode()
            change = shaped(f"structure/doubled-{word}-{value}")
            yield _with(
                kit, f"structure/doubled-{word}-{value}-last", extra, f"{key} twice, {value} comes last", change=change
            )
            yield _with(
                kit,
                f"structure/doubled-{word}-{value}-first",
                extra,
                f"{key} twice, {value} comes first",
                first=True,
                change=change,
            )


def _depths(kit: Kit) -> Iterator[Case]:
    for depth in _DEPTHS:
        for word, left, core, right in (("lists", b"[", b"", b"]"), ("objects", b'{"a":', b"0", b"}")):
            if word == "objects" and depth not in (500, 1_025, 20_000, 100_000):
                continue
            name = f"structure/nested-{word}-{depth}"
            yield _with(
                kit,
                name,
                b'"deep":' + left * depth + core + right * depth,
                f"{depth} {word} inside each other",
                change=Change(Mechanism.DEPTH),
            )
    for depth in (1_000, 100_000):
        for word, body in (("open", b"[" * depth), ("root", b"[" * depth + b"]" * depth), ("keys", b'{"a":' * depth)):
            name = f"structure/deep-{word}-{depth}"
            yield kit.case(
                name,
                kit.crowd(name),
                body,
                f"{depth} brackets: {word}",
                broken(statuses=BIG),
                change=Change(Mechanism.DEPTH),
            )


def _masses(kit: Kit) -> Iterator[Case]:
    def mass(name: str, extra: bytes, summary: str) -> Case:
        base = kit.crowd(name)
        body = base.body.strip()[:-1] + b"," + extra + b"}"
        # A server that stops reading in the middle resets; that is its right.
        return kit.case(name, base, body, summary, broken(close=True, statuses=BIG), check="no_hang")

    block = b",".join(b'"@%03d":0' % number for number in range(1000))
    keys = b",".join(block.replace(b"@", b"%03d" % number) for number in range(1000))
    yield mass("structure/million-keys", keys, "a million members")
    yield mass("structure/many-items", b'"many":[' + b"0," * 500_000 + b"0]", "a list of 500 000 zeros")
    yield mass("structure/many-objects", b'"many":[' + b"{}," * 200_000 + b"{}]", "a list of 200 000 empty objects")
    yield mass("structure/huge-string", b'"pad":"' + b"x" * (10 * _MEGA) + b'"', "a string of 10 MB")
    yield mass("structure/huge-escapes", b'"pad":"' + b"\\u0041" * 200_000 + b'"', "a string of 200 000 escapes")
    yield mass("structure/huge-blanks", b" " * (2 * _MEGA) + b'"pad":1', "2 MB of white space")
    yield mass("structure/large-body", b'"pad":"' + b"x" * 900_000 + b'"', "a body just below a megabyte")
    yield mass("structure/huge-body", b'"pad":"' + b"x" * (12 * _MEGA) + b'"', "a body of 12 MB")
    # Telegram sends up to about 64 KiB.
    yield mass("structure/large-64k", b'"pad":"' + b"x" * 60_000 + b'"', "a body of 60 KB")


def _texts(kit: Kit) -> Iterator[Case]:
    texts: dict[str, tuple[bytes, str]] = {
        "high": (b"\\ud83d", "half an emoji"),
        "low": (b"\\ude00", "the other half of an emoji"),
        "swapped": (b"\\ude00\\ud83d", "an emoji's halves swapped"),
        "nul": (b"a\\u0000b", "an escaped NUL"),
        "bell": (b"\\u0007\\u001b[2J", "control characters"),
        "slash": (b"\\/\\/", "escaped slashes"),
        "noncharacter": (b"\\uffff\\ufffe", "noncharacters"),
        "zalgo": (("Z" + "\u0321\u0348\u030b" * 300).encode(), "900 marks on a letter"),
        "bidi": ("\u202egnp.exe\u202c\u2066x".encode(), "direction overrides"),
        "ligature": ("\ufdfa".encode() * 50, "a ligature that normalises to 18 letters"),
        "format": (b"%s%s%n {0.__class__} ${7*7} {{7*7}}", "format strings and templates"),
        "shell": (b"$(id) `id` ; id | id && id", "shell commands"),
        "sql": (b"'; DROP TABLE users; --", "SQL"),
        "html": (b"<script>alert(1)</script><b>", "HTML"),
        "path": (b"../../../../etc/passwd", "a path upwards"),
        "crlf": (b"a\\r\\nSet-Cookie: a=b\\r\\n\\r\\n", "line ends as in headers"),
    }  # fmt: skip
    for word, (data, what) in texts.items():
        name = f"structure/text-{word}"
        case = _with(kit, name, b'"chaosbot":"' + data + b'"', f"an unknown member's text: {what}")
        yield case
    name = "structure/unknown-members"
    base = kit.crowd(name)
    body = base.body.strip()[:-1] + b',"new_in_a_later_version":{"a":[1,2,{"b":null}]},"x":true}'
    yield kit.case(
        name, base, body, "members of a later version", broken(), threat=Threat.NETWORK, check="no_server_error"
    )
