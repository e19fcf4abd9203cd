"""Signs a changed request as its original was signed: what was right stays right, and half a signature half a signature.

A case is sent more than once, as a delivery of its own each time, and smaller each time while it shrinks. A signature that no longer
fits its body would be refused, and the target would look mended.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from chaosbot.platforms._signatures import Style

_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*(\d+)[ \t]*\r?$")
_CODED: Final = re.compile(rb"(?im)^transfer-encoding:")
_SHORTEST: Final = 12
_SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (str, str.upper)


def resigned(style: Style, secret: str, before: bytes, after: bytes, later_s: int) -> bytes | None:
    """`after`, signed as `before` was; None where the signed body cannot be told from the framing around it.

    Args:
        style: The way of signing.
        secret: The secret that both are signed with.
        before: A request as it was built.
        after: The same request with another body (or the same one, for another time).
        later_s: How far the timestamp moves.
    """
    old, new = _plain(before), _plain(after)
    if old is None or new is None:
        return None
    head, body = old
    value = _value(head, style.header)
    stamp = _stamp(head, style)
    made = style.signed(secret, 0, body)
    identity = _value(head, style.id_header).decode("latin-1")
    signed = replace(made, message_id=identity, timestamp=stamp)
    right = style.signature(signed)
    moved = str(int(stamp) + later_s) if stamp.isascii() and stamp.isdigit() else stamp
    time_header = style.time_header or style.header
    spelling, size = _likeness(right, value)
    if not size:
        # Signed by somebody else: another body would not be what they signed.
        return _changed(head, time_header, stamp, moved) + b"\r\n\r\n" + body if new[1] == body else None
    derived = style.signed(secret, 0, new[1]).message_id if identity == made.message_id else identity
    fresh = spelling(style.signature(replace(signed, message_id=derived, timestamp=moved, body=new[1])))
    changed = _changed(new[0], style.id_header, identity, derived)
    changed = _changed(changed, time_header, stamp, moved)
    if style.legacy is not None:
        header, _, algorithm = style.legacy
        renewed = replace(signed, message_id=derived, timestamp=moved, body=new[1])
        changed = _changed(changed, header, style.signature(signed, algorithm), style.signature(renewed, algorithm))
    return _changed(changed, style.header, spelling(right)[:size], fresh[:size]) + b"\r\n\r\n" + new[1]


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
