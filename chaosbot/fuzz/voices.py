"""Users who talk to the target in the state stage, one after another, side by side, or at once, and what each of them is told.

Rules:

- Everybody has a chat of their own; what comes there belongs to what was said last, what answers a press to that press.
- Speaking is done from several threads; what was sent is charged and recorded by the campaign's own thread, which takes it now and then.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from time import monotonic, sleep
from typing import Final, TypeVar

from chaosbot.checks._likeness import words_in
from chaosbot.checks._state import StateCheck, numbers, shape
from chaosbot.core.case import Case, Change
from chaosbot.core.check import CHECKS
from chaosbot.core.event import ApiCalled, StateTried
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import ENTRY, at_hand, complete, deed_of, drawn_in
from chaosbot.fuzz.numbered import Numbered, numbered
from chaosbot.fuzz.replies import POLL_S, speaks
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.usages import usages

T = TypeVar("T")
R = TypeVar("R")

FIRST_USER: Final = FRESH + 8 * IDS
_FIRST_GROUP: Final = -3_900_000_000
_AGREE: Final = 2
"""After so many lines of a kind of which as many calls came, as many are expected of the next one."""
ALL_ABREAST: Final = 24
_WIDTH: Final = {True: 12, False: 24}
"""So many are waited for side by side, by whether the target has nothing left to say when it has answered a delivery.

With more a busy target is late, and its answers are taken for none; of one that answers first, most are only waited for until they are all there.
"""
_FEW: Final = 4
"""So many are waited for side by side, at least, while it is looked at what belongs to people."""
_AS_QUICK: Final = (0.05, 3.0)
"""Replies that take no more seconds than this, or so many times what the quickest take, show that more may be waited for."""
_MORE: Final = 0.25
_FEWER: Final = 0.8
CALL_S: Final = 0.08
"""What a call to a platform's API usually takes over a network."""
_DECIDING_S: Final = 3.0
"""So long others wait for what is in doubt."""
_QUIETING_S: Final = 0.6
"""So long it takes at most until what was said is taken for answered, where all are to be silent."""
_CALM_S: Final = 30.0
"""The longest that is waited while it is looked who ended the target."""
TRIES: Final = 3
"""So often what is in doubt is tried: races are matters of chance."""
NOBODYS: Final = "700001"
"""The number of a thing that there is not."""
KEPT: Final = 200
"""So many characters of an answer are kept."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Lines that one user says one after the other; the last is the action.

    Args:
        lines: The lines.
        group: Whether it is said in a group.
        answers: Whether it is said in answer to another member's message.
        admin: Whether the admin says it.
    """

    lines: tuple[Step, ...]
    group: bool = False
    answers: bool = False
    admin: bool = False

    def then(self, *lines: Step) -> Dialogue:
        """This dialogue with more lines."""
        return replace(self, lines=(*self.lines, *lines))

    def __str__(self) -> str:
        """For people."""
        where = (" in a group" if self.group else "") + (" by the admin" if self.admin else "")
        return " → ".join(map(str, self.lines)) + where


@dataclass
class Speaker:
    """A user in a chat, and what the target told there last.

    Args:
        user: Who; None for the admin.
        group: In which group; None for the private chat.
        answers: Whether the user answers another member's message.
        number: The number that the target told last.
        settled: Whether the action has begun, so that the number stays what it is.
        below: The message below which the last buttons stand.
        buttons: Their data.
        told: What the target said last.
        choice: Which of several things of a kind is taken; people with different ones take different things.
        quotes: The message of the target that is answered.
        pressed: What each button of the action stood for when the action began, and below which message: pressed again, it is the same one.
        said: The numbers that they have said: what repeats one of them names no thing.
        entry: The command with a drawn name behind it that the target told last, for others to write.
    """

    user: int | None
    group: int | None = None
    answers: bool = False
    number: str = ""
    settled: bool = False
    below: int | None = None
    buttons: tuple[str, ...] = ()
    told: str = ""
    choice: int = 0
    quotes: int | None = None
    pressed: dict[Step, tuple[Step, int | None]] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a line: the texts, each cut and joined, the buttons, in how many calls, the texts as they were, and what answers a press alone."""

    text: str = ""
    buttons: tuple[str, ...] = ()
    calls: int = 0
    whole: str = ""
    toast: str = ""


class _Room:
    """How many are waited for side by side: as many as the target answers quickly, while others have to be answered as well.

    Args:
        most: So many at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._width = float(_FEW)
        self._busy = 0
        self._left = threading.Condition()

    @contextmanager
    def place(self, whole: bool) -> Iterator[None]:
        """Waits for a place, and holds it while entered.

        Args:
            whole: Whether there is nobody else to be answered, so that all places may be taken.
        """
        with self._left:
            while self._busy >= (self._most if whole else self._width):
                self._left.wait()
            self._busy += 1
        try:
            yield
        finally:
            with self._left:
                self._busy -= 1
                self._left.notify()

    def learn(self, *, quick: bool) -> None:
        """Learns from a reply: with quick ones there is room for more."""
        with self._left:
            wider = self._width + _MORE if quick else self._width * _FEWER
            self._width = min(self._most, max(_FEW, wider))
            self._left.notify()


class Voices:
    """Speaks for one campaign.

    Args:
        context: The campaign.
        clock: Until when.
        first: The number of the first one who speaks.
    """

    def __init__(self, context: CampaignContext, clock: Clock, first: int = 0) -> None:
        self.context = context
        self._should_stop = clock.should_stop
        self._stopped = False
        self.clock = self.until(clock.left())
        self.alone: dict[Dialogue, Answer] = {}
        """What was learned: what each dialogue's action is answered, with nobody beside it."""
        self.commands: list[str] = []
        """The commands of which everybody is told, without slash."""
        self.done = 0
        self.again: list[Callable[[], None]] = []
        """What is tried once more when all was tried once."""
        self.lock = threading.Lock()
        self.abreast = ALL_ABREAST
        """So many of what one trial does go side by side."""
        self._dice = context.dice.at("state", context.spec.endpoint.started)
        self._count = first
        self._doubts = 0
        self._may_speak = threading.Event()
        self._may_speak.set()
        self._latest: dict[str, str] = {}
        """The last case of each line, as people read it."""
        self._results: list[CaseResult] = []
        self._seen: dict[tuple[object, ...], tuple[int, ...]] = {}
        """How many calls came of the last lines of a kind."""
        self._room = _Room(_WIDTH[context.target.watch.prompt])

    @cached_property
    def takers(self) -> list[str]:
        """The commands that take something: a text shows it, or with something they were answered otherwise; all of them where none is known to."""
        texts = "\n".join(dict.fromkeys(call.text for call in list(self.context.target.calls()) if "/" in call.text))
        last = {one.lines[-1].text.partition(" ")[::2] for one in list(self.alone) if not one.lines[-1].pressed}
        given = {command for command, rest in last if rest}
        return [name for name in self.commands if f"/{name}" in given or usages(f"/{name}", texts)] or self.commands

    def new(self, dialogue: Dialogue | None = None) -> Speaker:
        """Somebody new, who is about to say this."""
        with self.lock:
            self._count += 1
            number = self._count
        group = (
            _FIRST_GROUP - self._dice.integer(0, 10**7) - number if dialogue is not None and dialogue.group else None
        )
        first, apart = FIRST_USER + self._dice.integer(0, IDS), self.context.apart
        user = first - first % apart + number * apart
        admin, answers = (dialogue.admin, dialogue.answers) if dialogue is not None else (False, False)
        return Speaker(None if admin else user, group, answers)

    def case(
        self, who: Speaker, line: Step, *, kind: str = "", form: str = "", like: Case | None = None
    ) -> Case | None:
        """The delivery of a line, if need be in one of the platform's forms; with `like`, an edit of that one."""
        with self.lock:
            self._count += 1
            name = f"state/{self._count}"
            self._latest[str(line)] = name
        place = self._dice.at("say", like.name if like is not None else name)
        choice = who.choice or (who.user or 0) // self.context.apart
        meant = at_hand(line, who.buttons, who.told, choice), who.below
        line, below = who.pressed.setdefault(line, meant) if who.settled and (line.pressed or line.shown) else meant
        known = numbered(self.context, line) if who.user is not None and not who.settled else None
        if known is not None:
            line = known.line(line, who.user or 0, self.context.apart)
        text = line.of(who.number).text.replace(ENTRY.text, who.entry)
        if line.ours and not who.settled:
            who.said.update(re.findall(r"\d+", text))
        platform = self.context.platform
        update = platform.say(
            text,
            place,
            tier=platform.tiers[-1] if who.user is None else "",
            user=who.user,
            kind="callback_query" if line.pressed else kind,
            chat=who.group,
            message=below if line.pressed else who.quotes,
            answers=FIRST_USER if who.answers and not line.pressed else None,
            form=form,
        )
        if update is None:
            return None
        case = self.context.case(update, place, name, str(line))
        return replace(case, group="state", threat=Threat.USER, change=Change(Mechanism.SCENARIO, "state"))

    def send(self, case: Case) -> list[ApiCalled]:
        """Sends it; the calls in the webhook's own answer."""
        self.context.target.calm.wait(_CALM_S)
        self._may_speak.wait(_CALM_S)
        if self._stopped:
            return []
        result = self.context.target.fire(case, "state")
        with self.lock:
            self._results.append(result)
        return self.context.recorder.tried(result)[1]

    @contextmanager
    def silent(self) -> Iterator[None]:
        """While entered, nothing is said; what was said before is answered first."""
        began = monotonic()
        while self._doubts and monotonic() - began < _DECIDING_S:
            sleep(POLL_S)
        self._may_speak.clear()
        sleep(min(self.context.target.watch.brief_s, _QUIETING_S))
        try:
            yield
        finally:
            # The time is not taken from those whose turn it is.
            with self.lock:
                self.clock = Clock(self.clock.until + monotonic() - began, self.clock.should_stop)
            self._may_speak.set()

    def take(self) -> list[CaseResult]:
        """What has come back since the last time."""
        with self.lock:
            results, self._results = self._results, []
        return results

    def stop(self) -> None:
        """Sends no more."""
        self._stopped = True
        self._may_speak.set()

    def until(self, seconds: float) -> Clock:
        """A clock for what goes on from now, which is over as well when nothing is sent any more."""
        return Clock(monotonic() + seconds, lambda: self._stopped or self._should_stop())

    def ask(self, who: Speaker, line: Step, calls: int = 0) -> Answer:
        """Says a line and waits until the target has answered and is quiet, or has made as many calls as it usually does.

        When the time is up nothing is said any more, nor told (`tell`).
        """
        case = self.case(who, line) if not self.clock.over() else None
        return Answer() if case is None else self.heard(who, case, calls)

    def heard(self, who: Speaker, case: Case, calls: int = 0) -> Answer:
        """Sends a line's delivery and waits as `ask` does."""
        watch, kind = self.context.target.watch, _kind(who, case)
        with self._room.place(self.context.looked.is_set()), watch.awaiting(case):
            began = monotonic()
            inside = self.send(case)
            if not (calls and len(inside) >= calls):
                # What is known to be answered may be slower than the rest.
                patience_s = watch.patience_s if calls else watch.brief_s
                likely = self._likely(kind)
                watch.quiet(case, began, replied=bool(inside), usual=calls, likely=likely, patience_s=patience_s)
        said = self.said(case, began)
        answer = self.understood(who, [*inside, *said], case.chat, case.callback)
        if said:
            soon_s, times = _AS_QUICK
            came = self.context.spec.started + min(call.t for call in said)
            self._room.learn(quick=came - began <= max(soon_s, times * watch.quick_s))
        if kind:
            with self.lock:
                self._seen[kind] = (*self._seen.get(kind, ()), answer.calls)[-_AGREE:]
        return answer

    def _likely(self, kind: tuple[object, ...]) -> int:
        """How many calls came of the last lines of a kind; 0 where they differed, or there were too few."""
        with self.lock:
            seen = self._seen.get(kind, ())
        return seen[0] if len(seen) == _AGREE and len(set(seen)) == 1 else 0

    def said(self, case: Case, began: float) -> list[ApiCalled]:
        """What the target called because of a case; what stands in its answer is known from there."""
        return [call for call in self.context.target.watch.replies(case, began) if not call.in_answer]

    @property
    def patience_s(self) -> float:
        """How long a first answer is waited for."""
        return self.context.target.watch.patience_s

    def understood(
        self, who: Speaker, calls: Iterable[ApiCalled], chat: int | str | None, press: str | None = None
    ) -> Answer:
        """Takes in what came to somebody, in their chat or to their press."""
        theirs = own(calls, chat, press)
        text = "\n".join(call.text[:KEPT] for call in theirs if call.text)
        if who.user is not None:
            text = text.replace(str(who.user), "{user}")
        for call in theirs:
            if call.buttons:
                who.below, who.buttons = call.message, call.buttons
        who.told = text
        buttons = tuple(button for call in theirs for button in call.buttons)
        found = names_in(text, buttons)
        found = [name for name in found if name not in who.said] or found
        whole = "\n".join(call.text for call in theirs)
        if not who.settled:
            who.number = found[-1] if found else who.number
            who.entry = next(iter(complete(whole)), who.entry)
        toast = "\n".join(call.text for call in theirs if call.callback and call.callback == press)
        return Answer(text, buttons, len(theirs), whole, toast)

    def play(self, dialogue: Dialogue, *, times: int = 1) -> list[Answer]:
        """Plays a dialogue by somebody new, its action several times; the answers to the action."""
        who = self.ready(dialogue)
        answers: list[Answer] = []
        for _ in range(times):
            if self.clock.over():
                break
            answers.append(self.act(who, dialogue, answers[0].calls if answers else 0))
        return answers

    def act(self, who: Speaker, dialogue: Dialogue, calls: int = 0) -> Answer:
        """Says the action, which usually gets so many calls where nothing else is known of it."""
        usual = self.alone.get(dialogue) or self.alone.get(replace(dialogue, group=False))
        known = self.context.usual.get((dialogue.group, *dialogue.lines), 0) or calls
        return self.ask(who, dialogue.lines[-1], usual.calls if usual is not None else known)

    def burst(
        self, lines: Sequence[tuple[Speaker, Step]], *, each: int = 1, toasts: bool = False, near: Sequence[str] = ()
    ) -> list[list[str]]:
        """Sends these at once; the texts that came to each one's chat or press (with `toasts` to presses only) meanwhile, for each chat once.

        Calls to those chats are slow meanwhile, and to the chats that are `near`.
        """
        cases = [case for who, line in lines if (case := self.case(who, line)) is not None]
        # A call that takes no time leaves none in which others may be overlooked.
        with self.slowed(cases, CALL_S, near=near):
            return self._sent_at_once(cases, each, toasts=toasts)

    def _sent_at_once(self, cases: Sequence[Case], each: int, *, toasts: bool) -> list[list[str]]:
        began = monotonic()
        # Hands of its own: the trial itself holds one of the pool's, and a full pool would wait for itself.
        with ThreadPoolExecutor(max(1, len(cases)), "fuzz-state-burst") as hands:
            inside = list(hands.map(self.send, cases))
        watch = self.context.target.watch
        changed, told = monotonic(), {str(case.chat): list[str]() for case in cases}
        while not self.clock.should_stop():
            heard: dict[str, dict[int, ApiCalled]] = {str(case.chat): {} for case in cases}
            for case, calls in zip(cases, inside, strict=True):
                theirs = own([*calls, *self.said(case, began)], case.chat, case.callback)
                told_of = (call for call in theirs if call.text and (call.callback or not toasts))
                heard[str(case.chat)].update((id(call), call) for call in told_of)
            before = sum(map(len, told.values()))
            told = {chat: [call.text[:KEPT] for call in calls.values()] for chat, calls in heard.items()}
            now = sum(map(len, told.values()))
            changed = monotonic() if now != before else changed
            if monotonic() - changed >= (watch.gap_s if now >= each * len(cases) else self.patience_s):
                break
            sleep(POLL_S)
        return list(told.values())

    def delivered(self, who: Speaker, line: Step, times: int) -> list[Answer]:
        """What somebody is told each time for a line whose one delivery comes so often; nothing when the time is up."""
        case = self.case(who, line) if not self.clock.over() else None
        return [self.heard(who, case) for _ in range(times)] if case is not None else []

    def contend(
        self, around: Sequence[tuple[Speaker, Step]], *, limited: bool, near: Sequence[str] = ()
    ) -> list[tuple[Speaker, str]]:
        """What people are told who ask for one thing at once; where it only counts them, the first and the last, before and after the others."""
        if limited:
            heard = self.burst(around, near=near)
            return [(who, "\n".join(texts)) for (who, _), texts in zip(around, heard, strict=True)]
        first, *rest, last = around
        before = self.ask(*first).text
        self.burst(rest, near=near)
        return [(first[0], before), (last[0], self.ask(*last).text)]

    def side_by_side(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The function's results, in their order."""
        with ThreadPoolExecutor(self.abreast, "fuzz-state") as hands:
            return list(hands.map(function, items))

    def tried(
        self,
        trial: str,
        what: object,
        alone: Sequence[Sequence[str]],
        control: Callable[[], Sequence[str]],
        attempt: Callable[[], Sequence[str]],
        others: Sequence[str] = (),
    ) -> None:
        """Tries something once, and where a check would find fault with that, with more care.

        Most of what is tried once shows nothing, and leaves the time to what was not tried yet. Races are matters of chance: all is tried
        again when everything was tried once (`again`).

        Args:
            trial: See `StateTried`.
            what: What is tried.
            alone: What was answered so far to who does it alone.
            control: Does it alone once more, for what is in doubt; nothing where that shows that nothing follows.
            attempt: Tries it; nothing where that is not possible any more.
            others: See `StateTried`.
        """
        habit: Sequence[Sequence[str]] = alone
        seen = [attempt()]
        in_doubt = bool(seen[0]) and self.in_doubt(trial, alone, seen, others)
        if in_doubt:
            with self.heard_out():
                seen += filter(None, [attempt() for _ in range(TRIES - 1)])
                habit = self._habit(trial, alone, control, seen, others)
        if habit and seen[0]:
            self.tell(trial, what, habit, seen, others)
        if not in_doubt or not habit:
            with self.lock:
                self.again.append(partial(self.tried, trial, what, alone, control, attempt, others))

    def gathered(self, what: object, made: Callable[..., tuple[str, ...]], every: tuple[str, ...]) -> None:
        """Several are made at once, as one after another: afterwards every one of them is there.

        Args:
            what: What is tried.
            made: Makes them, and gives the names of those that are there; what was shown with all of them is kept in its first argument.
            every: The names of all.
        """
        whole: list[str] = []
        control, attempt = (partial(made, whole, at_once=at_once) for at_once in (False, True))
        if (alone := control()) == every:
            self.tried("gathered", what, [alone], control, attempt, every)

    def twice(self, what: object, told: Callable[..., tuple[str]]) -> None:
        """What is delivered again shows as often as what is delivered once.

        Args:
            what: What is tried.
            told: Has something delivered so many `times`, and gives how often it shows.
        """
        alone = [told(times=1)]
        if not alone[0][0].isdigit() or alone[0] == ("0",):
            return
        seen = [told(times=2)]
        if seen != alone:
            with self.heard_out():
                alone, seen = [*alone, told(times=1)], [*seen, told(times=2)]
        if len(set(alone)) == 1:
            self.tell("again", what, alone, seen)

    @contextmanager
    def heard_out(self) -> Iterator[None]:
        """While entered, nobody is silent, and there is time: what was seen once only is not left undecided."""
        with self.lock:
            self._doubts += 1
            self.clock = Clock(max(self.clock.until, monotonic() + _DECIDING_S), self.clock.should_stop)
        try:
            yield
        finally:
            with self.lock:
                self._doubts -= 1

    def _habit(
        self,
        trial: str,
        alone: Sequence[Sequence[str]],
        control: Callable[[], Sequence[str]],
        seen: Sequence[Sequence[str]],
        others: Sequence[str],
    ) -> Sequence[Sequence[str]]:
        """What was answered to who does something alone, twice alike: of three times others may have disturbed one; nothing where a control shows that nothing follows."""
        first = control()
        if not first or self.in_doubt(trial, [*alone, first], seen, others):
            return [*alone, first] if first else []
        second = control()
        pairs = ([*alone, second], [first, second]) if second else ()
        return next((pair for pair in pairs if self.in_doubt(trial, pair, seen, others)), [*alone, first])

    def try_again(self) -> None:
        """Tries once more what has shown nothing."""
        for _ in range(TRIES - 1):
            with self.lock:
                again, self.again = self.again, []
            self.side_by_side(lambda one: one(), again)

    def in_doubt(
        self, trial: str, alone: Sequence[Sequence[str]], seen: Sequence[Sequence[str]], others: Sequence[str]
    ) -> bool:
        """Whether a check that judges such trials finds fault with this one."""
        told = StateTried(0.0, trial, "", "", tuple(map(tuple, alone)), tuple(map(tuple, seen)), tuple(others))
        return any(trial in check.trials and check.broken(told) is not None for check in self._judges)

    @cached_property
    def _judges(self) -> list[StateCheck]:
        every = map(CHECKS.build, CHECKS.names())
        return [check for check in every if isinstance(check, StateCheck)]

    def tell(
        self,
        trial: str,
        what: object,
        alone: Iterable[Iterable[str]],
        seen: Iterable[Iterable[str]],
        others: Iterable[str] = (),
    ) -> None:
        """Says what a trial showed (see `StateTried`); nothing when the time is up, as some of it may not have been said."""
        if self.clock.over():
            return
        with self.lock:
            self.done += 1
            # The case that is shown is the last one of what was tried, and not what somebody beside it said.
            _, case = max(((str(what).rfind(line), name) for line, name in self._latest.items()), default=(0, ""))
            event = StateTried(
                self.context.recorder.now(),
                trial,
                case,
                str(what),
                tuple(tuple(play) for play in alone),
                tuple(tuple(play) for play in seen),
                tuple(others),
            )
            self.context.recorder.emit(event)

    def slowed(
        self, cases: Sequence[Case], seconds: float, first: int | None = None, near: Sequence[str] = ()
    ) -> AbstractContextManager[None]:
        """While entered, calls to these cases' chats, to those that are `near`, and to their presses, or so many of each, take so long, as calls do over a network."""
        if self.context.disturbances is None:
            return nullcontext()
        chats, presses = (
            {*near, *(str(case.chat) for case in cases)},
            {case.callback for case in cases if case.callback},
        )
        return self.context.disturbances.slowed(sorted(chats), seconds, first, presses=sorted(presses))

    def one(self, dialogue: Dialogue) -> Answer:
        """What somebody new is answered at the end of a dialogue."""
        return next(iter(self.play(dialogue)), Answer())

    def deeds(self) -> list[Dialogue]:
        """What people do, the shortest dialogue for each answer."""
        found: dict[str, Dialogue] = {}
        for one in sorted(self.alone, key=lambda one: len(one.lines)):
            if not one.admin:
                found.setdefault(said_alike(one, self.alone[one]), one)
        return list(found.values())

    def in_turn(self, action: Dialogue, users: int) -> list[str]:
        """What so many users are told who do something one after another."""
        ready = self.side_by_side(self.ready, [action] * users)
        return [self.act(who, action).text for who in ready if not self.clock.over()]

    def ready(self, action: Dialogue, choice: int = 0) -> Speaker:
        """Somebody new who has said all lines but the last."""
        who = self.new(action)
        who.choice = choice or (who.user or 0) // self.context.apart
        self.walk(who, replace(action, lines=action.lines[:-1]))
        who.settled = True
        return who

    def walk(self, who: Speaker, dialogue: Dialogue) -> None:
        """Says all lines of a dialogue; what another one has already is asked for by another number."""
        for number, line in enumerate(dialogue.lines, 1):
            said = replace(dialogue, lines=dialogue.lines[:number])
            known = numbered(self.context, line)
            if known is None or who.user is None:
                self.act(who, said)
            else:
                self._take(known, who, who.user, said)

    def _take(self, known: Numbered, who: Speaker, user: int, said: Dialogue) -> None:
        known.ask(
            user, who, lambda: words_in(self.act(who, said).whole), lambda other, back: self.ask(Speaker(other), back)
        )


def _kind(who: Speaker, case: Case) -> tuple[object, ...]:
    """What lines that do the same have in common; empty for words that mean something else each time."""
    whose = who.user is None, who.group is not None
    if case.callback:
        return *whose, deed_of(case.summary.removeprefix(str(Step("", pressed=True))))
    command, *rest = case.summary.split() or [""]
    return (*whose, command, len(rest)) if command.startswith("/") else ()


def names_in(text: str, buttons: Iterable[str]) -> list[str]:
    """What may name a thing in an answer, the likeliest last: a drawn name, or else its numbers, those last that stand in most buttons below it."""
    shown = Counter(number for data in buttons for number in set(re.findall(r"\d+", data)))
    return drawn_in(text, buttons)[:1] or sorted(map(str, numbers(text)), key=lambda number: shown[number])


def own(calls: Iterable[ApiCalled], chat: int | str | None, press: str | None = None) -> list[ApiCalled]:
    """The calls that succeeded and that are seen in a chat, or by who pressed."""
    return [
        call
        for call in calls
        if speaks(call)
        and (call.status is None or call.status < 300)
        and (str(call.chat) == str(chat) or (call.callback and call.callback == press))
    ]


def said_alike(dialogue: Dialogue, answer: Answer) -> str:
    """An answer without numbers, and without what it repeats of what was said."""
    said = {word for line in dialogue.lines for word in re.findall(r"[^\W\d_]+", line.text)}
    text = answer.text
    # However many words are said behind a command, they are repeated as one.
    for rest in sorted({_behind(line) for line in dialogue.lines if not line.pressed} - {""}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(rest)}(?!\w)", "~", text)
    return re.sub(r"[^\W\d_]+", lambda word: "~" if word[0] in said else word[0], shape(text))


def _behind(line: Step) -> str:
    return line.text.partition(" ")[2] if line.text.startswith("/") else line.text
