"""update_kinds: every documented kind is acknowledged, and so is what a later version brings.

Anything but 2xx makes the platform deliver it again and again, and holds back what stands behind it in its chat.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chaosbot.core.case import Case, Change
from chaosbot.core.kit import accepted, broken
from chaosbot.core.verdict import Mechanism
from chaosbot.platforms.telegram._case_kit import Pen
from chaosbot.platforms.telegram._parts import message
from chaosbot.platforms.telegram._users import person


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of this group."""
    for name in pen.kit.golden:
        case_name = f"update_kinds/{name.replace('/', '-')}"
        base = pen.kit.base(case_name, name)
        yield pen.case(
            case_name, base, f"a valid {name}", accepted(), change=Change(Mechanism.KIND, base.facts.kind or "")
        )
    yield from _unknown(pen)
    yield from _ids(pen)


def _unknown(pen: Pen) -> Iterator[Case]:
    payload: dict[str, Any] = {
        "id": "1",
        "from": person(pen.someone("update_kinds/unknown")),
        "of_a_later_version": True,
    }
    roots: dict[str, tuple[dict[str, Any], str]] = {
        "object": ({"kind_of_a_later_version": payload}, "a kind of a later version"),
        "members": ({"kind_of_a_later_version": payload, "more": 1}, "a kind of a later version and another member"),
        "text": ({"kind_of_a_later_version": "text"}, "a kind of a later version that is a text"),
        "list": ({"kind_of_a_later_version": []}, "a kind of a later version that is a list"),
        "null": ({"kind_of_a_later_version": None}, "a kind of a later version that is null"),
        "none": ({}, "no payload"),
    }
    for word, (root, what) in roots.items():
        name = f"update_kinds/unknown-{word}"
        base = pen.base({"update_id": pen.place(name).update_id, **root})
        yield pen.case(name, base, f"an update with {what}", accepted())
    payloads: dict[str, Any] = {"null": None, "empty": {}, "list": [], "text": "hi", "number": 7, "true": True}
    for word, value in payloads.items():
        for kind in ("message", "callback_query", "edited_message", "inline_query"):
            name = f"update_kinds/payload-{word}-{kind.replace('_', '')}"
            base = pen.base({"update_id": pen.place(name).update_id, kind: value})
            yield pen.case(
                name,
                base,
                f"{kind} is {json.dumps(value)}",
                broken(),
                threat=pen.kit.intruder,
                change=Change(Mechanism.PAYLOAD, operator=word),
            )
    for first, second in (("message", "edited_message"), ("edited_message", "message"), ("message", "callback_query")):
        name = f"update_kinds/two-{first.replace('_', '')}-{second.replace('_', '')}"
        place = pen.place(name)
        who = pen.someone(name)
        one = message(place, who, text=f"one {place.marker}")
        two = message(place, who, text=f"two {place.marker}", edit_date=pen.date)
        base = pen.base({"update_id": place.update_id, first: one, second: two})
        yield pen.case(name, base, f"two payloads: {first} and {second}", broken(), threat=pen.kit.intruder)
    name = "update_kinds/message-later"
    base = pen.message(name, of_a_later_version={"a": 1})
    later = {"of_a_later_version": [1], **base.update}
    yield pen.case(name, pen.base(later), "a message beside a member of a later version", accepted())


def _ids(pen: Pen) -> Iterator[Case]:
    values: dict[str, Any] = {
        "null": None,
        "string": "17",
        "word": "chaos",
        "zero": 0,
        "negative": -1,
        "fraction": 1.5,
        "true": True,
        "list": [1],
        "bits31": 2**31 - 1,
        "bits32": 2**32 + 1,
        "bits63": 2**63,
        "bits64": 2**64,
        "digits": 10**300,
    }
    for word, value in values.items():
        name = f"update_kinds/id-{word}"
        base = pen.message(name)
        made = pen.base(base.update | {"update_id": value})
        summary = f"update_id is {str(value)[:20]}"
        yield pen.case(name, made, summary, broken(), threat=pen.kit.intruder)
    name = "update_kinds/id-absent"
    base = pen.message(name)
    made = pen.base({key: value for key, value in base.update.items() if key != "update_id"})
    yield pen.case(name, made, "update_id is missing", broken(), threat=pen.kit.intruder)
