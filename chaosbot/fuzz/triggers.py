"""What makes the target call its API, learned from the target: by its users, in private and in groups, and by its admin, who writes to many.

How the outbound stage speaks to it stands here as well: everybody in a chat of their own, so that calls can be told apart by their chats.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import commands_in
from chaosbot.checks._outbound import reached
from chaosbot.core.case import Case, Change, Expect
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.marker import marker, plain_word
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import ASKED, Way, deed_of, ways_of
from chaosbot.fuzz.making import MOST_DEEDS, Recipe, candidates, deeds_in, deeds_to, first_told, make
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.spec import Clock, TimeIsUp
from chaosbot.fuzz.talks import Step, Talks
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.troubles import GROUP, Trouble, tells

_WIDTH: Final = 6
"""So many groups are asked at once."""
_FIRST_USER: Final = FRESH + 14 * IDS
_FIRST_GROUP: Final = -4_000_000_000
_BESIDE: Final = ("answerCallbackQuery", "sendChatAction", "deleteMessage")
"""Calls beside a reply, which must come whatever becomes of them."""
_ANSWER: Final = "Anna"
_ORDERS: Final = 8
_RECIPES: Final = 2
_DEEDS: Final = 4
"""So many deeds others do as well while the first one's call gets no answer."""
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
        alike: What others do as well meanwhile, for people; empty where they do what is usual.
        grouped: Whether it is done in a group.
        recipe: How somebody else makes the thing that it is done to, ``{}`` in the step, where the call goes to that one.
    """

    method: str
    steps: tuple[Step, ...]
    to: int | str | None = None
    tells: bool = True
    alike: str = ""
    grouped: bool = False
    recipe: Recipe | None = None

    @property
    def notice(self) -> bool:
        """Whether the call goes to somebody else than who does it."""
        return self.to is not None or self.recipe is not None


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
class Speaker:
    """A user in a chat of their own, or somebody of a tier, and the buttons that they were shown there."""

    user: int
    group: int | None = None
    tier: str = ""
    shown: dict[str, str] = field(default_factory=dict)


@dataclass
class Done:
    """A step that was done: the case, and the calls in its chat and to its press."""

    case: Case
    person: Speaker
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


class Asking:
    """Asks a target in chats of its own, and learns what makes it call its API; called from several threads."""

    def __init__(self, context: CampaignContext, clock: Clock) -> None:
        self.context = context
        self.clock = clock
        self.habit_s = _MOST_S
        self.quiet_s = context.target.watch.gap_s
        self.usual: Step | None = None
        self.in_groups: Step | None = None
        self.talks = Talks(context, clock, "outbound", part="owners", first=_FIRST_USER + IDS // 2)
        """In which others make the things that something is done to."""
        self._dice = context.dice.at("outbound", context.spec.endpoint.started)
        self._count = 0
        self._lock = threading.Lock()
        self._before: tuple[Step, ...] = ()
        self._chats: set[str] = set()
        self._settled: frozenset[str] = frozenset()
        """Chats of people of this stage with whom nothing goes on any more."""
        self._dead = False

    # ── what makes the target call ───────────────────────────────────────────────────────────────────────────────────

    def learn(self) -> list[Trigger]:
        """Finds what makes the target call, one trigger for each method and kind of chat; measures how long its replies take."""
        until = monotonic() + self.clock.left() * _LEARNING
        ways = ways_of(self.context, Clock(until, self.clock.should_stop))
        ways = [way for way in ways if not any("{n}" in step.text for step in way.steps)]
        walked = [(way.steps, way.replies) for way in ways]
        watch = self.context.target.watch
        self.habit_s, self.quiet_s = min(_MOST_S, max(_LEAST_S, 1.5 * watch.patience_s)), watch.gap_s
        answering = [steps[0] for steps, calls in walked if len(steps) == 1 and any(map(reached, calls))]
        with ThreadPoolExecutor(_WIDTH, "fuzz-outbound") as pool:
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
        for way in self.context.group_ways:
            for call in way.replies if not any("{n}" in step.text or step.joins for step in way.steps) else ():
                if not call.in_answer and tells(call.method):
                    found.setdefault(call.method, Trigger(call.method, way.steps, grouped=True))
        self.usual = next(iter(answering), None)
        triggers = sorted(found.values(), key=lambda one: not tells(one.method))
        self._before = max((steps for steps, _ in walked), key=len, default=())
        # Before the admin is asked anything: what comes to the admin then may be an answer.
        others = list(self._to_others(walked, monotonic() + self.clock.left() * _LEARNING / 2))
        self._settled = frozenset(self._chats)
        owners = list(self._to_owners(ways, monotonic() + self.clock.left() * _LEARNING / 4))
        return [*triggers, *owners, *_deeds(ways, candidates(self.context.target.calls(), ways)), *others]

    def _to_owners(self, ways: Sequence[Way], until: float) -> Iterator[Trigger]:
        """What others do to a thing so that its owner is told of it."""
        seen = set[str]()
        self.talks.clock = Clock(until, self.clock.should_stop)
        own = set(self.context.learned("admin"))
        commands = [f"/{name}" for name in self.context.learned("commands") if name not in own]
        recipes = self.context.recipes[:_RECIPES]
        deeds = deeds_to(self.talks, ways, commands)[:MOST_DEEDS] if recipes else []
        for recipe in recipes:
            methods = self.talks.run(partial(self._noticed, recipe, deed) for deed in deeds)
            for deed, method in zip(deeds, methods, strict=False):
                if method and method not in seen:
                    seen.add(method)
                    yield Trigger(method, (Step(deed, ours=True),), recipe=recipe)
        self.talks.clock = self.clock

    def _noticed(self, recipe: Recipe, deed: str) -> str:
        """The method by which the owner of a new thing is told what somebody does to it; empty where they are not."""
        made = make(self.talks, recipe)
        if made is None:
            return ""
        known = len(self.context.target.calls())
        self.talks.say(self.talks.stranger(), Step(deed.replace("{}", made.name), ours=True))
        wanted = lambda call: tells(call.method) and not call.in_answer  # noqa: E731 - one line
        call = first_told(self.talks, {str(made.owner.chat)}, known, wanted, _LATE_S)
        return call.method if call is not None else ""

    def about_a_thing(self, trigger: Trigger) -> Trigger | None:
        """The trigger, done to a thing that somebody has made just now; None where that cannot be made."""
        if trigger.recipe is None:
            return trigger
        with suppress(TimeIsUp):
            made = make(self.talks, trigger.recipe)
            if made is not None and made.owner.chat is not None:
                steps = tuple(replace(step, text=step.text.replace("{}", made.name)) for step in trigger.steps)
                return replace(trigger, steps=steps, to=made.owner.chat)
        return None

    def _learn_group(self, pool: ThreadPoolExecutor, steps: Sequence[Step]) -> None:
        """Finds something that is answered in a group."""

        def asked(step: Step) -> bool:
            done = self._said(f"outbound/learn-group{step.text}", step, Speaker(self._user(), self._group()))
            return done is not None and done.answered

        tried = sorted(steps, key=lambda step: not step.text.startswith("/"))[:_WIDTH]
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
            person = Speaker(self._user())
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
                        sleep(POLL_S)
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
        admin = Speaker(0, tier=platform.tiers[-1] if len(platform.tiers) > 1 else "")
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
            done = self._ask_admin(Step(f"{text} {word}".rstrip()), admin, anything) if ask else None
            if done is None:
                return
            others = self._to_crowd(done.case, began, word, self._settled)
            if others and done.answered:
                chats = tuple(dict.fromkeys(str(one.chat) for one in others))
                yield Order(others[0].method, text, worded, chats, () if len(chats) > 1 else self._before)

    def _ask_admin(self, step: Step, admin: Speaker, enough: Callable[[Sequence[ApiCalled]], bool]) -> Done | None:
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
        case = self._case("outbound/desk", Step(ASKED[0]), Speaker(0, tier=tiers[-1])) if len(tiers) > 1 else None
        return case.chat if case is not None else None

    def _died(self) -> bool:
        self._dead = self._dead or not self.context.target.lives
        return self._dead

    def _go(self, name: str, steps: Iterable[Step], person: Speaker) -> bool:
        """Somebody takes steps one after the other; whether all could be taken."""
        return all(self._said(f"{name}-{number}", step, person) is not None for number, step in enumerate(steps))

    # ── sending and waiting ──────────────────────────────────────────────────────────────────────────────────────────

    def _user(self) -> int:
        with self._lock:
            self._count += 1
            return _FIRST_USER + self._dice.integer(0, IDS) + self._count

    def _group(self) -> int:
        with self._lock:
            self._count += 1
            return _FIRST_GROUP - self._dice.integer(0, 10**8) - self._count

    def _do(self, name: str, step: Step, person: Speaker) -> Done | None:
        """Does one step that meets no trouble; None where the platform has no such update."""
        case = self._case(name, step, person)
        if case is None:
            return None
        done = self._fire(case, person)
        self._record(done.result)
        return done

    def _said(self, name: str, step: Step, person: Speaker) -> Done | None:
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
        self, name: str, step: Step, person: Speaker, *, summary: str = "", trouble: Trouble | None = None
    ) -> Case | None:
        context = self.context
        stream = self._dice.at("case", name, person.user)
        planted = marker(stream)
        text = person.shown.get(deed_of(step.text), step.text) if step.pressed else step.text
        # What the target has offered, and numbers and days, are said as they stand.
        plain = step.ours and not any(map(str.isdigit, text))
        written = f"{text} {planted}" if (plain or text in ASKED) and not text.startswith("/") else text
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

    def _fire(self, case: Case, person: Speaker, *, quietly: bool = False) -> Done:
        """Sends a case and takes in the call that the webhook's answer makes."""
        began = monotonic()
        target = self.context.target
        result = target.fire_quietly(case, "outbound") if quietly else target.fire(case, "outbound")
        _, replies = self.context.recorder.tried(result)
        _show(person, replies)
        return Done(case, person, result, began, replies)

    def _await(
        self,
        done: Done,
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
            sleep(POLL_S)

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
            if call.t >= since and not call.in_answer:
                yield call


def _deeds(ways: Sequence[Way], made: Iterable[Way]) -> list[Trigger]:
    """What people do that may change something, one way for each command or kind of button: first what seems to make something."""
    found: dict[str, Trigger] = {}
    for way in chain(made, sorted(ways, key=lambda one: not one.steps[-1].pressed)):
        last, deeds = way.steps[-1], deeds_in(way.steps)
        call = next((call for call in way.replies if reached(call) and not call.in_answer and tells(call.method)), None)
        if call is not None and (last.pressed or last.ours) and not any(step.shown or step.joins for step in way.steps):
            deed = f"the button {deeds[-1]}" if last.pressed else deeds[0]
            if deed:  # what is just a text is usual: all others say one beside each trial
                found.setdefault(deed, Trigger(call.method, way.steps, alike=deed))
    return list(found.values())[:_DEEDS]


def anything(calls: Sequence[ApiCalled]) -> bool:
    """Whether a user saw something of the calls."""
    return any(map(reached, calls))


def _show(person: Speaker, calls: Iterable[ApiCalled]) -> None:
    for call in calls:
        for data in call.buttons:
            person.shown[deed_of(data)] = data
