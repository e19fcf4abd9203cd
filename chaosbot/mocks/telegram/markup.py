"""The Bot API's three markups, read as strictly as the real server reads them.

A bot that puts a user's words between its own markup without escaping them gets "can't parse entities" and its reply is lost:
one of the most common defects of bots, which a mock that takes every text would hide. Only what decides over refusal is
read here; entities themselves are not returned. Offsets are bytes, as in the real messages.
"""

from __future__ import annotations

import html
import re
from typing import Final

from chaosbot.mocks.telegram.call import BadCall

_TAGS: Final = frozenset(
    [
        "a",
        "b",
        "strong",
        "i",
        "em",
        "s",
        "strike",
        "del",
        "u",
        "ins",
        "tg-spoiler",
        "tg-emoji",
        "tg-time",
        "span",
        "pre",
        "code",
        "blockquote",
    ]
)
_START_TAG: Final = re.compile(rb"<([^\s>]*)((?:\s+[^\s=>]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?)*)\s*>")
_END_TAG: Final = re.compile(rb"</([^\s>]*)\s*>")
_RESERVED: Final = frozenset(b"_*[]()~`>#+-=|{}.!")
# What opens each entity of MarkdownV2, the longest first, with its name in messages and what closes it.
_OPENERS: Final = (
    (b"```", "Pre", b"```"),
    (b"__", "Underline", b"__"),
    (b"||", "Spoiler", b"||"),
    (b"![", "CustomEmoji", b"]"),
    (b"`", "Code", b"`"),
    (b"_", "Italic", b"_"),
    (b"*", "Bold", b"*"),
    (b"~", "Strikethrough", b"~"),
    (b"[", "TextUrl", b"]"),
)


def plain(text: str, parse_mode: str) -> str:
    """The text without its markup.

    Raises:
        BadCall: With the real server's words, when it cannot be parsed.
    """
    raw = text.encode("utf-8", "replace")
    match parse_mode.lower():
        case "" | "none":
            return text
        case "html":
            found = _html(raw)
        case "markdown":
            found = _markdown(raw)
        case "markdownv2":
            found = _markdown_v2(raw)
        case _:
            raise BadCall(400, "Bad Request: unsupported parse_mode")
    return found.decode("utf-8", "replace")


def _refuse(why: str) -> BadCall:
    return BadCall(400, f"Bad Request: can't parse entities: {why}")


def _html(raw: bytes) -> bytes:
    open_tags: list[str] = []
    out, position = bytearray(), 0
    while (start := raw.find(b"<", position)) >= 0:
        out += raw[position:start]
        if raw.startswith(b"</", start):
            if not open_tags:
                raise _refuse(f"Unexpected end tag at byte offset {start}")
            found = _END_TAG.match(raw, start)
            if found is None:
                raise _refuse(f"Unclosed end tag at byte offset {start}")
            expected, name = open_tags.pop(), _name(found[1])
            if name and name != expected:
                raise _refuse(f'Unmatched end tag at byte offset {start}, expected "</{expected}>", found "</{name}>"')
        else:
            found = _START_TAG.match(raw, start)
            name = _name(re.split(rb"[\s>]", raw[start + 1 :], maxsplit=1)[0])
            if found is None and b">" not in raw[start:]:
                raise _refuse(f"Unclosed start tag at byte offset {start}")
            if name not in _TAGS:
                raise _refuse(f'Unsupported start tag "{name}" at byte offset {start}')
            if found is None:
                raise _refuse(f'Unclosed start tag "{name}" at byte offset {start}')
            if name == "span" and b"tg-spoiler" not in found[2]:
                raise _refuse(f'Tag "span" must have class "tg-spoiler" at byte offset {start}')
            open_tags.append(name)
        position = found.end()
    if open_tags:
        raise _refuse(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    out += raw[position:]
    return html.unescape(out.decode("utf-8", "replace")).encode("utf-8", "replace")


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").lower()


def _markdown(raw: bytes) -> bytes:
    """The legacy markup: no nesting, a backslash escapes the four openers."""
    out, position = bytearray(), 0
    while position < len(raw):
        byte = raw[position : position + 1]
        if byte == b"\\" and raw[position + 1 : position + 2] in (b"_", b"*", b"`", b"["):
            out += raw[position + 1 : position + 2]
            position += 2
            continue
        if byte not in (b"_", b"*", b"`", b"["):
            out += byte
            position += 1
            continue
        opener = b"```" if raw.startswith(b"```", position) else byte
        closer = b"]" if opener == b"[" else opener
        end = raw.find(closer, position + len(opener))
        if end < 0:
            raise _refuse(f"Can't find end of the entity starting at byte offset {position}")
        out += raw[position + len(opener) : end]
        position = end + len(closer)
        if closer == b"]" and raw.startswith(b"(", position) and (url_end := raw.find(b")", position)) >= 0:
            position = url_end + 1
    return bytes(out)


def _markdown_v2(raw: bytes) -> bytes:
    out, position = bytearray(), 0
    nested: list[tuple[str, bytes, int]] = []
    while position < len(raw):
        byte = raw[position]
        if byte == 0x5C and raw[position + 1 : position + 2] and 0 < raw[position + 1] <= 126:
            out.append(raw[position + 1])
            position += 2
            continue
        literal = nested and nested[-1][0] in ("Code", "Pre") and byte != 0x60
        if literal or byte not in _RESERVED:
            out.append(byte)
            position += 1
            continue
        if nested and _closes(raw, position, nested[-1][1]):
            kind, closer, _ = nested.pop()
            position = _after_url(raw, position + len(closer), kind)
            continue
        if byte == 0x3E and (position == 0 or raw[position - 1] == 0x0A):  # a block quotation's line
            position += 1
            continue
        opener = next((entry for entry in _OPENERS if raw.startswith(entry[0], position)), None)
        if opener is None:
            raise _refuse(f"Character '{chr(byte)}' is reserved and must be escaped with the preceding '\\'")
        nested.append((opener[1], opener[2], position))
        position += len(opener[0])
    if nested:
        raise _refuse(f"Can't find end of {nested[-1][0]} entity at byte offset {nested[-1][2]}")
    return bytes(out)


def _closes(raw: bytes, position: int, closer: bytes) -> bool:
    # One underscore of two is the start of an underline, never the end of an italic.
    return raw.startswith(closer, position) and not (closer == b"_" and raw.startswith(b"__", position))


def _after_url(raw: bytes, position: int, kind: str) -> int:
    """Where the text goes on after a link's or an emoji's address."""
    if kind not in ("TextUrl", "CustomEmoji") or not raw.startswith(b"(", position):
        if kind == "CustomEmoji":
            raise _refuse("Custom emoji entity must contain a tg://emoji URL")
        return position
    end = position + 1
    while end < len(raw) and raw[end] != 0x29:
        end += 2 if raw[end] == 0x5C else 1
    if end >= len(raw):
        raise _refuse(f"Can't find end of a URL at byte offset {position + 1}")
    return end + 1
