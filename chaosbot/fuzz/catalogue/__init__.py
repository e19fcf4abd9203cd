"""The catalogue: deterministic cases, found by others' accidents, around the golden updates of a platform.

Rules:

- Pure: the same platform, endpoint and dice give the same cases, with the same names, in the same order.
- What is expected raises nothing on a correct server: generous where specifications and implementations differ, strict where
  they do not (the secret; valid updates; no server error ever).
- A case of a real user carries the right secret; a forger's does not.
- Controls come before the cases that are compared with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.core.case import Case, Ending, Expect, Reach, Reading
from chaosbot.core.dice import Dice
from chaosbot.core.kit import Kit
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.fuzz.catalogue import (
    _auth,
    _encoding,
    _framing,
    _json_syntax,
    _numbers,
    _sequence,
    _shape,
    _structure,
    _timing,
)

stranger_flood = _auth.flood

GROUPS: Final[dict[str, Callable[[Kit], Iterator[Case]]]] = {
    "auth": _auth.cases,
    "pages": _auth.pages,
    "json": _json_syntax.cases,
    "numbers": _numbers.cases,
    "structure": _structure.cases,
    "framing": _framing.cases,
    "encoding": _encoding.cases,
    "timing": _timing.cases,
    "sequence": _sequence.cases,
    "shape": _shape.cases,
}
"""The neutral groups; a platform that brings a group of the same name replaces it."""


def cases(platform: Platform, endpoint: Endpoint, dice: Dice, ordinary: str = "") -> tuple[Case, ...]:
    """All cases for a target: the platform's own and the neutral ones, in the order in which they are best sent.

    Args:
        platform: How the target is spoken to.
        endpoint: Where it is.
        dice: The campaign's place.
        ordinary: What is written so that the target answers; empty where any text is.
    """
    # The start belongs to the delivery ids: a second campaign with the same seed is no redelivery of the first.
    place = dice.at("catalogue", endpoint.started)
    own = platform.catalogue(endpoint, place.at("platform"))
    taken = {case.chat for case in own if case.chat is not None}
    kit = Kit(platform, endpoint, place.at("neutral"), taken, ordinary)
    brought = {case.group for case in own}
    fitting = GROUPS.keys() if platform.neutral_groups is None else platform.neutral_groups
    groups = [group for group in GROUPS if group in fitting and group not in brought]
    neutral = [case for group in groups for case in GROUPS[group](kit)]
    # Whether strangers are kept out matters most, and is told at once however slow the target or the machine is.
    return (
        *(case for case in neutral if case.group == "auth"),
        *own,
        *(case for case in neutral if case.group != "auth"),
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of ``chaosbot fuzz --list``."""

    name: str
    group: str
    threat: str
    summary: str
    expectation: str
    check: str


def listing(found: Iterable[Case]) -> tuple[Listed, ...]:
    """What each case is, who can send it and what a correct server does, in words."""
    return tuple(
        Listed(
            case.name, case.group, str(case.threat), case.summary + _manner(case), expectation(case.expect), case.check
        )
        for case in found
    )


def _manner(case: Case) -> str:
    manners = []
    if len(case.segments) > 1:
        manners.append(f"{len(case.segments)} segments")
    if case.ending is not Ending.WAIT:
        manners.append(f"then {str(case.ending).replace('_', '-')}")
    if case.reading is Reading.NEVER:
        manners.append("never reads")
    return f" ({', '.join(manners)})" if manners else ""


_REACH: Final = {
    Reach.NONE: "no effect",
    Reach.ANY: "",
    Reach.ONCE: "exactly one effect",
    Reach.AT_MOST_ONCE: "at most one effect",
}


def expectation(expect: Expect) -> str:
    """An expectation in words: ``2xx or 400; may close; at most one effect``."""
    classes = [f"{status}xx" for status in sorted(expect.statuses) if status < 10]
    codes = [str(status) for status in sorted(expect.statuses) if status >= 10]
    words = [" or ".join(part for part in (" or ".join(classes), " or ".join(codes)) if part) or "no answer"]
    if expect.close:
        words.append("may close")
    if expect.within_s is not None:
        words.append(f"within {expect.within_s:g} s")
    if _REACH[expect.reach]:
        words.append(_REACH[expect.reach])
    if expect.text:
        words.append("text intact")
    return "; ".join(words)
