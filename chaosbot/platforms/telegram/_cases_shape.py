"""shape: each member that a bot relies on is dropped, nulled, retyped and wrapped in a list. Ignored or refused, never a crash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaosbot.core.case import Case
from chaosbot.core.kit import Path, broken, member, misshapen
from chaosbot.platforms.telegram._case_kit import Pen

_PATHS: Final[dict[str, tuple[str, tuple[Path, ...]]]] = {
    "message/text": (
        "message",
        (
            ("from",),
            ("from", "id"),
            ("from", "is_bot"),
            ("from", "first_name"),
            ("message_id",),
            ("date",),
            ("chat",),
            ("chat", "id"),
            ("chat", "type"),
            ("text",),
        ),
    ),
    "command/status": ("message", (("entities",), ("entities", 0, "type"), ("entities", 0, "length"))),
    "callback_query/category": (
        "callback_query",
        (("id",), ("from",), ("message",), ("message", "chat"), ("message", "chat", "id"), ("data",)),
    ),
    "message/voice": ("message", (("voice",), ("voice", "file_id"))),
    "message/photo": ("message", (("photo",), ("photo", 0))),
    "message/document": ("message", (("document",),)),
    "edited_message/text": ("edited_message", (("from",), ("chat",))),
    "message/forward_user": ("message", (("forward_origin",),)),
    "inline_query": ("inline_query", (("from",),)),
}
"""What bots read without looking; the mutation stage takes every other member in turn."""


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of this group."""
    for golden, (kind, paths) in _PATHS.items():
        for path in paths:
            spelled = ".".join(map(str, path))
            for how in ("dropped", "null", "retyped", "wrapped"):
                name = f"shape/{golden.replace('/', '-')}/{spelled}-{how}"
                base = pen.kit.base(name, golden)
                wrong = {way: (what, value) for way, what, value in misshapen(base.update, (kind, *path))}
                summary, value = wrong[how]
                # The base keeps chat and marker; what is sent is the wrong one.
                request = pen.kit.wrap(value).request
                yield pen.kit.case(name, base, request, summary, broken(), change=member((kind, *path), kind, how))
