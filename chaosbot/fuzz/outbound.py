"""The outbound stage: each kind of trouble with the API that the target calls, on each method that it was seen to use.

Rules:

- What makes the target call is learned from the target: texts, the commands that its replies name, the buttons that they show.
- One trial is one user (or group) of its own, whose calls alone meet the trouble: the fault's rule names the chat, or the button
  press. Trials therefore run side by side, a few at a time. A call to somebody else's chat (a notice to an owner) is met there, in
  one trial at a time, beside the others.
- Beside each trial another user writes, and after it the same user writes again: both must be answered as usual.
- While a call gets no answer, others also do the same as who waits for it (press, write): what is done may hold a lock meanwhile.
- What the admin writes to many is met at the first of them; the others must get theirs all the same.
- Where a call gets no answer, its chat is asked again at the end of the campaign: by then the target has given the call up.
- How long a reply is waited for follows from the target's own habit, measured before the first trial.
- What looks wrong is tried once more before it is told. Nothing is judged here: `OutboundTried` says what was done and seen.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._outbound import reached
from chaosbot.core.case import Case
from chaosbot.core.event import ApiCalled, Noted, OutboundTried
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.observation import Died
from chaosbot.core.plan import Matcher, Rule, Scope
from chaosbot.fuzz.context import CampaignContext, Disturbances
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.triggers import Asking, Done, Order, Speaker, Trigger, anything
from chaosbot.fuzz.troubles import SILENCE, Trouble, tells, troubles_of

_AT_ONCE: Final = 3
"""Trials side by side, of the service's trouble: fewer than the failures in a row that trip a usual circuit breaker (5)."""
_REFUSALS_AT_ONCE: Final = 4
"""The same of refusals."""
_ORDERING_S: Final = 5.0
"""So long at least the admin's commands to others are tried where they come last."""
_OF_OTHERS: Final = frozenset({"blocked", "silence", "refused", "429"})
"""What a notice to the owner of a thing meets."""
_FOR_GOOD: Final = (400, 403)
_STUBBORN: Final = 3
"""So many refusals of one and the same call are waited for, where there was a second one."""
_STUBBORN_S: Final = 4.0
"""And so long."""
_RETRIES_S: Final = 7.0
"""How much longer the same chat may take afterwards: a target that keeps a chat's order first repeats the call that failed."""
_AGAIN_S: Final = 3.0
"""So long, at least, is waited for an ordinary answer."""
_HELD_S: Final = 22.0
"""After so long a call that gets no answer was waited for too long."""
_HOLDING_S: Final = 0.4
"""How long the silent call is waited for before others are asked."""
_CONFIRMING_S: Final = 2.0
"""So long after the stage's time what looks wrong is still tried once more."""
_CONFIRMED_S: Final = 8.0
"""And so long after it others, and the same chat, are asked then."""
_MOVED: Final = -1_000_000_000_000
_BEGINNING: Final = Step("/start")


def run_outbound(context: CampaignContext, clock: Clock) -> None:
    """Runs the trials that the time allows, what tells most first.

    Raises:
        TargetUnusable: The target's process ended and does not come back.
    """
    if context.disturbances is None:
        return
    trials = Trials(context, context.disturbances, clock)
    try:
        triggers = trials.learn()
        context.afterwards.append(trials.served_again)
        if not triggers:
            text = "outbound trouble was not tried: no ordinary message made the target call its API"
            context.recorder.emit(Noted(context.recorder.now(), "outbound", text))
            return
        ranked = [
            (3 * number + rank, trigger, replace(trouble, lossless=trouble.lossless and trigger.tells))
            for number, trigger in enumerate(triggers)
            for rank, trouble in enumerate(_troubles(trigger))
        ]
        trials.run([(trigger, trouble) for _, trigger, trouble in sorted(ranked, key=lambda one: one[0])])
    finally:
        trials.talks.stop()
        for result in trials.talks.take():
            context.recorder.record(result)


def _troubles(trigger: Trigger) -> list[Trouble]:
    """What calls of a trigger meet: each kind of trouble is met once by each method, and what else holds others up or leaves them without an answer."""
    if trigger.alike:
        return [SILENCE]
    found = troubles_of(trigger.method, notice=trigger.notice)
    return [one for one in found if trigger.recipe is None or one.name in _OF_OTHERS]


class Trials(Asking):
    """Runs trials for one campaign; its methods are called from several threads."""

    def __init__(self, context: CampaignContext, disturbances: Disturbances, clock: Clock) -> None:
        super().__init__(context, clock)
        self.disturbances = disturbances
        self._orders: Iterator[Order] | None = None
        self._order: Order | None = None
        """The one that is being tried."""
        self._under_way: dict[str, CaseResult] = {}
        self._held: list[tuple[OutboundTried, Case, Speaker]] = []
        self._mute: set[Trigger] = set()
        """What made the target call, and does not any more."""
        self._in_turn = False
        self._compared = threading.Event()

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
                sleep(POLL_S)
            # A target that does one thing after the other is asked so, or every trial would wait for the one before.
            if self._in_turn:
                first.result()
                self._asked("outbound/ready", self.clock)
            rest = [pair for pair in planned[0 if first.done() else 1 :] if pair in left]

            def one_by_one(line: Sequence[tuple[Trigger, Trouble]]) -> None:
                for pair in line:
                    one(pair)

            with ExitStack() as pools:
                work = [first]
                for lines, width in self._lanes(rest):
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

    def _lanes(self, rest: Sequence[tuple[Trigger, Trouble]]) -> list[tuple[list[list[tuple[Trigger, Trouble]]], int]]:
        """What is tried one after the other, and how many such lines go on side by side."""
        if self._in_turn:
            return [([[pair] for pair in rest], 1)]
        notices: dict[str, list[tuple[Trigger, Trouble]]] = defaultdict(list)
        for pair in rest:
            if pair[0].to is not None:
                notices[str(pair[0].to)].append(pair)
        own = [[pair] for pair in rest if pair[0].to is None and not pair[0].alike]
        # One at a time: who waits for an answer may keep one of few workers.
        deeds = [[pair for pair in rest if pair[0].alike]]
        service = [line for line in own if line[0][1].service]
        refusals = [line for line in own if not line[0][1].service]
        return [
            (service, _AT_ONCE),
            (refusals, _REFUSALS_AT_ONCE),
            ([*notices.values()], max(1, len(notices))),
            (deeds, 1),
        ]

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
        whose = "-to-owner" if trigger.recipe is not None else "-in-group" if trigger.grouped else ""
        if trigger.to is not None:
            whose = "-to-admin" if trigger.to == self.desk else "-elsewhere"
        name = f"outbound/{trigger.method}-{trouble.name}{whose}{trigger.alike and '-alike-'}{trigger.alike}"
        if trigger in self._mute or (trouble.group and self.in_groups is None):
            return True  # nothing comes of it, or the target says nothing in groups, so nothing can be lost there
        if trouble.group and self.in_groups is not None:
            trigger = Trigger(trigger.method, (self.in_groups,))
        # In the chat to which the target writes nobody else may be asking: what comes there would be taken for the trial's.
        with self.context.shared.alone(trigger.to):
            if self.clock.over():
                return False  # its turn in that chat came too late
            tried = self._begun(name, trigger, trouble)
            told = [tried] if tried is not None else []
            if told and not told[0][1] and not self._dead:
                if self.clock.should_stop() or monotonic() > self.clock.until + _CONFIRMING_S:
                    return False  # what was seen once, by a target that may only have been slow, is not told
                # A target that the first one still holds up calls nothing for the second: then the first one tells.
                again = self._begun(f"{name}-2", trigger, trouble, longer_s=_CONFIRMED_S)
                told = [again] if again is not None and again[1] else [*told, *([again] if again is not None else [])]
        if not told or self._dead:
            return trigger in self._mute
        with self._lock:
            for one, _ in told:
                self.context.recorder.emit(one)
        return True

    def _begun(
        self, name: str, trigger: Trigger, trouble: Trouble, longer_s: float = 0.0
    ) -> tuple[OutboundTried, bool] | None:
        """One attempt, with a new thing where something is done to one; others may be asked for so much longer than the stage's time."""
        there = self.about_a_thing(trigger)
        clock = Clock(self.clock.until + longer_s, self.clock.should_stop)
        attempt = self._beside if trigger.alike else self._attempt
        tried = attempt(name, there, trouble, clock) if there is not None else None
        if there is None or there in self._mute:
            self._mute.add(trigger)
        return tried

    def _attempt(
        self, name: str, trigger: Trigger, trouble: Trouble, clock: Clock
    ) -> tuple[OutboundTried, bool] | None:
        """Does the steps, the last while the trouble is there; what was seen, and whether all looks well.

        None where the target cannot be asked so, or died meanwhile.
        """
        person = Speaker(self._user(), self._group() if trouble.group or trigger.grouped else None)
        if any(self._said(f"{name}-before-{i}", step, person) is None for i, step in enumerate(trigger.steps[:-1])):
            return None
        what = f"an update while {trigger.method} {trouble.what}"
        case = self._case(name, trigger.steps[-1], person, summary=what, trouble=trouble)
        crowd = [
            self._case(f"{name}-beside-{number}", trigger.steps[-1], Speaker(self._user()))
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
                other = self._others_asked(f"{name}-other", trouble.others_s, self.usual, clock)
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
        again = self._asked(f"{name}-again", clock, person, starts=trouble.starts) if ask else None
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

    def _beside(self, name: str, trigger: Trigger, trouble: Trouble, clock: Clock) -> tuple[OutboundTried, bool] | None:
        """One does something, and the call gets no answer; two others do the same meanwhile. None where it gets no answer without trouble either."""
        people, last = [Speaker(self._user()) for _ in range(4)], len(trigger.steps) - 1
        with ThreadPoolExecutor(len(people), "fuzz-outbound-beside") as hands:
            ready = [
                hands.submit(self._go, f"{name}-ready-{n}", trigger.steps[:last], one) for n, one in enumerate(people)
            ]
        control = self._said(f"{name}-usual", trigger.steps[last], people.pop())
        case = self._case(
            name,
            trigger.steps[last],
            people[0],
            summary=f"{trigger.alike} while its calls get no answer",
            trouble=trouble,
        )
        if (
            not all(one.result() for one in ready)
            or control is None
            or not anything(control.calls)
            or case is None
            or case.chat is None
        ):
            self._mute.add(trigger)
            return None
        rule = Rule(
            name,
            FAULTS.build(trouble.fault, trouble.options),
            _matcher(trigger, case),
            scope=Scope.EXCHANGE,
            first=trouble.first,
        )
        with self.disturbances.during([rule]), ThreadPoolExecutor(1, "fuzz-outbound-fire") as hand:
            firing = hand.submit(self._fire, case, people[0])
            wait([firing], _HOLDING_S)
            other = self._others_asked(f"{name}-other", trouble.others_s, trigger.steps[last], clock, people[1:])
            until, done = self.context.recorder.now(), firing.result()
        self._record(done.result)
        if self._died():
            return None
        sent = done.began - self.context.spec.started
        tried = OutboundTried(
            until,
            trouble.name,
            trigger.method,
            name,
            case.chat,
            sent,
            until,
            acknowledged=done.result.outcome.ok,
            others=other,
        )
        return tried, other is not False

    def _no_more(self, trigger: Trigger, done: Done) -> None:
        """Nothing comes of it any more, so there is nothing that trouble could meet."""
        self._mute.add(trigger)
        self._record(done.result)

    def served_again(self) -> None:
        """Asks once more in the chats of the calls that got no answer, where the target has given these up by now."""
        step, target, asked = self.usual, self.context.target, list[tuple[OutboundTried, Speaker, Done, float]]()
        if step is None or not target.lives:
            return
        for tried, case, person in self._held:
            ended = [call.t for call in self._calls(case, tried.sent) if call.method == tried.method]
            done = self._do(f"{tried.case}-afterwards", step, person) if ended else None
            if done is not None:
                asked.append((tried, person, done, max(0.0, _RETRIES_S - self.context.recorder.now() + min(ended))))
        for tried, person, done, more_s in asked:
            self._await(done, max(2 * self.habit_s, _AGAIN_S) + more_s, anything)
            answered, began = done.answered, done.began
            if not answered:
                # Others are answered, and the chat is not, twice: it is neither the target's end nor its pace.
                other = self._do(f"{tried.case}-afterwards-other", step, Speaker(self._user()))
                again = self._do(f"{tried.case}-afterwards-2", step, person)
                if other is None or again is None:
                    continue
                self._await(again, max(2 * self.habit_s, _AGAIN_S), anything)
                self._await(other, 0.0, anything)
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
        person, admin = Speaker(self._user()), Speaker(0, tier=self.context.platform.tiers[-1])
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
            self._await(done, patience, lambda calls: anything(calls) and (not rest or got()))
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

    def _met(self, done: Done, trigger: Trigger) -> bool:
        """Waits until a call has met the trouble, as a target that acknowledges first may not have made it yet; whether one has."""
        start, until = done.began - self.context.spec.started, done.began + self.habit_s
        while monotonic() < until and not self.clock.should_stop():
            if any(
                call.method == trigger.method and (trigger.to is None or str(call.chat) == str(trigger.to))
                for call in self._calls(done.case, start, trigger.to)
            ):
                return True
            sleep(POLL_S)
        return False

    def _others_asked(
        self, name: str, least_s: float, step: Step | None, clock: Clock, people: Sequence[Speaker] = ()
    ) -> bool | None:
        """Whether one of two others, who ask at once, is answered in time: a bot of several workers may have one wait behind the chat in trouble."""
        if step is None or clock.over() or self._dead:
            return None
        people = people or [Speaker(self._user()) for _ in range(2)]
        with ThreadPoolExecutor(len(people), "fuzz-outbound-others") as hands:
            asked = [hands.submit(self._do, f"{name}-{n}", step, person) for n, person in enumerate(people)]
        done = [one for future in asked if (one := future.result()) is not None]
        patience = max(2 * self.habit_s, least_s)
        for one in done:
            self._await(one, patience, anything)
        return any(one.answered_by(one.began - self.context.spec.started + patience) for one in done) if done else None

    def _asked(self, name: str, clock: Clock, person: Speaker | None = None, *, starts: bool = False) -> bool | None:
        """Whether an ordinary update is answered as usual, where need be after a new beginning; None when there was no time, or nothing, to ask."""
        step = self.in_groups if person is not None and person.group is not None else None
        step = step or self.usual
        if clock.over() or self._dead or step is None:
            return None
        person = person or Speaker(self._user())
        if starts:
            self._said(f"{name}-starts", _BEGINNING, person)
        done = self._do(name, step, person)
        if done is None:
            return None
        self._await(done, max(2 * self.habit_s, _AGAIN_S) + _RETRIES_S, anything)
        return done.answered


def _refusals(calls: Sequence[ApiCalled]) -> int:
    """How often the same call was refused for good, at most."""
    refused = Counter((call.method, call.text) for call in calls if call.status in _FOR_GOOD)
    return max(refused.values(), default=0)


def _matcher(trigger: Trigger, case: Case) -> Matcher:
    """Which calls a trial's trouble meets."""
    if trigger.to is None and not tells(trigger.method) and case.callback:
        body = ("callback_query_id", case.callback)
    else:
        body = ("chat_id", str(trigger.to if trigger.to is not None else case.chat))
    return Matcher(direction=Direction.OUTBOUND, path=f"*/{trigger.method}", body=(body,))
