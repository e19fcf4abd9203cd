"""Requests as bytes: where head and body are, whether they are whole, and the same request as a delivery of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from chaosbot.core.case import Case, Ending, Reading, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.marker import marker
from chaosbot.core.platform import Platform

_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,12})[ \t]*\r?$")
_CHUNKED: Final = re.compile(rb"(?im)^transfer-encoding:[ \t]*chunked[ \t]*\r?$")

Signer: TypeAlias = Callable[[Case, Case], Case | None]
"""Signs a changed case as its original was signed; None where that cannot be done."""

QUICK_S: Final = 0.6
"""Cases that pause for longer than this together run beside the others instead of among them."""


def split(request: bytes) -> tuple[bytes, bytes] | None:
    """Head (with the empty line) and body; None when the head does not end."""
    head, separator, body = request.partition(b"\r\n\r\n")
    return (head + separator, body) if separator else None


def whole(case: Case) -> bool:
    """Whether the case sends a complete request and waits for the answer, so that a correct server must answer it."""
    if case.ending in (Ending.CLOSE, Ending.RESET) or case.reading is Reading.NEVER:
        return False
    parts = split(case.request)
    if parts is None:
        return False
    head, body = parts
    if _CHUNKED.search(head):
        return body.endswith(b"0\r\n\r\n")
    lengths = [int(length) for length in _LENGTH.findall(head)]
    return max(lengths, default=0) <= len(body)


def pauses(case: Case) -> float:
    """How long the case itself takes, in seconds."""
    return sum(segment.pause_s for segment in case.segments)


def slow(case: Case) -> bool:
    """Whether the case takes its time: it pauses, waits for the answer to half a request, or never reads."""
    leaves = case.ending in (Ending.CLOSE, Ending.RESET)
    return pauses(case) > QUICK_S or case.reading is Reading.NEVER or not (leaves or whole(case))


def with_body(request: bytes, body: bytes) -> bytes | None:
    """The request with another body and a Content-Length that is right; None when it has no single plain length."""
    parts = split(request)
    if parts is None or len(_LENGTH.findall(parts[0])) != 1 or _CHUNKED.search(parts[0]):
        return None
    length = _LENGTH.search(parts[0])
    if length is None or int(length[1]) != len(parts[1]):
        return None
    start, end = length.span(1)
    return parts[0][:start] + str(len(body)).encode() + parts[0][end:] + body


def with_length(request: bytes, length: int) -> bytes | None:
    """The request's head alone, announcing a body of this length; None when it has no single plain length."""
    parts = split(request)
    if parts is None or len(_LENGTH.findall(parts[0])) != 1:
        return None
    found = _LENGTH.search(parts[0])
    if found is None:
        return None
    start, end = found.span(1)
    return parts[0][:start] + str(length).encode() + parts[0][end:]


def unsigned(before: Case, after: Case) -> Case | None:
    """Signs nothing."""
    del before
    return after


def resigned(platform: Platform, secret: str, before: Case, after: Case, later_s: int = 0) -> Case | None:
    """The case `after`, signed as `before` was; None where that cannot be done (`Platform.resigned`)."""
    if not platform.signs or not secret:
        return after
    request = platform.resigned(secret, before.request, after.request, later_s)
    if request is None:
        return None
    segments: list[Segment] = []
    for segment in after.segments[:-1]:
        segments.append(Segment(request[: len(segment.data)], segment.pause_s))
        request = request[len(segment.data) :]
    return replace(after, segments=(*segments, Segment(request, after.segments[-1].pause_s)))


def renumbered(case: Case, old: int, new: int, sign: Signer, **members: Any) -> Case | None:
    """The same case with another number wherever one stands in its body, signed anew.

    Args:
        case: The case.
        old: The number that stands there.
        new: What stands there then.
        sign: Signs it as the case is signed.
        members: Members of the case that follow from it.

    Returns:
        None where the body cannot be changed so, or not be signed.
    """
    parts = split(case.request)
    request = with_body(case.request, parts[1].replace(str(old).encode(), str(new).encode())) if parts else None
    return sign(case, replace(case, segments=(Segment(request),), **members)) if request is not None else None


def renewed(case: Case, dice: Dice, sign: Signer = unsigned, ids: Dice | None = None) -> Case:
    """The same case as a delivery of its own: another marker and another delivery id, of the same length.

    A target that recognises duplicates would not show its bug a second time. What is compressed stays as it is, and so does what is
    signed and cannot be signed anew. Cases renewed with the same `ids` keep the order of their delivery ids.
    """
    swaps: list[tuple[bytes, bytes]] = []
    changes: dict[str, object] = {}
    if case.marker:
        new = marker(dice)
        swaps.append((case.marker.encode(), new.encode()))
        changes["marker"] = new
    if isinstance(case.update_id, int) and not isinstance(case.update_id, bool) and case.update_id >= 10_000:
        digits = str(case.update_id)
        low = 10 ** (len(digits) - 1)
        # Upwards, as a platform's ids rise, and within the same length: from the top it goes on at the bottom, since an id that stays
        # at the top is the same delivery again.
        rise = (ids or dice).at("id").integer(1, max(1, low // 20))
        number = low + (case.update_id - low + rise) % (9 * low)
        if b'"update_id"' in case.request:
            swaps.append((digits.encode(), str(number).encode()))
            changes["update_id"] = number
    if case.callback and re.fullmatch(r"[1-9][0-9]{7,29}", case.callback):
        # A press is answered once; the same id again would be answered to the first.
        press = str(dice.at("press").integer(10 ** (len(case.callback) - 1), 10 ** len(case.callback) - 1))
        swaps.append((b'"%b"' % case.callback.encode(), b'"%b"' % press.encode()))
        changes["callback"] = press
    if not swaps:
        return case
    segments = case.segments
    for old, fresh in swaps:
        segments = tuple(Segment(segment.data.replace(old, fresh), segment.pause_s) for segment in segments)
    planted = str(changes.get("marker", ""))
    if planted and planted.encode() not in b"".join(segment.data for segment in segments):
        changes.pop("marker")  # cut over segments, or encoded: it was not replaced
    fresh_case = replace(case, segments=segments, **changes)  # type: ignore[arg-type]
    return sign(case, fresh_case) or case
