"""One sequence: what was sent, step by step, and what the bot did because of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from chaosbot.checks._cases import AREA
from chaosbot.core.case import Case, Expect, Reach
from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, Event, Noted
from chaosbot.core.marker import marker
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.target import Trial
from chaosbot.fuzz.workshop import Workshop

NOBODY: Final = 4_503_590_000_000_000
"""Senders of sequences: ids that no person has and no tier lists, so they are guests until somebody grants them more."""
_ONCE: Final = Expect(reach=Reach.AT_MOST_ONCE)


@dataclass
class Story:
    """One sequence: what was sent, step by step, and what came of it."""

    shop: Workshop
    name: str
    dice: Dice
    steps: list[tuple[Case, ...]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    already: int = 0
    said: int = 0

    def __post_init__(self) -> None:
        """Remembers how many calls there were before."""
        self.already = len(self.shop.target.calls())

    def say(self, text: str, **how: Any) -> Case | None:
        """A case in which somebody writes; the marker goes where {m} stands."""
        self.said += 1
        place = self.dice.at("say", self.said)
        planted = marker(place)
        update = self.shop.platform.say(text.replace("{m}", planted), place, **how)
        if update is None and not how.get("kind") and not self.shop.platform.tiers:
            # Nobody writes on this platform: whatever it delivers can still come twice, late or all at once.
            update = self.shop.platform.fresh(self.shop.platform.golden(place)[self.shop.platform.canary()], place)
        if update is None:
            return None
        case = as_case(
            self.shop.platform,
            self.shop.spec.endpoint,
            update,
            place,
            f"{self.name}/{self.said}",
            text,
            _ONCE,
            fresh=False,
        )
        body = case.request
        facts = self.shop.platform.facts("POST", self.shop.spec.endpoint.path, (), body.partition(b"\r\n\r\n")[2])
        return replace(
            case,
            group="sequence",
            threat=Threat.NETWORK,
            chat=facts.chat if facts else None,
            summary=text.replace(" {m}", ""),
        )

    def deliver(self, *cases: Case) -> list[Trial]:
        """Sends cases at the same time and records them."""
        self.steps.append(cases)
        target = self.shop.target
        trials = [target.fire(cases[0], "sequences")] if len(cases) == 1 else target.burst(cases, "sequences")
        self.trials += trials
        if any(target.suspicious(trial) for trial in trials):
            self.shop.attribution.after(trials)
        for trial in trials:
            event, replies = self.shop.recorder.tried(trial)
            self.events += [*replies, event]
            self.shop.recorder.record(trial)
        return trials

    def replies(self, case: Case) -> list[ApiCalled]:
        """What the bot has said because of a case, waiting a moment for it where that is needed."""
        if self.shop.ledger.facts.replies == "mock":
            self.shop.target.reply_seen(case.marker, 0.5)
        seen = [event for event in self.events if isinstance(event, ApiCalled)]
        live = [call for call in self.shop.target.calls()[self.already :] if call.via != "reply"]
        return [call for call in (*seen, *live) if case.marker in call.markers]

    def history(self) -> History:
        """The sequence as a run of its own."""
        facts = self.shop.ledger.facts
        first = Noted(0.0, AREA, "", {"replies": facts.replies, "malformed": facts.malformed, "memory": facts.memory})
        live = [call for call in self.shop.target.calls()[self.already :] if call.via != "reply"]
        return History.of([first, *self.events, *live])
