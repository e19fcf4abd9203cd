"""A delivery scenario: what was sent, step by step, and what the bot did because of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from chaosbot.core.case import Case, Change, Expect, Reach
from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, Event
from chaosbot.core.marker import marker
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.target import CaseResult

NOBODY: Final = 4_503_590_000_000_000
"""Senders of sequences: ids that no person has and no tier lists, so they are guests until somebody grants them more."""
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
        case = as_case(
            self.context.platform,
            self.context.spec.endpoint,
            update,
            place,
            f"{self.name}/{self.said}",
            text,
            _ONCE,
            fresh=False,
        )
        body = case.request
        facts = self.context.platform.facts("POST", self.context.spec.endpoint.path, (), body.partition(b"\r\n\r\n")[2])
        return replace(
            case,
            group="sequence",
            threat=Threat.NETWORK,
            chat=facts.chat if facts else None,
            summary=text.replace(" {m}", ""),
            change=Change(Mechanism.SCENARIO),
            scenario=self.name,
        )

    def deliver(self, *cases: Case) -> list[CaseResult]:
        """Sends cases at the same time and records them."""
        self.steps.append(cases)
        target = self.context.target
        results = [target.fire(cases[0], "sequences")] if len(cases) == 1 else target.burst(cases, "sequences")
        self.results += results
        if any(target.suspicious(result) for result in results):
            self.context.attribution.after(results)
        for result in results:
            event, replies = self.context.recorder.tried(result)
            self.events += [*replies, event]
            self.context.recorder.record(result)
        return results

    def replies(self, case: Case) -> list[ApiCalled]:
        """What the bot has said because of a case, waiting a moment for it where that is needed."""
        if self.context.store.seen.replies == "mock":
            self.context.target.reply_seen(case.marker, 0.5)
        seen = [event for event in self.events if isinstance(event, ApiCalled)]
        live = [call for call in self.context.target.calls()[self.already :] if call.via != "reply"]
        return [call for call in (*seen, *live) if case.marker in call.markers]

    def history(self) -> History:
        """The scenario as a run of its own."""
        live = [call for call in self.context.target.calls()[self.already :] if call.via != "reply"]
        return History.of([msgspec.structs.replace(self.context.store.seen, checks=()), *self.events, *live])
