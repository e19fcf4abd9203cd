"""The growth stage: the same chat writes hundreds of long texts, and memory and descriptors are read between.

One user in one chat, so that what a target remembers of each user and chat stays what it is; ordinary texts, which most targets answer
with a hint or not at all. A healthy target keeps an id and no more; one whose garbage is collected late levels off after some rounds.
It comes before anything heavy: what a target has once held hides what it keeps. Rounds end early where nothing grows; where something
does, or where there were too few to tell, they go on for a while when the stage's time is over. Judged by `bounded_resources`.
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic, sleep
from typing import Final

from chaosbot.checks.bounded_resources import KEPT, grows
from chaosbot.core.case import Case, Change
from chaosbot.core.event import ProbeSeen
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.spec import Clock

ROUNDS: Final = 24
_FEWEST: Final = 9
"""Rounds after which it may end early."""
_IN_GROUP: Final = 72
_IN_PRIVATE: Final = 24
_TEXT: Final = "слово " * 600
"""Long enough that keeping it shows: 3600 characters, about 20 KB of JSON."""
_USER: Final = 4_503_565_000_000_000
_GROUP: Final = -3_800_000_000
_QUIET_S: Final = 0.05
_SLOW_S: Final = 0.25
"""Where a round takes longer, the next ones are half as long: how many rounds there were tells more than how many updates."""
_SPARSEST: Final = 4
_LONGER_S: Final = 10.0
"""So much longer than its time the stage goes on until it knows whether something grows without end."""


def run_growth(context: CampaignContext, clock: Clock) -> None:
    """Sends rounds of updates and notes, after each, what the target holds: with the number of updates so far as the detail."""
    slow = context.target.latency_s > context.spec.latency_s
    if slow or not context.store.seen.memory or not context.platform.greets:
        return
    sent = 0
    looks: dict[str, list[tuple[int, float]]] = {row.probe: [] for row in KEPT}
    step = 1
    for number in range(ROUNDS):
        nths = range(0, _IN_GROUP + _IN_PRIVATE, step)
        cases = [case for nth in nths if (case := _case(context, number, nth)) is not None]
        began = monotonic()
        for result in context.target.volley(cases, "growth"):
            context.recorder.record(result)
        step = min(_SPARSEST, 2 * step) if monotonic() - began > _SLOW_S else step
        sent += len(cases)
        sleep(_QUIET_S)
        vitals = context.target.vitals() if context.target.lives else None
        if vitals is None or not cases:
            return
        for row, value in zip(KEPT, (vitals.resident, vitals.descriptors), strict=True):
            looks[row.probe].append((sent, float(value)))
            context.recorder.emit(ProbeSeen(context.recorder.now(), row.probe, ok=True, value=value, detail=str(sent)))
        context.show("growth", ROUNDS)
        enough = number + 1 >= _FEWEST
        if enough and not any(grows(looks[row.probe], row.each) for row in KEPT):
            return
        if clock.should_stop() or monotonic() >= clock.until + _LONGER_S:
            return


def _case(context: CampaignContext, number: int, nth: int) -> Case | None:
    place = context.dice.at("growth", context.spec.endpoint.started, number, nth)
    user = _USER + context.dice.at("growth").integer(0, 10**6)
    platform = context.platform
    update = platform.say(_TEXT, place, user=user, chat=_GROUP if nth < _IN_GROUP else None)
    if update is None and not platform.tiers:  # nobody in particular writes there
        update = platform.say(_TEXT, place) or platform.fresh(platform.golden(place)[platform.canary()], place)
    if update is None:
        return None
    name = f"growth/{number}-{nth}"
    case = context.case(update, place, name, "a long text")
    return replace(case, group="state", threat=Threat.LOAD, change=Change(Mechanism.SCENARIO, "growth"))
