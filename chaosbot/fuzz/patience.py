"""Deliveries that try a bot's patience, and after which nobody may starve: out of order, after a gap, very many at once.

Rules:

- The order is tried before the catalogue, whose ids (2^63 and their like) leave a bot that compares ids deaf to everything after.
- Each is followed by one more update in the usual order. Whether that one is answered tells a bot that starves some from a bot that
  is slow, busy or silent by nature.
- Nothing is waited for here: the check judges when the campaign is over and every reply had its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from chaosbot.core.case import Case, Expect, Reach, Segment
from chaosbot.core.verdict import Threat
from chaosbot.fuzz._anatomy import split, with_body
from chaosbot.fuzz.findings import Steps
from chaosbot.fuzz.moves import SHORTEST_ID
from chaosbot.fuzz.story import NOBODY, Story
from chaosbot.fuzz.workshop import Workshop

CHECK: Final = "nobody_starves"
MANY: Final = 200
_ABOVE: Final = 2_000_000_000
"""Ids of the order's updates: above those that platforms draw, so that the first is in order, and within 31 bits."""
_SPREAD: Final = 40_000_000
_ONCE: Final = Expect(reach=Reach.ONCE)
_SOME: Final = Expect(frozenset({2, 429, 503}), reach=Reach.ONCE)
"""In a burst a target may ask for patience: what it does not acknowledge comes again."""
_ORDER: Final = (
    ("before", 0, "an update in order"),
    ("ahead", 1000, "an update after a gap in the delivery ids"),
    ("late", 500, "an update with a lower delivery id than the one before it"),
    ("after", 1001, "an update in order again"),
)


def out_of_order(shop: Workshop) -> None:
    """Four updates: in order, after a gap, late, and in order again."""
    story = Story(shop, "sequences/order", shop.dice.at("order", shop.spec.endpoint.started))
    start = _ABOVE + story.dice.integer(0, _SPREAD)
    for nth, (word, ahead, summary) in enumerate(_ORDER):
        case = _said(story, nth, f"order-{word}", summary, Threat.NETWORK)
        numbered = _numbered(shop, case, start + ahead) if case is not None else None
        if numbered is None:
            return  # this platform's deliveries are not counted
        story.deliver(numbered)


def burst(shop: Workshop) -> None:
    """As many updates at once as there are hands, from a user each, until they are two hundred; then one more.

    A target that takes long for a single one is not asked for so many.
    """
    if shop.target.latency_s > shop.spec.latency_s:
        return
    story = Story(shop, "sequences/burst", shop.dice.at("burst", shop.spec.endpoint.started))
    count = min(MANY, shop.spec.max_examples or MANY)
    said = [_said(story, nth, f"burst-{nth}", "an update among many at once", Threat.LOAD) for nth in range(count)]
    after = _said(story, count, "burst-after", "an update when that is over", Threat.LOAD)
    if after is None:
        return
    story.deliver(*(case for case in said if case is not None))
    story.deliver(after)


def _said(story: Story, nth: int, name: str, summary: str, threat: Threat) -> Case | None:
    case = story.say("hello {m}", user=NOBODY + 3_000_000_000 + story.dice.integer(0, 10**9) + nth)
    if case is None:
        return None
    return replace(
        case,
        name=f"sequences/{name}",
        summary=summary,
        threat=threat,
        expect=_SOME if threat is Threat.LOAD else _ONCE,
        check=CHECK,
    )


def _numbered(shop: Workshop, case: Case, number: int) -> Case | None:
    """The case with this delivery id; None where it has none that is a number."""
    parts = split(case.request)
    if not isinstance(case.update_id, int) or case.update_id < SHORTEST_ID or parts is None:
        return None
    request = with_body(case.request, parts[1].replace(str(case.update_id).encode(), str(number).encode()))
    if request is None:
        return None
    return shop.target.resigned(case, replace(case, segments=(Segment(request),), update_id=number))


def steps_of(cases: Mapping[str, Case], name: str) -> Steps:
    """What to send to show again that the update of this name starves."""
    move = name.rpartition("-")[0]
    told = [case for other, case in cases.items() if other.rpartition("-")[0] == move]
    return (tuple(told[:-1]), (told[-1],)) if move == "sequences/burst" else tuple((case,) for case in told)
