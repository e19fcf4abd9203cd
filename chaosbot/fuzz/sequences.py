"""Sequences: a Hypothesis state machine that delivers as badly as networks and platforms do.

Redelivery, the same update on several connections at once, reordering, gaps, an edit before its original, another body under a known
id, rights that are granted and taken away, what one user made in another one's hands. The effects are judged when the sequence is
over and the bot has answered a health request; a violation is raised there, so Hypothesis shrinks the sequence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from time import monotonic
from typing import Any, ClassVar, Final

from hypothesis import errors as hypothesis_errors
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from chaosbot.core.case import Case, Expect, Reach, Role, Segment
from chaosbot.core.kit import IDS
from chaosbot.core.marker import marker
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue.scenarios import check_of, scenarios_of
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.generated import CauseClasses, Enough, Violated, quiet_settings
from chaosbot.fuzz.patterns import by_seed_only
from chaosbot.fuzz.recorder import Key
from chaosbot.fuzz.rejudge import numbers_in
from chaosbot.fuzz.scenario import NOBODY, Scenario, burst
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.target import CaseResult

ROUND: Final = 12
STEPS: Final = 8
_TOUR_S: Final = 10.0
"""Time that every move gets to be played once, even when the stage's own time is over; a second is enough for a healthy target."""
_AGAIN: Final = Expect(frozenset({2, 409}), reach=Reach.AT_MOST_ONCE)


def run_sequences(context: CampaignContext, clock: Clock) -> None:
    """Rounds of sequences until the time is up."""
    if not context.platform.golden(context.dice):
        return
    # The moves are few and name what they show: they are played however late the stage begins, before anything that takes longer.
    _tour(context, Clock(max(clock.until, monotonic() + _TOUR_S), clock.should_stop))
    burst(context)
    limit = context.spec.max_examples
    done = 0
    for number in count():
        if clock.over() or (limit is not None and done >= limit):
            return
        examples = ROUND if limit is None else max(1, min(ROUND, (limit - done) // STEPS + 1))
        _round(context, clock, number, examples)
        done += examples * STEPS
        context.show("sequences", limit or 0)


def _round(context: CampaignContext, clock: Clock, number: int, examples: int) -> None:
    members = {
        "context": context,
        "clock": clock,
        "round": number,
        "executions": count(),
        "classes": CauseClasses(),
        "muted": set(context.store.found),
    }
    machine: type[SequenceMachine] = type("Sequences", (SequenceMachine,), members)
    place = context.dice.at("sequences", number)
    with contextlib.suppress(Enough, Violated, hypothesis_errors.HypothesisException), by_seed_only():
        try:
            settings = quiet_settings(examples, steps=STEPS)
            run_state_machine_as_test(seed(place.number())(machine), settings=settings)
        except BaseExceptionGroup as group:
            _, rest = group.split((Violated, hypothesis_errors.HypothesisException))
            if rest is not None:
                raise rest from None


class SequenceMachine(RuleBasedStateMachine):
    """The rules; each step is one way in which deliveries go wrong."""

    context: ClassVar[CampaignContext]
    clock: ClassVar[Clock]
    round: ClassVar[int]
    executions: ClassVar[Any]
    classes: ClassVar[CauseClasses]
    muted: ClassVar[set[Key]]

    def __init__(self) -> None:
        super().__init__()
        if self.clock.over():
            raise Enough
        ordinal = next(self.executions)
        dice = self.context.dice.at("scenario", self.context.spec.endpoint.started, self.round, ordinal)
        self.scenario = Scenario(self.context, f"sequence/{self.round}.{ordinal}", dice)
        self.sent: list[Case] = []
        self.user = NOBODY + dice.integer(0, IDS)
        self.granted = False

    def _new(self, text: str, **how: Any) -> Case | None:
        how.setdefault("user", self.user)
        return self.scenario.say(text, **how)

    def _plain(self, word: str, **how: Any) -> Case | None:
        return self._new(self.scenario.plain(word), **how)

    def _deliver(self, *cases: Case | None, quiet: bool = False) -> list[CaseResult]:
        if self.clock.over():
            raise Enough
        real = [case for case in cases if case is not None]
        if not real:
            return []
        self.sent += [case for case in real if case not in self.sent]
        return self.scenario.deliver(*real, quiet=quiet)

    @initialize()
    def begin(self) -> None:
        """Somebody writes."""
        self._deliver(self._plain("hello"))

    @rule(text=st.sampled_from(("hello {m}", "/status {m}", "/help {m}", "/start {m}")))
    def deliver(self, text: str) -> None:
        """One more update."""
        self._deliver(self._new(text))

    @rule(which=st.integers(0, 7))
    def redeliver(self, which: int) -> None:
        """The platform saw no acknowledgement and sends an earlier update again: not the latest one, which careless targets know."""
        if not self.sent:
            return
        if len(self.sent) > 1:
            self._deliver(replace(self.sent[which % len(self.sent)], expect=_AGAIN))
            return
        # In a chat of several only what was awaited tells whose reply a reply is.
        user = NOBODY + 2 * IDS + self.scenario.dice.integer(0, IDS)
        first = self._plain("once", user=user)
        for case in (first, self._plain("meanwhile", user=user), first and replace(first, expect=_AGAIN)):
            self._deliver(case, quiet=True)

    @rule(times=st.integers(2, 5))
    def together(self, times: int) -> None:
        """The same new update on several connections at the same time."""
        case = self._plain("at once")
        if case is not None:
            self._deliver(*[replace(case, expect=_AGAIN)] * times)

    @rule()
    def reorder(self) -> None:
        """Two updates, the later one first."""
        first, second = self._plain("first"), self._plain("second")
        self._deliver(second)
        self._deliver(first)

    @rule()
    def edit_first(self) -> None:
        """An edit before its original."""
        self._deliver(self._plain("edited", kind="edited_message"))
        self._deliver(self._plain("original"))

    @rule()
    def other_body(self) -> None:
        """A known delivery id with another body: whichever counts, not both."""
        if not self.sent:
            self.begin()
        case = self.sent[-1]
        other = self._plain("another body")
        if other is None or not isinstance(case.update_id, int) or not isinstance(other.update_id, int):
            return
        request = other.request.replace(str(other.update_id).encode(), str(case.update_id).encode())
        if len(str(case.update_id)) == len(str(other.update_id)):
            same_id = replace(other, segments=(Segment(request),), update_id=case.update_id, expect=_AGAIN)
            self._deliver(same_id)

    @precondition(lambda self: self.context.offers("grant", "revoke", "remind") and not self.granted)
    @rule()
    def demoted(self) -> None:
        """A right is granted, used, and taken back while it is being used; then it is used once more."""
        self.granted = True
        check = check_of("demoted")
        admin = self.context.platform.tiers[-1]
        subject = NOBODY + 2 * IDS + self.scenario.dice.integer(0, IDS)
        control = self._named("control", "/remind granted {m}", user=subject)
        unknown = self._named("nothing", "/chaosbot_unknown {m}", user=subject)
        before = self._named("before", "/remind before {m}", user=subject)
        after = self._named("after", "/remind revoked {m}", user=subject)
        if control is None or unknown is None or before is None or after is None:
            return
        self._deliver(replace(unknown, role=Role.BACKGROUND), quiet=True)
        self._deliver(
            replace(
                before,
                control=control.name,
                check=check,
                role=Role.PLAIN,
                threat=Threat.USER,
                summary="a command before it is granted",
            ),
            quiet=True,
        )
        self._deliver(self._new(f"/grant {subject} user {{m}}", tier=admin, user=None), quiet=True)
        self._deliver(control, quiet=True)
        revoked = self._new(f"/revoke {subject} {{m}}", tier=admin, user=None)
        # Whichever of the two comes first: whoever asks after both is refused.
        self._deliver(revoked, self._named("during", "/remind meanwhile {m}", user=subject))
        if revoked is not None:
            self.scenario.replies(revoked)
        self._deliver(
            replace(
                after,
                control=control.name,
                check=check,
                threat=Threat.USER,
                summary="a command after its right was revoked",
            ),
            quiet=True,
        )

    def _named(self, name: str, text: str, **how: Any) -> Case | None:
        case = self._new(text, **how)
        return replace(case, name=f"{case.name}-{name}") if case is not None else None

    @precondition(lambda self: self.context.offers("remind", "reminders"))
    @rule(verb=st.sampled_from(("", "delete ")))
    def foreign(self, verb: str) -> None:
        """One user makes something; another one asks for it by its number."""
        tier = self.context.platform.commands["reminders"]
        made = self._new("/remind {m}", tier=tier, user=None)
        if made is None:
            return
        self._deliver(made, quiet=True)
        for nth, number in enumerate(numbers_in(self.scenario.replies(made), made)[:2]):
            asked = self._new(f"/reminders {verb}{number}", tier=tier, user=None)
            if asked is None or asked.chat == made.chat:
                continue
            stranger = replace(
                asked,
                marker=marker(self.scenario.dice.at("stranger", len(self.scenario.steps))),
                check=check_of("foreign"),
                threat=Threat.USER,
                summary=f"/reminders {verb}N with the number of another user's reminder",
                recalls=f"/reminders {verb}{number}",
                nth=nth,
            )
            self._deliver(stranger, quiet=True)

    @precondition(lambda self: self.context.offers("rewrite"))
    @rule(verb=st.sampled_from(("approve", "reject")))
    def foreign_button(self, verb: str) -> None:
        """One user approves what is theirs (the control); then a stranger presses the button of somebody else's."""
        tier = self.context.platform.commands["rewrite"]
        own, other = (self._new(f"/rewrite {word} {{m}}", tier=tier, user=None) for word in ("own", "other"))
        if own is None or other is None or own.chat == other.chat or not isinstance(own.chat, int):
            return
        self._deliver(own, quiet=True)
        numbers = numbers_in(self.scenario.replies(own), own)
        if not numbers:
            return
        phrase = f"improvement:{verb}:{numbers[0]}"
        control = self._named("control", phrase, user=own.chat, kind="callback_query")
        if control is None:
            return
        self._deliver(replace(control, recalls=phrase), quiet=True)
        for nth, unknown in enumerate(("chaosbot:unknown", f"improvement:{verb}:999999999"), 1):
            # What a button gets that means nothing: a target may answer them all alike. Each is pressed by somebody else, because
            # presses carry no marker and are joined by their chats.
            nothing = self._named("nothing", unknown, kind="callback_query", user=self.user + nth)
            if nothing is not None:
                self._deliver(replace(nothing, role=Role.BACKGROUND), quiet=True)
        self._deliver(other, quiet=True)
        numbers = numbers_in(self.scenario.replies(other), other)
        phrase = f"improvement:{verb}:{numbers[0]}" if numbers else ""
        pressed = self._new(phrase, kind="callback_query") if numbers else None
        if pressed is None:
            return
        self._deliver(
            replace(
                pressed,
                check=check_of("foreign_button"),
                control=control.name,
                threat=Threat.USER,
                summary=f"a stranger presses {verb} for another user's improvement",
                recalls=phrase,
            ),
            quiet=True,
        )

    def teardown(self) -> None:
        """Waits until the bot is done, then judges what happened."""
        self.judge(self.muted)

    def judge(self, muted: set[Key]) -> None:
        """Judges the sequence; raises what is new, for Hypothesis to shrink."""
        if self.clock.over():
            return
        self.scenario.settle()
        history = self.scenario.history()
        for check in self.context.store.asked:
            if not check.judges_scenarios:
                continue
            for finding in check.judge_safely(history).findings:
                key = (check.name, finding.cause)
                self.context.store.offer_sequence(*key, tuple(self.scenario.steps))
                if key not in muted:
                    raise self.classes.of(key)(finding.title)


def _tour(context: CampaignContext, clock: Clock) -> None:
    """Every rule once, by itself: what one step shows is found before chance combines them."""
    members = {
        "context": context,
        "clock": clock,
        "round": -1,
        "executions": count(),
        "classes": CauseClasses(),
        "muted": set(context.store.found),
    }
    machine: type[SequenceMachine] = type("Tour", (SequenceMachine,), members)
    for row in scenarios_of(context.platform):
        if clock.over():
            return
        if not row.rule or (row.command and not context.offers(row.command)):
            continue
        with contextlib.suppress(Enough, Violated):
            played = machine()
            if row.rule == "redeliver":
                played.begin()
            getattr(played, row.rule)(*row.arguments)
            played.judge(set())


__all__: Sequence[str] = ("run_sequences",)
