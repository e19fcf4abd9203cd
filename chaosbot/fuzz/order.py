"""Scenarios after which no update may be left out: out of order, after a gap, very many at once.

Rules:

- The order is tried before the catalogue, whose ids (2^63 and their like) leave a bot that compares ids deaf to everything after.
- Each is followed by one more update in the usual order. Whether that one is answered tells a bot that starves some from a bot that
  is slow, busy or silent by nature.
- Nothing is waited for here: the check judges when the campaign is over and every reply had its time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chaosbot.core.case import Case, Change, Expect, Reach, Role, Segment
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz._anatomy import split, with_body
from chaosbot.fuzz.catalogue.scenarios import SCENARIOS, SHORTEST_ID
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.scenario import NOBODY, Scenario

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


def out_of_order(context: CampaignContext) -> None:
    """Four updates: in order, after a gap, late, and in order again."""
    scenario = Scenario(context, "sequences/order", context.dice.at("order", context.spec.endpoint.started))
    start = _ABOVE + scenario.dice.integer(0, _SPREAD)
    for nth, (word, ahead, summary) in enumerate(_ORDER):
        case = _said(scenario, nth, f"order-{word}", summary, Threat.NETWORK)
        numbered = _numbered(context, case, start + ahead) if case is not None else None
        if numbered is None:
            return  # this platform's deliveries are not counted
        scenario.deliver(numbered)


def burst(context: CampaignContext) -> None:
    """As many updates at once as there are hands, from a user each, until they are two hundred; then one more.

    A target that takes long for a single one is not asked for so many.
    """
    if context.target.latency_s > context.spec.latency_s:
        return
    scenario = Scenario(context, "sequences/burst", context.dice.at("burst", context.spec.endpoint.started))
    count = min(MANY, context.spec.max_examples or MANY)
    said = [_said(scenario, nth, f"burst-{nth}", "an update among many at once", Threat.LOAD) for nth in range(count)]
    after = _said(scenario, count, "burst-after", "an update when that is over", Threat.LOAD)
    if after is None:
        return
    scenario.deliver(*(case for case in said if case is not None))
    scenario.deliver(after)


def _said(scenario: Scenario, nth: int, name: str, summary: str, threat: Threat) -> Case | None:
    case = scenario.say("hello {m}", user=NOBODY + 3_000_000_000 + scenario.dice.integer(0, 10**9) + nth)
    if case is None:
        return None
    return replace(
        case,
        name=f"sequences/{name}",
        summary=summary,
        threat=threat,
        expect=_SOME if threat is Threat.LOAD else _ONCE,
        check=next(row.check for row in SCENARIOS if name.startswith(row.name.partition("-")[0])),
        change=Change(Mechanism.SCENARIO, name.removeprefix("order-").partition("-")[0]),
        role=Role.AFTERWARDS if name.endswith("-after") else Role.ATTEMPT,
    )


def _numbered(context: CampaignContext, case: Case, number: int) -> Case | None:
    """The case with this delivery id; None where it has none that is a number."""
    parts = split(case.request)
    if not isinstance(case.update_id, int) or case.update_id < SHORTEST_ID or parts is None:
        return None
    request = with_body(case.request, parts[1].replace(str(case.update_id).encode(), str(number).encode()))
    if request is None:
        return None
    return context.target.resigned(case, replace(case, segments=(Segment(request),), update_id=number))
