"""The outbound stage: each kind of trouble with the API that the target calls, on each method that it was seen to use.

Rules:

- What makes the target call is learned from the target: texts, the commands that its replies name, the buttons that they show.
- One trial is one user (or group) of its own, whose calls alone meet the trouble: the fault's rule names the chat, or the button
  press. Trials therefore run side by side, a few at a time. A call to somebody else's chat (a notice to an owner) is met there, in
  one trial at a time, beside the others.
- Beside each trial another user writes, and after it the same user writes again: both must be answered as usual.
- What the admin writes to many is met at the first of them; the others must get theirs all the same.
- Where a call gets no answer, its chat is asked again at the end of the campaign: by then the target has given the call up.
- How long a reply is waited for follows from the target's own habit, measured before the first trial.
- What looks wrong is tried once more before it is told. Nothing is judged here: `OutboundTried` says what was done and seen.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import commands_in
from chaosbot.checks._outbound import reached
from chaosbot.core.case import Case, Change, Expect
from chaosbot.core.event import ApiCalled, CaseTried, Noted, OutboundTried
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.marker import marker, plain_word
from chaosbot.core.observation import Died
from chaosbot.core.plan import Matcher, Rule, Scope
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext, Disturbances
from chaosbot.fuzz.exploring import ASKED, deed_of, ways_of
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.troubles import GROUP, Trouble, tells, troubles_of

AT_ONCE: Final = 3
"""Trials side by side, of the service's trouble: fewer than the failures in a row that trip a usual circuit breaker (5)."""
_REFUSALS_AT_ONCE: Final = 4
"""The same of refusals."""
_FIRST_USER: Final = FRESH + 14 * IDS
_FIRST_GROUP: Final = -4_000_000_000
_BESIDE: Final = ("answerCallbackQuery", "sendChatAction", "deleteMessage")
"""Calls beside a reply, which must come whatever becomes of them."""
_ANSWER: Final = "Anna"
_ORDERS: Final = 8
_ORDERING_S: Final = 5.0
"""So long at least the admin's commands to others are tried where they come last."""
_FOR_GOOD: Final = (400, 403)
_STUBBORN: Final = 3
"""So many refusals of one and the same call are waited for, where there was a second one."""
_STUBBORN_S: Final = 4.0
"""And so long."""
_SAID: Final = 80
"""So many characters of what was said stand in a case's summary."""
_LATE_S: Final = 0.2
"""So long after an update was acknowledged a call may still come of it."""
_NOISY_S: Final = 3.0
"""A chat to which something came so lately is written to anyway."""
_MANY: Final = 3
_LEARNING: Final = 0.35
"""The part of the stage's time that learning may take."""
_LEAST_S: Final = 1.0
_MOST_S: Final = 8.0
"""Bounds on how long a reply is waited for."""
_RETRIES_S: Final = 7.0
"""How much longer the same chat may take afterwards: a target that keeps a chat's order first repeats the call that failed."""
_AGAIN_S: Final = 3.0
"""So long, at least, is waited for an ordinary answer."""
_HELD_S: Final = 22.0
"""After so long a call that gets no answer was waited for too long."""
_HOLDING_S: Final = 0.4
"""How long the silent call is waited for before others are asked."""
_POLL_S: Final = 0.02
_CONFIRMING_S: Final = 2.0
"""So long after the stage's time what looks wrong is still tried once more."""
_MOVED: Final = -1_000_000_000_000
_CHOSEN: Final = frozenset({2, 502, 503, 504})
"""While its API is in trouble a target may ask for another delivery of the update."""


@dataclass(frozen=True)
class Trigger:
    """A way to make the target call a method.

    Args:
        method: The method.
        steps: What a user does; the last step makes the target call.
        to: The chat that the call goes to, where it is not the user's own.
        tells: Whether a message comes of it; a note above a button that could not be shown in time is no message that is lost.
    """

    method: str
    steps: tuple[Step, ...]
    to: int | str | None = None
    tells: bool = True


@dataclass(frozen=True)
class Order:
    """What the admin writes to make the target write to others.

    Args:
        method: The method.
        text: What the admin writes.
        worded: Whether it passes on a word that it is given.
        chats: To whom it wrote then, the first one first.
        before: What somebody else does before, so that there is somebody to write to.
    """

    method: str
    text: str
    worded: bool
    chats: tuple[str, ...]
    before: tuple[Step, ...]


@dataclass
class _Person:
    """A user in a chat of their own, or somebody of a tier, and the buttons that they were shown there."""

    user: int
    group: int | None = None
    tier: str = ""
    shown: dict[str, str] = field(default_factory=dict)


@dataclass
class _Done:
    """A step that was done: the case, and the calls in its chat and to its press."""

    case: Case
    person: _Person
    result: CaseResult
    began: float
    calls: list[ApiCalled] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether the user saw a reply."""
        return self.told(self.case.chat)

    def answered_by(self, until: float) -> bool:
        """Whether the user saw a reply by then (seconds of the run): a target that holds everybody up replies when that is over."""
        return any(reached(call) and str(call.chat) == str(self.case.chat) and call.t <= until for call in self.calls)

    def told(self, chat: int | str | None) -> bool:
        """Whether something was said in a chat."""
        return any(reached(call) and str(call.chat) == str(chat) for call in self.calls)


def run_outbound(context: CampaignContext, clock: Clock) -> None:
    """Runs the trials that the time allows, what tells most first.

    Raises:
        TargetUnusable: The target's process ended and does not come back.
    """
    if context.disturbances is None:
        return
    trials = _Trials(context, context.disturbances, clock)
    triggers = trials.learn()
    context.afterwards.append(trials.served_again)
    if not triggers:
        text = "outbound trouble was not tried: no ordinary message made the target call its API"
        context.recorder.emit(Noted(context.recorder.now(), "outbound", text))
        return
    ranked = [
        (3 * number + rank, trigger, replace(trouble, lossless=trouble.lossless and trigger.tells))
        for number, trigger in enumerate(triggers)
        for rank, trouble in enumerate(troubles_of(trigger.method, notice=trigger.to is not None))
    ]
    trials.run([(trigger, trouble) for _, trigger, trouble in sorted(ranked, key=lambda one: one[0])])


class _Trials:
    """Runs trials for one campaign; its methods are called from several threads."""

    def __init__(self, context: CampaignContext, disturbances: Disturbances, clock: Clock) -> None:
        self.context = context
        self.disturbances = disturbances
        self.clock = clock
        self.habit_s = _MOST_S
        self.quiet_s = context.target.watch.gap_s
        self.usual: Step | None = None
        self.in_groups: Step | None = None
        self._orders: Iterator[Order] | None = None
        self._order: Order | None = None
        """The one that is being tried."""
        self._dice = context.dice.at("outbound", context.spec.endpoint.started)
        self._count = 0
        self._lock = threading.Lock()
        self._under_way: dict[str, CaseResult] = {}
        self._held: list[tuple[OutboundTried, Case, _Person]] = []
        self._mute: set[Trigger] = set()
        """What made the target call, and does not any more."""
        self._before: tuple[Step, ...] = ()
        self._chats: set[str] = set()
        self._settled: frozenset[str] = frozenset()
        """Chats of people of this stage with whom nothing goes on any more."""
        self._dead = False
        self._in_turn = False
        self._compared = threading.Event()

    # ── what makes the target call ───────────────────────────────────────────────────────────────────────────────────

    def learn(self) -> list[Trigger]:
        """Finds what makes the target call, one trigger for each method and kind of chat; measures how long its replies take."""
        until = monotonic() + self.clock.left() * _LEARNING
        walked = [(way.steps, way.replies) for way in ways_of(self.context, Clock(until, self.clock.should_stop))]
        walked = [(steps, replies) for steps, replies in walked if not any("{n}" in step.text for step in steps)]
        watch = self.context.target.watch
        self.habit_s, self.quiet_s = min(_MOST_S, max(_LEAST_S, 1.5 * watch.patience_s)), watch.gap_s
        answering = [steps[0] for steps, calls in walked if len(steps) == 1 and any(map(reached, calls))]
        with ThreadPoolExecutor(2 * AT_ONCE, "fuzz-outbound") as pool:
            self._learn_group(pool, answering)
        found: dict[str, Trigger] = {}
        for steps, calls in walked:
            for call in calls:
                # A reply in the webhook's own answer is no call that trouble could meet.
                if not call.in_answer and (tells(call.method) or call.method in _BESIDE):
                    one = Trigger(call.method, steps, tells=any(tells(other.method) for other in calls))
                    kept = found.get(call.method)
                    if kept is None or (one.tells and not kept.tells):
                        found[call.method] = one
        self.usual = next(iter(answering), None)
        triggers = sorted(found.values(), key=lambda one: not tells(one.method))
        self._before = max((steps for steps, _ in walked), key=len, default=())
        # Before the admin is asked anything: what comes to the admin then may be an answer.
        others = list(self._to_others(walked, monotonic() + self.clock.left() * _LEARNING / 2))
        self._settled = frozenset(self._chats)
        return [*triggers, *others]

    def _learn_group(self, pool: ThreadPoolExecutor, steps: Sequence[Step]) -> None:
        """Finds something that is answered in a group."""

        def asked(step: Step) -> bool:
            done = self._said(f"outbound/learn-group{step.text}", step, _Person(self._user(), self._group()))
            return done is not None and done.answered

        tried = sorted(steps, key=lambda step: not step.text.startswith("/"))[: 2 * AT_ONCE]
        for step, answered in zip(tried, pool.map(asked, tried), strict=True):
            if answered:
                self.in_groups = self.in_groups or step

    def _to_others(
        self, walked: Iterable[tuple[tuple[Step, ...], Sequence[ApiCalled]]], until: float
    ) -> Iterator[Trigger]:
        """What makes the target write into a chat that is none of those who did something: once more, one at a time, to see who does."""
        usual_s = min(self.habit_s, max(_LATE_S / 2, 2 * self.context.target.watch.usual_s))
        seen, desk = self._told_others(0.0, usual_s), self.desk
        # A notice to the admin and one to another user are written in two places.
        left = {(method, chat == desk) for method, chat in seen}
        ways = [steps for steps, _ in walked]
        longest = [one for one in ways if not any(other[: len(one)] == one != other for other in ways)]
        likely = self._likely([call.t for call in self._since(0.0) if self._elsewhere(call, usual_s) is not None])
        for steps in sorted(longest, key=lambda one: -max(likely.get(step.text[:_SAID], 0.0) for step in one)):
            person = _Person(self._user())
            for number, step in enumerate(steps, 1):
                if monotonic() > until or not left:
                    return
                shared = self.context.shared
                with ExitStack() as alone:
                    # Where others ask as well, one at a time, nothing that comes meanwhile is theirs.
                    held = [chat for chat in sorted({chat for _, chat in seen}, key=str) if shared.reserves(chat)]
                    held += [desk] if desk is not None and desk not in held else []
                    for chat in held:
                        alone.enter_context(shared.alone(chat))
                    start = self.context.recorder.now()
                    if self._said(f"outbound/learn-others{steps[0].text}-{number}", step, person) is None:
                        break
                    soon = monotonic() + _LATE_S
                    # Beside the other stages, whose replies may be late: who was asked lately is nobody else.
                    while not (found := self._told_others(start, self.habit_s, held)) and monotonic() < soon:
                        sleep(_POLL_S)
                for method, chat in sorted(found, key=str):
                    if (method, chat == desk) in left:
                        left.discard((method, chat == desk))
                        yield Trigger(method, steps[:number], chat)

    def _told_others(
        self, since: float, within_s: float, held: Sequence[int | str] | None = None
    ) -> set[tuple[str, int | str]]:
        """Method and chat of the calls since then into chats that are held, or in which nobody has just asked for something.

        Where some are held, others go on beside: what many are told at once, and what comes to a chat anyway, they have brought about.
        """
        calls, noisy, told = list(self._since(since)), set[str](), defaultdict[str, set[str]](set)
        if held is not None:
            noisy = {str(one.chat) for one in self._since(since - _NOISY_S) if one.t < since and tells(one.method)}
            for call in calls:
                told[call.text].add(str(call.chat))
        found = ((self._elsewhere(call, within_s, held or ()), call) for call in calls)
        return {
            key
            for key, call in found
            if key is not None
            and (key[1] in (held or ()) or (str(call.chat) not in noisy and len(told[call.text]) < _MANY))
        }

    def _likely(self, times: Sequence[float]) -> dict[str, float]:
        """For what people have said, how often a call to somebody else came at that time: always, where it is the cause."""
        said: dict[str, list[bool]] = defaultdict(list)
        moments = sorted(times)
        for event in self.context.recorder.events:
            if isinstance(event, CaseTried) and event.stage == "vocabulary":
                place = bisect_left(moments, event.sent)
                text = event.summary.partition("writes ")[2] or event.summary.partition("presses ")[2]
                near = place < len(moments) and moments[place] <= event.sent + event.outcome.total_s + _LATE_S
                said[text.strip("'\"")].append(near)
        return {text: sum(near) / (len(near) + 1) for text, near in said.items()}  # once may be by chance

    def _to_users(self) -> Iterator[Order]:
        """The admin's own commands that make the target write to others."""
        platform, told = self.context.platform, self.context.learned("admin")
        admin = _Person(0, tier=platform.tiers[-1] if len(platform.tiers) > 1 else "")
        known = {*ASKED, *(f"/{word}" for word in self.context.learned("commands") if word not in told)}
        own = [f"/{word}" for word in told]
        for text in ASKED[:2] if admin.tier and not self.context.learned("commands") else ():
            done = self._ask_admin(Step(text), admin, bool)
            if done is None:
                return
            own += [f"/{word}" for call in done.calls for word in commands_in(call.text)]
        names = [name for name in dict.fromkeys(own) if name not in known]
        # What was seen to go to everybody comes first.
        names = sorted(names, key=lambda name: not self.context.announces(name))[:_ORDERS]
        for text, worded in [*((f"{name} {_ANSWER}", True) for name in names), *((name, False) for name in names)]:
            began, word = self.context.recorder.now(), self._word() if worded else ""
            ask = not self.clock.over() and not self._died()
            done = self._ask_admin(Step(f"{text} {word}".rstrip()), admin, _anything) if ask else None
            if done is None:
                return
            others = self._to_crowd(done.case, began, word, self._settled)
            if others and done.answered:
                chats = tuple(dict.fromkeys(str(one.chat) for one in others))
                yield Order(others[0].method, text, worded, chats, () if len(chats) > 1 else self._before)

    def _ask_admin(self, step: Step, admin: _Person, enough: Callable[[Sequence[ApiCalled]], bool]) -> _Done | None:
        """What comes of something that the admin writes; None where others ask in that chat."""
        if self.context.shared.reserves(self.desk):
            return None
        with self.context.shared.alone(self.desk):
            done = self._do(f"outbound/learn-admin{step.text}", step, admin)
            if done is not None:
                self._await(done, self.habit_s, enough)
        return done

    def _to_crowd(self, case: Case, since: float, word: str, people: Container[str]) -> list[ApiCalled]:
        """The calls to others than the sender since then, in their order: those that hold the word, or, without one, to these people."""
        found = [one for one in self._since(since) if tells(one.method) and str(one.chat) != str(case.chat)]
        return [one for one in reversed(found) if (word in one.text if word else str(one.chat) in people)]

    def _word(self) -> str:
        with self._lock:
            self._count += 1
            return plain_word(self._dice.at("word", self._count))

    def _elsewhere(
        self, call: ApiCalled, within_s: float, held: Container[int | str] = ()
    ) -> tuple[str, int | str] | None:
        """Method and chat of a call into a chat that is held, or in which nobody has asked for something so shortly before."""
        if call.chat is None or not tells(call.method):
            return None
        came = self.context.spec.started + call.t
        asked = call.chat not in held and self.context.target.watch.asked(call.chat, came, within_s)
        return None if asked else (call.method, call.chat)

    @cached_property
    def desk(self) -> int | str | None:
        """The admin's private chat, where the platform has an admin."""
        tiers = self.context.platform.tiers
        case = self._case("outbound/desk", Step(ASKED[0]), _Person(0, tier=tiers[-1])) if len(tiers) > 1 else None
        return case.chat if case is not None else None

    # ── trials ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, planned: Sequence[tuple[Trigger, Trouble]]) -> None:
        """All trials; when the target dies and comes back, those that were under way and the rest one at a time.

        Raises:
            TargetUnusable: It does not come back.
        """
        left = list(planned)

        def one(pair: tuple[Trigger, Trouble]) -> None:
            if not self._dead and not self.clock.over() and self._trial(*pair):
                with self._lock:
                    left.remove(pair)
                self.context.show("outbound", len(planned))

        with ThreadPoolExecutor(2, "fuzz-outbound") as probe:
            first = probe.submit(one, planned[0])
            while not first.done() and not self._compared.is_set():
                sleep(_POLL_S)
            # A target that does one thing after the other is asked so, or every trial would wait for the one before.
            if self._in_turn:
                first.result()
                self._asked("outbound/ready", more_s=_RETRIES_S)
            rest = [pair for pair in planned[0 if first.done() else 1 :] if pair in left]
            notices: dict[str, list[tuple[Trigger, Trouble]]] = defaultdict(list)
            for pair in rest:
                if pair[0].to is not None:
                    notices[str(pair[0].to)].append(pair)
            own = [[pair] for pair in rest if pair[0].to is None]
            service = [line for line in own if line[0][1].service]
            refusals = [line for line in own if not line[0][1].service]

            def one_by_one(line: Sequence[tuple[Trigger, Trouble]]) -> None:
                for pair in line:
                    one(pair)

            lanes = [(service, AT_ONCE), (refusals, _REFUSALS_AT_ONCE), ([*notices.values()], max(1, len(notices)))]
            if self._in_turn:
                lanes = [([[pair] for pair in rest], 1)]
            with ExitStack() as pools:
                work = [first]
                for lines, width in lanes:
                    pool = pools.enter_context(ThreadPoolExecutor(width, "fuzz-outbound"))
                    work += [pool.submit(one_by_one, line) for line in lines]
                # A target that does one thing after the other, or writes to everybody, is asked for the admin's when all the rest is done.
                last = self._in_turn or self.context.announcers
                if not last:
                    work.append(probe.submit(self._give_orders))
                for future in work:
                    future.result()
        if last and not self._dead:
            self.clock = Clock(max(self.clock.until, monotonic() + _ORDERING_S), self.clock.should_stop)
            self._give_orders()
        under_way, self._under_way = self._under_way, {}
        if self._dead:
            self._return(under_way)
            trials: list[Callable[[], None]] = [partial(one, pair) for pair in left]
            for again in [*trials, self._give_orders]:
                again()
                if self._dead:
                    self._return(self._under_way, alone=True)
                    self._under_way = {}
        done = len(planned) - len(left)
        if done < len(planned):
            text = f"{done} of {len(planned)} kinds of outbound trouble were tried in the time; --duration gives more"
            self.context.recorder.emit(Noted(self.context.recorder.now(), "outbound", text))

    def _give_orders(self) -> None:
        """The trials of what the admin writes to others, each as soon as it is found; what a death cut short is tried again."""
        self._orders = self._orders or self._to_users()
        while not self._dead and not self.clock.over():
            self._order = self._order or next(self._orders, None)
            if self._order is None:
                return
            if not self._ordered(self._order, "") and not self._dead and not self.clock.over():
                self._ordered(self._order, "-2", last=True)
            self._order = self._order if self._dead else None

    def _return(self, under_way: dict[str, CaseResult], *, alone: bool = False) -> None:
        """The process has ended: charges it where that is known, and waits until it is back.

        Raises:
            TargetUnusable: It does not come back; what had met its trouble last is charged.
        """
        target = self.context.target
        results = sorted(under_way.values(), key=lambda result: self._last_trouble(result.case))
        beside = tuple(result.case.name for result in results[:-1])
        target.deaths += 1
        back = False
        try:
            back = target.await_return()
        finally:
            if results and (alone or not back):
                results[-1].observations.append(Died(alone=alone, for_good=not back, beside=beside))
            for result in results:
                self.context.recorder.record(result)
        target.look()
        self._dead = False

    def _last_trouble(self, case: Case) -> float:
        failed = (call.t for call in self._calls(case, 0.0) if call.status is None or call.status >= 300)
        return max(failed, default=0.0)

    def _trial(self, trigger: Trigger, trouble: Trouble) -> bool:
        """One trial, and once more when it looks wrong; whether it could be had."""
        whose = "" if trigger.to is None else "-to-admin" if trigger.to == self.desk else "-elsewhere"
        name = f"outbound/{trigger.method}-{trouble.name}{whose}"
        if trigger in self._mute or (trouble.group and self.in_groups is None):
            return True  # nothing comes of it, or the target says nothing in groups, so nothing can be lost there
        if trouble.group and self.in_groups is not None:
            trigger = Trigger(trigger.method, (self.in_groups,))
        # In the chat to which the target writes nobody else may be asking: what comes there would be taken for the trial's.
        with self.context.shared.alone(trigger.to):
            if self.clock.over():
                return False  # its turn in that chat came too late
            tried = self._attempt(name, trigger, trouble)
            told = [tried] if tried is not None else []
            if told and not told[0][1] and not self._dead:
                if self.clock.should_stop() or monotonic() > self.clock.until + _CONFIRMING_S:
                    return False  # what was seen once, by a target that may only have been slow, is not told
                # A target that the first one still holds up calls nothing for the second: then the first one tells.
                again = self._attempt(f"{name}-2", trigger, trouble)
                told = [again] if again is not None and again[1] else [*told, *([again] if again is not None else [])]
        if not told or self._dead:
            return trigger in self._mute
        with self._lock:
            for one, _ in told:
                self.context.recorder.emit(one)
        return True

    def _attempt(self, name: str, trigger: Trigger, trouble: Trouble) -> tuple[OutboundTried, bool] | None:
        """Does the steps, the last while the trouble is there; what was seen, and whether all looks well.

        None where the target cannot be asked so, or died meanwhile.
        """
        person = _Person(self._user(), self._group() if trouble.group else None)
        if any(self._said(f"{name}-before-{i}", step, person) is None for i, step in enumerate(trigger.steps[:-1])):
            return None
        what = f"an update while {trigger.method} {trouble.what}"
        case = self._case(name, trigger.steps[-1], person, summary=what, trouble=trouble)
        crowd = [
            self._case(f"{name}-beside-{number}", trigger.steps[-1], _Person(self._user()))
            for number in range(1, trouble.crowd if len(trigger.steps) == 1 and trigger.to is None else 1)
        ]
        if case is None or case.chat is None:
            return None
        chat = trigger.to if trigger.to is not None else case.chat
        moved = 2_000_000_000 + person.user % 1_000_000_000
        options = {**trouble.options, **({"chat": moved} if trouble.group else {})}
        met = [_matcher(trigger, one) for one in (case, *crowd) if one is not None]
        where = _MOVED - moved if trouble.group else chat
        rules = [
            Rule(
                f"{name}-{number}" if number else name,
                FAULTS.build(trouble.fault, options),
                match,
                scope=Scope.EXCHANGE,
                first=trouble.first,
            )
            for number, match in enumerate(met)
        ]
        with self.disturbances.during(rules):
            with ThreadPoolExecutor(1, "fuzz-outbound-fire") as hand:
                firing = hand.submit(self._fire, case, person)
                if trouble.name == "silence":
                    self.context.held_until = self.context.held_until or monotonic() + _HELD_S
                    wait([firing], _HOLDING_S)  # others are asked while a target that acknowledges last still waits
                elif not self._met(firing.result(), trigger) and trigger.to is not None and not self._died():
                    self._no_more(trigger, firing.result())
                    return None
                for one in crowd:
                    if one is not None:
                        self._record(self._fire(one, person).result)
                other = self._others_asked(f"{name}-other", trouble.others_s)
                self._in_turn = self._in_turn or other is False
                self._compared.set()
                done = firing.result()
            acknowledged = done.result.outcome.ok
            with self._lock:
                self._under_way[name] = done.result
            patience = self.habit_s + trouble.wait_s
            enough = lambda _: trouble.arrives and done.told(where)  # noqa: E731 - one line
            self._await(done, patience, enough, to=where)
            if trouble.lossless and not acknowledged and not done.told(chat) and not self.clock.over():
                # It was not acknowledged: the platform delivers it again.
                done = replace(self._fire(case, person), began=done.began)
                self._await(done, monotonic() - done.began + patience, enough, to=trigger.to)
            if _refusals(done.calls) > 1:
                longer = monotonic() - done.began + _STUBBORN_S
                self._await(done, longer, lambda calls: _refusals(calls) >= _STUBBORN, to=trigger.to)
            answered = done.answered if trigger.to is not None else None
        until = self.context.recorder.now()
        ask = trouble.after and not self._died()
        again = self._asked(f"{name}-again", person=person, more_s=_RETRIES_S) if ask else None
        if self._died():
            return None
        with self._lock:
            self.context.recorder.record(self._under_way.pop(name))
        well = other is not False and again is not False and answered is not False
        tried = OutboundTried(
            self.context.recorder.now(),
            trouble.name,
            trigger.method,
            name,
            chat,
            done.began - self.context.spec.started,
            until,
            acknowledged=acknowledged,
            lossless=trouble.lossless,
            others=other,
            again=again,
            moved_to=where if trouble.group else None,
            answered=answered,
        )
        if trouble.name == "silence" and trigger.to is None:
            self._held.append((tried, case, person))
        return tried, well and (done.told(where) or not trouble.arrives)

    def _no_more(self, trigger: Trigger, done: _Done) -> None:
        """Nothing comes of it any more, so there is nothing that trouble could meet."""
        self._mute.add(trigger)
        self._record(done.result)

    def served_again(self) -> None:
        """Asks once more in the chats of the calls that got no answer, where the target has given these up by now."""
        step, target, asked = self.usual, self.context.target, list[tuple[OutboundTried, _Person, _Done, float]]()
        if step is None or not target.lives:
            return
        for tried, case, person in self._held:
            ended = [call.t for call in self._calls(case, tried.sent) if call.method == tried.method]
            done = self._do(f"{tried.case}-afterwards", step, person) if ended else None
            if done is not None:
                asked.append((tried, person, done, max(0.0, _RETRIES_S - self.context.recorder.now() + min(ended))))
        for tried, person, done, more_s in asked:
            self._await(done, max(2 * self.habit_s, _AGAIN_S) + more_s, _anything)
            answered, began = done.answered, done.began
            if not answered:
                # Others are answered, and the chat is not, twice: it is neither the target's end nor its pace.
                other = self._do(f"{tried.case}-afterwards-other", step, _Person(self._user()))
                again = self._do(f"{tried.case}-afterwards-2", step, person)
                if other is None or again is None:
                    continue
                self._await(again, max(2 * self.habit_s, _AGAIN_S), _anything)
                self._await(other, 0.0, _anything)
                if not again.answered and not other.answered:
                    continue
                answered = again.answered
            now = self.context.recorder.now()
            said = began - self.context.spec.started
            seen = OutboundTried(now, tried.trouble, tried.method, tried.case, tried.chat, said, now, again=answered)
            self.context.recorder.emit(seen)

    def _ordered(self, order: Order, suffix: str, *, last: bool = False) -> bool:
        """One trial in which the first of those whom the target writes to has blocked it; whether the admin and the others got theirs."""
        name = f"outbound/{order.method}-blocked-ordered{order.text.partition(' ')[0]}{suffix}"
        person, admin = _Person(self._user()), _Person(0, tier=self.context.platform.tiers[-1])
        for number, step in enumerate(order.before):
            self._said(f"{name}-before-{number}", step, person)
        word, first, rest = (
            self._word() if order.worded else "",
            str(person.user) if order.before else order.chats[0],
            order.chats[1:],
        )
        what = "the admin's command while somebody whom it concerns blocked the bot"
        case = self._case(name, Step(f"{order.text} {word}".rstrip()), admin, summary=what)
        if case is None or self._died() or self.context.shared.reserves(case.chat):
            return True
        match = Matcher(direction=Direction.OUTBOUND, path=f"*/{order.method}", body=(("chat_id", first),))
        rule = Rule(name, FAULTS.build("botapi_blocked", {}), match, scope=Scope.EXCHANGE, first=1)
        began = self.context.recorder.now()

        def told() -> list[ApiCalled]:
            return self._to_crowd(case, began, word, (first, *order.chats))

        def got() -> bool:
            return any(reached(one) and str(one.chat) in rest for one in told())

        with self.disturbances.during([rule]), self.context.shared.alone(case.chat):
            done = self._fire(case, admin)
            with self._lock:
                self._under_way[name] = done.result
            patience = max(2 * self.habit_s, _AGAIN_S)
            self._await(done, patience, lambda calls: _anything(calls) and (not rest or got()))
        if self._died():
            return False
        with self._lock:
            self.context.recorder.record(self._under_way.pop(name))
        if not any(str(one.chat) == first and not reached(one) for one in told()):
            return True  # it did not write to that one, so nothing is shown
        answered, others = done.answered, got() if rest else None
        well = answered and others is not False
        if well or last or self.clock.over():
            now = self.context.recorder.now()
            tried = OutboundTried(now, "blocked", order.method, name, first, began, now, answered=answered, rest=others)
            self.context.recorder.emit(tried)
        return well

    def _met(self, done: _Done, trigger: Trigger) -> bool:
        """Waits until a call has met the trouble, as a target that acknowledges first may not have made it yet; whether one has."""
        start, until = done.began - self.context.spec.started, done.began + self.habit_s
        while monotonic() < until and not self.clock.should_stop():
            if any(
                call.method == trigger.method and (trigger.to is None or str(call.chat) == str(trigger.to))
                for call in self._calls(done.case, start, trigger.to)
            ):
                return True
            sleep(_POLL_S)
        return False

    def _others_asked(self, name: str, least_s: float) -> bool | None:
        """Whether one of two others, who ask at once, is answered in time: a bot of several workers may have one wait behind the chat in trouble."""
        step = self.usual
        if step is None or self.clock.over() or self._dead:
            return None
        people = {f"{name}-{number}": _Person(self._user()) for number in range(2)}
        with ThreadPoolExecutor(len(people), "fuzz-outbound-others") as hands:
            asked = [hands.submit(self._do, one, step, person) for one, person in people.items()]
        done = [one for future in asked if (one := future.result()) is not None]
        patience = max(2 * self.habit_s, least_s)
        for one in done:
            self._await(one, patience, _anything)
        return any(one.answered_by(one.began - self.context.spec.started + patience) for one in done) if done else None

    def _died(self) -> bool:
        self._dead = self._dead or not self.context.target.lives
        return self._dead

    def _asked(self, name: str, *, person: _Person | None = None, more_s: float = 0.0) -> bool | None:
        """Whether an ordinary update is answered as usual; None when there was no time, or nothing, to ask."""
        step = self.in_groups if person is not None and person.group is not None else None
        step = step or self.usual
        if self.clock.over() or self._dead or step is None:
            return None
        done = self._do(name, step, person or _Person(self._user()))
        if done is None:
            return None
        self._await(done, max(2 * self.habit_s, _AGAIN_S) + more_s, _anything)
        return done.answered

    # ── sending and waiting ──────────────────────────────────────────────────────────────────────────────────────────

    def _user(self) -> int:
        with self._lock:
            self._count += 1
            return _FIRST_USER + self._dice.integer(0, IDS) + self._count

    def _group(self) -> int:
        with self._lock:
            self._count += 1
            return _FIRST_GROUP - self._dice.integer(0, 10**8) - self._count

    def _do(self, name: str, step: Step, person: _Person) -> _Done | None:
        """Does one step that meets no trouble; None where the platform has no such update."""
        case = self._case(name, step, person)
        if case is None:
            return None
        done = self._fire(case, person)
        self._record(done.result)
        return done

    def _said(self, name: str, step: Step, person: _Person) -> _Done | None:
        """Does one step that meets no trouble, and waits until the target is done with it."""
        case = self._case(name, step, person)
        if case is None:
            return None
        done = self._fire(case, person, quietly=True)
        self._record(done.result)
        done.calls += self._calls(case, done.began - self.context.spec.started)
        _show(person, done.calls)
        return done

    def _record(self, result: CaseResult) -> None:
        with self._lock:
            self.context.recorder.record(result)

    def _case(
        self, name: str, step: Step, person: _Person, *, summary: str = "", trouble: Trouble | None = None
    ) -> Case | None:
        context = self.context
        stream = self._dice.at("case", name, person.user)
        planted = marker(stream)
        text = person.shown.get(deed_of(step.text), step.text) if step.pressed else step.text
        written = text if step.pressed or text.startswith("/") else f"{text} {planted}"
        kind = "callback_query" if step.pressed else ""
        user = None if person.tier else person.user
        update = context.platform.say(written, stream, tier=person.tier, user=user, chat=person.group, kind=kind)
        if update is None:
            return None
        expect = Expect() if trouble is None or trouble.final else Expect(_CHOSEN)
        case = context.case(update, stream, name, summary or text, expect)
        self._chats.add(str(case.chat))
        change = Change(Mechanism.TECHNIQUE, f"outbound-{trouble.name}" if trouble is not None else "outbound")
        return replace(case, group=GROUP, threat=Threat.NETWORK, change=change)

    def _fire(self, case: Case, person: _Person, *, quietly: bool = False) -> _Done:
        """Sends a case and takes in the call that the webhook's answer makes."""
        began = monotonic()
        target = self.context.target
        result = target.fire_quietly(case, "outbound") if quietly else target.fire(case, "outbound")
        _, replies = self.context.recorder.tried(result)
        _show(person, replies)
        return _Done(case, person, result, began, replies)

    def _await(
        self,
        done: _Done,
        patience_s: float,
        enough: Callable[[Sequence[ApiCalled]], bool],
        *,
        to: int | str | None = None,
    ) -> None:
        """Takes in the calls of a step, until they are `enough` and quiet for a moment, or patience ends."""
        start = done.began - self.context.spec.started
        until = done.began + patience_s
        replies = [call for call in done.calls if call.in_answer]  # the others are looked up anew
        changed = monotonic()
        while not self.clock.should_stop():
            now = [*replies, *self._calls(done.case, start, to)]
            if len(now) != len(done.calls):
                done.calls, changed = now, monotonic()
                _show(done.person, now)
            if (enough(done.calls) and monotonic() - changed >= self.quiet_s) or monotonic() >= until:
                break
            sleep(_POLL_S)

    def _calls(self, case: Case, since: float, to: int | str | None = None) -> Iterator[ApiCalled]:
        chats = {str(case.chat), *([str(to)] if to is not None else [])}
        for call in self._since(since):
            if str(call.chat) in chats or (call.callback and call.callback == case.callback):
                yield call

    def _since(self, since: float) -> Iterator[ApiCalled]:
        """The calls since a moment of the run, the latest first."""
        for call in reversed(self.context.target.calls()):
            if call.t < since - 1.0:
                return
            if call.t >= since:
                yield call


def _anything(calls: Sequence[ApiCalled]) -> bool:
    return any(map(reached, calls))


def _refusals(calls: Sequence[ApiCalled]) -> int:
    """How often the same call was refused for good, at most."""
    refused = Counter((call.method, call.text) for call in calls if call.status in _FOR_GOOD)
    return max(refused.values(), default=0)


def _show(person: _Person, calls: Iterable[ApiCalled]) -> None:
    for call in calls:
        for data in call.buttons:
            person.shown[deed_of(data)] = data


def _matcher(trigger: Trigger, case: Case) -> Matcher:
    """Which calls a trial's trouble meets."""
    if trigger.to is None and not tells(trigger.method) and case.callback:
        body = ("callback_query_id", case.callback)
    else:
        body = ("chat_id", str(trigger.to if trigger.to is not None else case.chat))
    return Matcher(direction=Direction.OUTBOUND, path=f"*/{trigger.method}", body=(body,))
