"""Makes a case smaller while it keeps breaking the same check for the same reason.

A delta debugger over the request's body: JSON is cut member by member, list by list and text by text, anything else by runs of
bytes. Every attempt is a delivery of its own. What is not a plain body with a right length stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from chaosbot.core.case import Case, Segment
from chaosbot.core.jsontext import read_json
from chaosbot.fuzz.requests import Signer, split, unsigned, with_body

_HUGE: Final = 4_000
_DEEP: Final = 50
Still = Callable[[Case], bool]


def minimize(case: Case, still: Still, *, attempts: int = 80, sign: Signer = unsigned) -> Case:
    """The smallest case found within so many attempts.

    Args:
        case: What shows it.
        still: Sends an attempt and tells whether it shows the same.
        attempts: Most calls of `still`.
        sign: Signs an attempt as the case was signed.
    """
    parts = split(case.request)
    if parts is None or len(case.segments) != 1 or with_body(case.request, parts[1]) is None:
        return case
    left = [attempts]

    def works(body: bytes) -> Case | None:
        request = with_body(case.request, body)
        if request is None or left[0] <= 0:
            return None
        left[0] -= 1
        attempt = sign(case, replace(case, segments=(Segment(request, case.segments[0].pause_s),)))
        return attempt if attempt is not None and still(attempt) else None

    try:
        document = read_json(parts[1])
    except ValueError:
        return _minimize_bytes(case, parts[1], works, left)
    return _minimize_json(case, document, works, left)


def enough(before: Case, after: Case) -> str:
    """How much of a huge case is left, for a summary: ``; 900 levels are enough``; empty where it is still huge."""
    was, body = ((split(case.request) or (b"", b""))[1] for case in (before, after))
    if len(was) < _HUGE or len(body) > len(was) // 2:
        return ""
    levels = _levels(body)
    return f"; {levels} levels are enough" if levels > _DEEP else f"; {len(body)} bytes are enough"


def _levels(data: bytes) -> int:
    """How deep brackets stand inside each other."""
    depth = deepest = 0
    for byte in data:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def _minimize_json(case: Case, document: Any, works: Callable[[bytes], Case | None], left: list[int]) -> Case:
    best, progressed = case, True
    while progressed and left[0] > 0:
        progressed = False
        for smaller in _smaller(document):
            if left[0] <= 0:
                break
            try:
                body = json.dumps(smaller, separators=(",", ":"), ensure_ascii=False).encode()
            except (UnicodeEncodeError, RecursionError, ValueError):
                body = json.dumps(smaller, separators=(",", ":")).encode()
            if len(body) >= len(split(best.request)[1]):  # type: ignore[index]
                continue
            attempt = works(body)
            if attempt is not None:
                best, document, progressed = attempt, smaller, True
                break
    return best


def _smaller(value: Any, depth: int = 0) -> Iterator[Any]:
    """Values with one thing less, the biggest cuts first."""
    if depth > 8:
        return
    if isinstance(value, dict):
        for key in sorted(value, key=lambda name: -len(json.dumps(value[name], default=str))):
            if not (depth == 0 and key == "update_id"):
                yield {name: item for name, item in value.items() if name != key}
        for key, item in value.items():
            for smaller in _smaller(item, depth + 1):
                yield {**value, key: smaller}
    elif isinstance(value, list):
        if len(value) > 1:
            yield value[: len(value) // 2]
            yield value[len(value) // 2 :]
        if value:
            yield []
        for number, item in enumerate(value[:4]):
            for smaller in _smaller(item, depth + 1):
                yield [*value[:number], smaller, *value[number + 1 :]]
    elif isinstance(value, str) and len(value) > 8:
        yield value[: len(value) // 2]
        yield value[len(value) // 2 :]
        yield value[: len(value) * 9 // 10]


def _minimize_bytes(case: Case, body: bytes, works: Callable[[bytes], Case | None], left: list[int]) -> Case:
    best = case
    size = max(1, len(body) // 2)
    while size and left[0] > 0:
        start = 0
        while start < len(body) and left[0] > 0:
            shorter = body[:start] + body[start + size :]
            attempt = works(shorter)
            if attempt is not None:
                best, body = attempt, shorter
            else:
                start += size
        size //= 2
    return best
