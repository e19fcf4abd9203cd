"""Delivery scenarios: what is sent, step by step, and what the bot does because of it; and two that are not the state machine's.

Rules of these two (out of order, very many at once), after which no update may be left out:

- The order is tried before the catalogue, whose ids (2^63 and their like) leave a bot that compares ids deaf to everything after.
- Each ends with one more update in the usual order. Whether that one is answered tells a bot that starves some from a bot that is
  slow, busy or silent by nature.
- Nothing is waited for: the check judges when the campaign is over and every reply had its time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from chaosbot.checks._join import Join
from chaosbot.core.case import Case, Change, Expect, Reach, Role
from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, Event
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.marker import marker
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.catalogue.scenarios import SCENARIOS, SHORTEST_ID
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.requests import renumbered
from chaosbot.fuzz.target import CaseResult

NOBODY: Final = FRESH + 16 * IDS
"""Senders of sequences: people whom no tier lists, so they are guests until somebody grants them more."""
_ONCE: Final = Expect(reach=Reach.AT_MOST_ONCE)


@dataclass
class Scenario:
    """One scenario, and what came of it."""

    context: CampaignContext
    name: str
    dice: Dice
    steps: list[tuple[Case, ...]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    results: list[CaseResult] = field(default_factory=list)
    already: int = 0
    said: int = 0

    def __post_init__(self) -> None:
        """Remembers how many calls there were before."""
        self.already = len(self.context.target.calls())

    def say(self, text: str, **how: Any) -> Case | None:
        """A case in which somebody writes; the marker goes where {m} stands."""
        self.said += 1
        if self.context.target.answered and not text.startswith("/") and how.get("kind") != "callback_query":
            # A target that replies to commands alone shows nothing otherwise.
            text = f"{self.context.target.answered} {text}"
        place = self.dice.at("say", self.said)
        planted = marker(place)
        update = self.context.platform.say(text.replace("{m}", planted), place, **how)
        if update is None and not how.get("kind") and not self.context.platform.tiers:
            # Nobody writes on this platform: whatever it delivers can still come twice, late or all at once.
            update = self.context.platform.fresh(
                self.context.platform.golden(place)[self.context.platform.canary()], place
            )
        if update is None:
            return None
        case = self.context.case(update, place, f"{self.name}/{self.said}", text, _ONCE)
        facts = self.context.platform.read(case.request)
        return replace(
            case,
            group="sequence",
            threat=Threat.NETWORK,
            chat=facts.chat if facts else None,
            summary=text.replace(" {m}", ""),
            change=Change(Mechanism.SCENARIO),
            scenario=self.name,
        )

    def plain(self, word: str) -> str:
        """An ordinary message: this word, or what must be written where the target answers no text."""
        return self.context.target.answered or f"{word} {{m}}"

    def deliver(self, *cases: Case, quiet: bool = False) -> list[CaseResult]:
        """Sends cases at the same time and records them; with `quiet`, a single one is awaited until the target is quiet."""
        self.steps.append(cases)
        target = self.context.target
        if len(cases) > 1:
            results = target.volley(cases, "sequences")
        elif quiet and self.context.store.seen.replies == "mock":
            results = [target.fire_quietly(cases[0], "sequences")]
        else:
            results = [target.fire(cases[0], "sequences")]
        self.results += results
        try:
            if any(target.suspicious(result) for result in results):
                self.context.attribution.after(results)
        finally:
            for result in results:
                event, replies = self.context.recorder.tried(result)
                self.events += [*replies, event]
                self.context.recorder.record(result)
        return results

    def replies(self, case: Case) -> list[ApiCalled]:
        """What the bot has said because of a case, waiting a moment for it where that is needed."""
        if self.context.store.seen.replies == "mock":
            self.context.target.watch.replied(case)
        history = self.history()
        tried = history.case(case.name)
        return Join.of(history).calls(tried) if tried is not None else []

    def settle(self) -> None:
        """Waits until the bot is done with everything that was sent."""
        if self.context.store.seen.replies == "mock":
            self.context.target.watch.all_replied(case for step in self.steps for case in step)

    def history(self) -> History:
        """The scenario as a run of its own."""
        live = [call for call in self.context.target.calls()[self.already :] if not call.in_answer]
        return History.of([msgspec.structs.replace(self.context.store.seen, checks=()), *self.events, *live])


MANY: Final = 200
_ABOVE: Final = 2_000_000_000
"""Ids of the order's updates: above those that platforms draw, so that the first is in order, and within 31 bits."""
_SPREAD: Final = 40_000_000
_EXACTLY_ONCE: Final = Expect(reach=Reach.ONCE)
_SOME: Final = Expect(frozenset({2, 429, 503}), reach=Reach.ONCE)
"""In a burst a target may ask to wait: what it does not acknowledge comes again."""
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
    case = scenario.say(scenario.plain("hello"), user=NOBODY + 3 * IDS + scenario.dice.integer(0, IDS) + nth)
    if case is None:
        return None
    return replace(
        case,
        name=f"sequences/{name}",
        summary=summary,
        threat=threat,
        expect=_SOME if threat is Threat.LOAD else _EXACTLY_ONCE,
        check=next(row.check for row in SCENARIOS if name.startswith(row.name.partition("-")[0])),
        change=Change(Mechanism.SCENARIO, name.removeprefix("order-").partition("-")[0]),
        role=Role.AFTERWARDS if name.endswith("-after") else Role.ATTEMPT,
    )


def _numbered(context: CampaignContext, case: Case, number: int) -> Case | None:
    """The case with this delivery id; None where it has none that is a number."""
    if not isinstance(case.update_id, int) or case.update_id < SHORTEST_ID:
        return None
    return renumbered(case, case.update_id, number, context.target.resigned, update_id=number)
