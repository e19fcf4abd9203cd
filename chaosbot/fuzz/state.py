"""The state stage: what the target remembers, asked for by many at once, by two in turns, and out of turn.

Rules:

- What is said comes from the target: the ways that were explored (`chaosbot.fuzz.exploring`), the signs that its help texts name, the
  numbers that it tells. A dialogue is a few such lines; the last one is its action; ``{n}`` stands for the number that was told last.
- Each trial has controls: the same dialogue, by somebody new, one step after another. Where two controls disagree nothing follows.
- A trial with a number that all users share is done alone; the others are done side by side, each in chats of its own.
- Races are matters of chance: each is tried a few times, and all tries stand in the event.
- Nothing is judged here: `StateTried` says what was asked and answered, checks judge the history.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, sleep
from typing import Final, TypeVar

from chaosbot.checks._likeness import commands_in
from chaosbot.checks._state import bounded, counts, limit, numbers, shape
from chaosbot.core.case import Case, Change
from chaosbot.core.event import ApiCalled, CaseTried, Noted, StateTried
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import at_hand, chosen, deed_of, kind_of, ways_of
from chaosbot.fuzz.replies import POLL_S, speaks, without_echo
from chaosbot.fuzz.requests import renumbered
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.usages import NUMBER, TEXT

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 6
"""So many times something is asked for at once."""
TRIES: Final = 3
_LOOK: Final = 4
"""So many answers in a row show whether something is counted or bounded."""
_IN_A_ROW: Final = 4
_PEOPLE: Final = 5
"""So many users ask for one thing."""
_HANDS: Final = 16
_FIRST_USER: Final = 4_503_560_000_000_000
_FIRST_GROUP: Final = -3_900_000_000
_MOST_COMMANDS: Final = 16
_MOST_ACTIONS: Final = 40
_MOST_ORDERS: Final = 16
_LEARNING: Final = 0.4
"""The part of the stage's time in which ways are explored, where nothing has done so before."""
_CONVERSATIONS: Final = 4
"""So many conversations are tried."""
_SLOWED_S: Final = 0.4
_CALL_S: Final = 0.08
"""What a call to a platform's API usually takes over a network."""
_LEAST_S: Final = 0.5
_ALONE: Final = 8
"""So many openers are looked at one at a time where, side by side, none began anything, and so many things to say to an operator."""
_DOUBTFUL: Final = 0.35
"""The part of the stage's time left for looking one at a time at what was not clear side by side."""
_QUESTION: Final = re.compile(r"[?？؟:：…]\s*$", re.MULTILINE)
_KEPT: Final = 200
"""So many characters of an answer are kept."""
_SIGN: Final = re.compile(r"(?<!\S)([^\w\s/.,;:!?()\[\]{}<>«»\"'“”„—–-]{1,2})(?=[\s.,;!]|$)")
_HELP: Final = ("start", "help")


_SAID: Final = (Step(TEXT, ours=True), Step(NUMBER, ours=True))
"""What is said where a target may have asked for something: most questions take one of them."""


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a line: the texts, joined, the buttons, and in how many calls."""

    text: str = ""
    buttons: tuple[str, ...] = ()
    calls: int = 0


def run_state(context: CampaignContext, clock: Clock) -> None:
    """Learns what the target remembers, then tries its memory."""
    if context.store.seen.replies == "none" or not context.platform.tiers:
        return
    with ThreadPoolExecutor(_HANDS, "fuzz-state") as pool:
        trials = _Trials(context, clock, pool)
        trials.learn()
        for trial, share in (
            (trials.crossed, 0.3),
            (trials.races, 0.65),
            (trials.conversations, 0.5),
            (trials.shared_numbers, 0.5),
            (trials.order, 0.5),
            (trials.operators, 1.0),
        ):
            if clock.over():
                break
            # No trial leaves nothing to those that come after it.
            trials.clock = Clock(monotonic() + clock.left() * share, clock.should_stop)
            trial()
            context.show("state", 0)
    text = f"{len(trials.alone)} dialogues were learned, {trials.done} trials done"
    context.recorder.emit(
        Noted(context.recorder.now(), "state", text, {"dialogues": [str(one) for one in trials.alone]})
    )


class _Trials:
    """Learns and tries for one campaign; speaking is done from several threads."""

    def __init__(self, context: CampaignContext, clock: Clock, pool: ThreadPoolExecutor) -> None:
        self.context = context
        self.clock = clock
        self.alone: dict[Dialogue, Answer] = {}
        self.plain: dict[tuple[bool, Step], list[str]] = defaultdict(list)
        self.done = 0
        self._commands: list[str] = []
        self._pool = pool
        self._dice = context.dice.at("state", context.spec.endpoint.started)
        self._count = 0
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    # ── speaking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _new(self, dialogue: Dialogue | None = None) -> Speaker:
        with self._lock:
            self._count += 1
            number = self._count
        group = (
            _FIRST_GROUP - self._dice.integer(0, 10**7) - number if dialogue is not None and dialogue.group else None
        )
        first, apart = _FIRST_USER + self._dice.integer(0, 10**9), self.context.apart
        user = first - first % apart + number * apart
        admin, answers = (dialogue.admin, dialogue.answers) if dialogue is not None else (False, False)
        return Speaker(None if admin else user, group, answers)

    def _case(self, who: Speaker, line: Step, *, kind: str = "", like: Case | None = None) -> Case | None:
        """The delivery of a line; with `like`, an edit of that one."""
        with self._lock:
            self._count += 1
            name = f"state/{self._count}"
        place = self._dice.at("say", like.name if like is not None else name)
        choice = who.choice or (who.user or 0) // self.context.apart
        meant = at_hand(line, who.buttons, who.told, choice), who.below
        line, below = who.pressed.setdefault(line, meant) if who.settled and line.pressed else meant
        text = line.text.replace("{n}", who.number or "7")
        platform = self.context.platform
        update = platform.say(
            text,
            place,
            tier=platform.tiers[-1] if who.user is None else "",
            user=who.user,
            kind="callback_query" if line.pressed else kind,
            chat=who.group,
            message=below if line.pressed else who.quotes,
            answers=_FIRST_USER if who.answers and not line.pressed else None,
        )
        if update is None:
            return None
        case = self.context.case(update, place, name, str(line))
        return replace(case, group="state", threat=Threat.USER, change=Change(Mechanism.SCENARIO, "state"))

    def _send(self, case: Case) -> list[ApiCalled]:
        """Sends and records it; the calls in the webhook's own answer."""
        result = self.context.target.fire(case, "state")
        with self._lock:
            if self.context.target.suspicious(result):
                self.context.attribution.after([result])
            self.context.recorder.record(result)
        return self.context.recorder.tried(result)[1]

    def _ask(self, who: Speaker, line: Step, calls: int = 0) -> Answer:
        """Says a line and waits until the target has answered and is quiet, or has made as many calls as it usually does."""
        case = self._case(who, line)
        return Answer() if case is None else self._heard(who, case, calls)

    def _heard(self, who: Speaker, case: Case, calls: int = 0) -> Answer:
        began, watch = monotonic(), self.context.target.watch
        with watch.awaiting(case):
            inside = self._send(case)
            if not (calls and len(inside) >= calls):
                watch.quiet(case, began, replied=bool(inside), usual=calls)
        return self._understood(who, [*inside, *self._said(case, began)], case.chat, case.callback)

    def _said(self, case: Case, began: float) -> list[ApiCalled]:
        """What the target called because of a case; what stands in its answer is known from there."""
        return [call for call in self.context.target.watch.replies(case, began) if not call.in_answer]

    def _understood(
        self, who: Speaker, calls: Iterable[ApiCalled], chat: int | str | None, press: str | None = None
    ) -> Answer:
        own = _own(calls, chat, press)
        text = "\n".join(call.text[:_KEPT] for call in own if call.text)
        if who.user is not None:
            text = text.replace(str(who.user), "{user}")
        found = numbers(text)
        if found and not who.settled:
            who.number = str(found[-1])
        for call in own:
            if call.buttons:
                who.below, who.buttons = call.message, call.buttons
        who.told = text
        return Answer(text, tuple(button for call in own for button in call.buttons), len(own))

    def _play(self, dialogue: Dialogue, *, times: int = 1) -> list[Answer]:
        """Plays a dialogue by somebody new, its action several times; the answers to the action."""
        who = self._ready(dialogue)
        answers: list[Answer] = []
        for _ in range(times):
            if self.clock.over():
                break
            answers.append(self._act(who, dialogue, answers[0].calls if answers else 0))
        return answers

    def _act(self, who: Speaker, dialogue: Dialogue, calls: int = 0) -> Answer:
        """Says the action, which usually gets so many calls where nothing else is known of it."""
        usual = self.alone.get(dialogue) or self.alone.get(replace(dialogue, group=False))
        known = self.context.usual.get((dialogue.group, *dialogue.lines), 0) or calls
        return self._ask(who, dialogue.lines[-1], usual.calls if usual is not None else known)

    def _burst(self, lines: Sequence[tuple[Speaker, Step]], *, each: int = 1) -> list[list[str]]:
        """Sends these at once; the texts that came to each one's chat meanwhile, for each chat once."""
        cases = [case for who, line in lines if (case := self._case(who, line)) is not None]
        # A call that takes no time leaves none in which others may be overlooked.
        with self._slowed({str(case.chat) for case in cases}, _CALL_S):
            return self._sent_at_once(cases, each)

    def _sent_at_once(self, cases: Sequence[Case], each: int) -> list[list[str]]:
        began = monotonic()
        # Hands of its own: the trial itself holds one of the pool's, and a full pool would wait for itself.
        with ThreadPoolExecutor(max(1, len(cases)), "fuzz-state-burst") as hands:
            inside = list(hands.map(self._send, cases))
        chats = {str(case.chat): case for case in cases}
        answers: dict[str, list[ApiCalled]] = {}
        watch = self.context.target.watch
        wanted = each * len(cases)
        changed, count = monotonic(), -1
        while not self.clock.should_stop():
            answers = {
                chat: [
                    *(
                        call
                        for one, calls in zip(cases, inside, strict=True)
                        if str(one.chat) == chat
                        for call in calls
                    ),
                    *self._said(case, began),
                ]
                for chat, case in chats.items()
            }
            now = sum(bool(call.text) for calls in answers.values() for call in calls)
            if now != count:
                changed, count = monotonic(), now
            if monotonic() - changed >= (watch.gap_s if count >= wanted else watch.patience_s):
                break
            sleep(POLL_S)
        return [
            [call.text[:_KEPT] for call in _own(answers[chat], chat, case.callback) if call.text]
            for chat, case in chats.items()
        ]

    def _side_by_side(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return list(self._pool.map(function, items))

    def _tell(
        self,
        trial: str,
        what: object,
        alone: Iterable[Iterable[str]],
        seen: Iterable[Iterable[str]],
        others: Iterable[str] = (),
    ) -> None:
        with self._lock:
            self.done += 1
            event = StateTried(
                self.context.recorder.now(),
                trial,
                f"state/{self._count}",
                str(what),
                tuple(tuple(play) for play in alone),
                tuple(tuple(play) for play in seen),
                tuple(others),
            )
            self.context.recorder.emit(event)

    # ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def learn(self) -> None:
        """Takes the target's ways as dialogues, and asks for what they do not say: signs, numbers, and what comes to somebody who has begun nothing."""
        ways = ways_of(self.context, Clock(monotonic() + self.clock.left() * _LEARNING, self.clock.should_stop))
        for way in (*ways, *self.context.group_ways):
            if way.steps[0].joins:
                continue  # nothing that is said
            press = next((call.callback for call in way.replies if call.callback), None)
            answer = self._understood(Speaker(way.who.user), way.replies, way.who.chat, press)
            if answer.text:
                self.alone[Dialogue(way.steps, group=way.who.group is not None)] = answer
        own, told = self._told()
        # A conversation that begins with the greeting need not be named anywhere.
        self._commands = [name for name in dict.fromkeys((*_HELP, *told)) if name not in own][:_MOST_COMMANDS]
        asked = [Dialogue((Step(f"/{name}"),)) for name in self._commands]
        self._try([one for one in asked if one not in self.alone])
        self._keep_telling()
        # In answer to somebody, and as people forget to.
        self._try([Dialogue((Step(sign),), group=True, answers=to) for sign in self._signs() for to in (True, False)])
        # What was begun before, where all share one conversation, ends with the first ones.
        for said in _SAID:
            self._one(Dialogue((said,)))
        plain = [Dialogue((said,), group=group) for group in (False, True) for said in _SAID for _ in range(2)]
        for dialogue, answer in zip(plain, self._side_by_side(self._one, plain), strict=True):
            self.plain[dialogue.group, dialogue.lines[0]].append(answer.text)
        self._references()

    def _one(self, dialogue: Dialogue) -> Answer:
        return next(iter(self._play(dialogue)), Answer())

    def _try(self, dialogues: Sequence[Dialogue]) -> None:
        if not self.clock.over():
            answers = self._side_by_side(self._one, dialogues)
            self.alone.update((one, answer) for one, answer in zip(dialogues, answers, strict=True) if answer.text)

    def _told(self) -> tuple[frozenset[str], list[str]]:
        """The commands that only the admin is told of, and all in the order in which they were told."""
        by_admin: list[str] = []
        everybody: list[str] = []
        cases = self.context.recorder.cases.values()
        admin = self._case(Speaker(None), Step("hello"))
        admins = {str(admin.chat)} if admin is not None else set()
        # In a group the admin is answered before everybody's eyes.
        admins |= {str(case.chat) for case in list(cases) if admin is not None and case.user == admin.user}
        for call in self._calls():
            (by_admin if str(call.chat) in admins else everybody).extend(_commands(call))
        # Where that was noted, it was before the admin gave them in groups, whose cases are recorded a while after their replies.
        known = bool(self.context.learned("commands"))
        own = frozenset(self.context.learned("admin")) if known else frozenset(by_admin) - frozenset(everybody)
        return own, list(dict.fromkeys((*everybody, *by_admin)))

    def _calls(self) -> list[ApiCalled]:
        """All that the target has said so far, in its answers as well."""
        inside = (event for event in self.context.recorder.events if isinstance(event, ApiCalled))
        tried = (event for event in self.context.recorder.events if isinstance(event, CaseTried))
        return list(without_echo([*self.context.target.calls(), *inside], tried))

    def _signs(self) -> list[str]:
        """Signs that texts about commands name as something to write."""
        texts = {call.text for call in self._calls() if commands_in(call.text)}
        return list(dict.fromkeys(sign for text in sorted(texts) for sign in _SIGN.findall(text)))[:3]

    def _keep_telling(self) -> None:
        """Of what is done in the same way, with another argument or another button of a kind, keeps one for each answer."""
        seen: set[tuple[str, ...]] = set()
        for dialogue, answer in list(self.alone.items()):
            deeds = (deed_of(line.text) if line.pressed else line.text.partition(" ")[0] for line in dialogue.lines)
            key = (str(dialogue.group), *deeds, shape(answer.text))
            if key in seen:
                del self.alone[dialogue]
            seen.add(key)

    def _references(self) -> None:
        """Commands that take the number which another one told: they answer it unlike any number."""
        tells = [one for one in self._deeds() if numbers(self.alone[one].text)][:8]
        again = dict(zip(tells, self._side_by_side(self._one, tells), strict=True))
        makers = [one for one in tells if numbers(again[one].text) != numbers(self.alone[one].text)][:4]
        tried = [(maker, maker.then(Step(f"/{name} {{n}}"))) for maker in makers for name in self._commands]
        answers = self._side_by_side(self._one, [one for _, one in tried])
        for (_, one), answer in zip(tried, answers, strict=True):
            name = one.lines[-1].text.partition(" ")[0]
            known = {
                shape(other.text)
                for dialogue, other in self.alone.items()
                if len(dialogue.lines) == 1 and dialogue.lines[0].text.partition(" ")[0] == name
            }
            if answer.text and shape(answer.text) not in known:
                self.alone[one] = answer

    # ── answers that cross ───────────────────────────────────────────────────────────────────────────────────────────

    def crossed(self) -> None:
        """Many users at once, each with something else: everybody gets the answer to their own."""
        single = [one for one in self.alone if len(one.lines) == 1 and not one.group]
        # One of each command: what one of them is told in turns, another one may be told next.
        asked = list({one.lines[0].text.partition(" ")[0]: one for one in reversed(single)}.values())[::-1][:_HANDS]
        # Where one's answer depends on who else is there (people are brought together), nobody's own can be told.
        again = self._side_by_side(lambda one: [self._one(one).text for _ in range(2)], asked)
        steady = [
            one
            for one, plays in zip(asked, again, strict=True)
            if {*map(shape, plays)} == {shape(self.alone[one].text)}
        ]
        astray = list(self._astray(steady))
        asked = [*steady, *astray]
        for row in (asked, asked, *([astray] if astray else [])):
            if self.clock.over() or len(asked) < 2:
                return
            users = [(self._new(), row[number % len(row)]) for number in range(_HANDS)]
            heard = self._burst([(who, one.lines[0]) for who, one in users])
            usual = [[self.alone[one].text] for _, one in users]
            self._tell("crossed", f"{_HANDS} users at once", usual, heard)

    def _astray(self, steady: Sequence[Dialogue]) -> Iterator[Dialogue]:
        """Commands that are answered alike one at a time only: while others write, the answer may go to one of them."""
        until = monotonic() + self.clock.left() * _DOUBTFUL
        for name in self._commands:
            one = Dialogue((Step(f"/{name}"),))
            if one in steady or monotonic() >= until:
                continue
            first, second = self._one(one), self._one(one)
            if first.text and shape(first.text) == shape(second.text):
                self.alone[one] = second
                yield one

    # ── conversations ────────────────────────────────────────────────────────────────────────────────────────────────

    def conversations(self) -> None:
        """What one begins nobody else ends: a text after a command is somebody's own, in private and in a group."""
        own = [one for one in self.alone if not one.group and not one.admin]
        likely = [
            (replace(one, lines=one.lines[:-1]), one.lines[-1])
            for one in own
            if len(one.lines) > 1 and one.lines[-1] in _SAID
        ]
        # Where all share one conversation, another may have ended somebody's: they are looked at one at a time, questions first.
        openers = sorted(
            (one for one in own if not one.lines[-1].ours), key=lambda one: not _QUESTION.search(self.alone[one].text)
        )
        others = [(one, said) for one in openers[:_ALONE] for said in _SAID if (one, said) not in likely]
        begun: dict[str, tuple[Dialogue, Step]] = {}
        until = monotonic() + self.clock.left() * _DOUBTFUL
        for pair in [*likely, *others]:
            if monotonic() >= until or len(begun) >= _CONVERSATIONS or (begun and pair not in likely):
                break
            # Buttons side by side mostly begin the same, and one text that is understood is enough.
            name = " ".join(deed_of(line.text) if line.pressed else line.text for line in pair[0].lines)
            if name not in begun and self._ends(answer := self._one(pair[0].then(pair[1])), pair[1]):
                self.alone[pair[0].then(pair[1])] = answer
                begun[name] = pair
        # Groups first: they tell each other apart, and more bots forget that several people write in one chat.
        self._side_by_side(lambda pair: self._apart(replace(pair[0], group=True), pair[1]), begun.values())
        for opener, said in begun.values():
            self._apart(opener, said)

    def _ends(self, answer: Answer, said: Step) -> bool:
        """Whether an answer is none that a text of somebody gets who has begun nothing."""
        return bool(answer.text) and shape(answer.text) not in map(shape, self.plain[False, said])

    def _apart(self, opener: Dialogue, text: Step) -> None:
        if self.clock.over():
            return
        ending = self._one(opener.then(text)).text
        seen = []
        for _ in range(2):
            first = self._new(opener)
            other = replace(self._new(), group=first.group)
            self._walk(first, opener)
            seen.append((self._ask(other, text).text, self._ask(first, text).text))
        if self.clock.over():
            return
        trial = "group-conversation" if opener.group else "conversation"
        usual = [(one,) for one in self.plain[opener.group, text]]
        self._tell(trial, f"{opener} by one user, then {text} by another", usual, seen, (ending,))

    def _deeds(self) -> list[Dialogue]:
        """What people do, the shortest dialogue for each answer."""
        found: dict[str, Dialogue] = {}
        for one in sorted(self.alone, key=lambda one: len(one.lines)):
            if not one.admin:
                found.setdefault(shape(self.alone[one].text), one)
        return list(found.values())

    # ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def order(self) -> None:
        """Updates of one chat, each acknowledged before the next one leaves: answers come in their order."""
        told = [one for one in self._deeds() if len(one.lines) == 1 and not one.group][:3]
        if len(told) < 2:
            return
        rows = [told[number % len(told)] for number in range(_IN_A_ROW)]

        def row(_: int) -> tuple[list[str], list[str]]:
            quiet, quick = self._new(), self._new()
            usual = [self._act(quiet, one).text for one in rows]
            with self._slowed([str(quick.user)], _SLOWED_S, first=1):
                return usual, self._in_a_row(quick, [one.lines[0] for one in rows])

        pairs = self._side_by_side(row, range(TRIES))
        if self.clock.over():
            return
        self._tell("order", " · ".join(map(str, rows)), [usual for usual, _ in pairs], [heard for _, heard in pairs])

    def _in_a_row(self, who: Speaker, lines: Sequence[Step]) -> list[str]:
        """Says lines as fast as they are acknowledged; the answers in the order in which they come."""
        began = monotonic()
        inside: list[ApiCalled] = []
        case: Case | None = None
        for line in lines:
            case = self._case(who, line)
            inside += self._send(case) if case is not None else []
        if case is None:
            return []
        changed, calls = monotonic(), list[ApiCalled]()
        while monotonic() - changed < self.context.target.watch.patience_s + _SLOWED_S and len(calls) < len(lines):
            heard = [call for call in _own(self._said(case, began), case.chat, case.callback) if call.text]
            calls, changed = (heard, monotonic()) if len(heard) != len(calls) else (calls, changed)
            sleep(POLL_S)
        return [call.text[:_KEPT] for call in [*inside, *sorted(calls, key=lambda call: call.t)] if call.text]

    def _slowed(self, chats: Iterable[str], seconds: float, first: int | None = None) -> AbstractContextManager[None]:
        """While entered, calls to these chats, or so many of each, take so long, as calls do over a network."""
        if self.context.disturbances is None:
            return nullcontext()
        return self.context.disturbances.slowed(chats, seconds, first)

    # ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────

    def races(self) -> None:
        """What one does several times at once, and what several do, side by side: each is about people and things of its own."""
        with ThreadPoolExecutor(2, "fuzz-state-races") as both:
            for race in [both.submit(self.at_once), both.submit(self.one_thing)]:
                race.result()

    def at_once(self) -> None:
        """One user does the same several times at once, the admin in a group as well: all of it counts, and no limit is passed."""
        orders = self._orders()
        actions = [*orders, *self._deeds()[:_MOST_ACTIONS]]
        plays = self._side_by_side(lambda one: [a.text for a in self._play(one, times=_LOOK)], actions)
        told = [one for one, play in zip(actions, plays, strict=True) if _changes(play)]
        # Whatever the admin does may be numbered for all, so that is done in turns.
        by_admin = [one for one in told if one.admin]
        self._side_by_side(self._all_raced, [by_admin, *([one] for one in told if not one.admin)])

    def _all_raced(self, actions: Iterable[Dialogue]) -> None:
        for one in actions:
            self._raced(one)

    def _raced(self, action: Dialogue) -> None:
        alone: list[list[str]] = []
        if self.clock.over():
            return
        for _ in range(2):
            alone.append([answer.text for answer in self._play(action, times=AT_ONCE + 2)])
            limited = limit(alone) is not None
            if len(alone[-1]) < AT_ONCE + 2 or not (limited or counts(alone)):
                return
        seen: list[list[str]] = []
        for _ in range(TRIES):
            if self.clock.over():
                break
            who, last = self._ready(action), action.lines[-1]
            if limited:
                seen.append(self._burst([(who, last)] * (AT_ONCE + 2))[0])
                continue
            first = self._act(who, action).text
            burst = self._burst([(who, last)] * AT_ONCE)[0]
            seen.append([first, *burst, self._act(who, action).text])
        if seen:
            self._tell("at-once", action, alone, seen)
        if not limited:
            self._edited(action, own=True)

    def shared_numbers(self) -> None:
        """Several users do the same at once, where the target numbers what all of them do: no two get one number."""
        for action in self._deeds():
            if self.clock.over():
                return
            if not numbers(self.alone[action].text):
                continue
            other = self._one(action)
            if numbers(other.text) == numbers(self.alone[action].text):
                continue
            alone = self._in_turn(action, AT_ONCE + 2)
            if counts([alone, alone]):
                self._tell("users-at-once", action, [alone], [self._together(action) for _ in range(2)])
                self._edited(action)

    def one_thing(self) -> None:
        """Several users ask for one thing at once: what it counts counts each of them, and no more get it than there is."""
        # What is said again by the answer may be what began it, so that all that was learned is looked at.
        actions = [
            one
            for one in sorted(self.alone, key=lambda one: (len(one.lines), not one.group))
            if not one.admin and (any(map(chosen, one.lines)) or one.group or "{n}" in one.lines[-1].text)
        ]
        with ThreadPoolExecutor(_HANDS, "fuzz-state-things") as hands:
            list(hands.map(self._contended, actions[:_MOST_ACTIONS]))

    def _contended(self, action: Dialogue) -> None:
        alone: list[list[str]] = []
        if self.clock.over():
            return
        for _ in range(2):
            around = self._around(action)
            alone.append([self._ask(who, step).text for who, step in around if not self.clock.over()])
            if len(alone[-1]) < _PEOPLE or len(set(map(shape, alone[-1]))) > 2 or len(set(alone[-1])) == 1:
                return
        # In a group nothing tells for sure which of those who ask at once an answer is for.
        limited = bounded(alone) is not None and around[0][0].group is None
        if not (limited or counts(alone)):
            return
        seen: list[list[str]] = []
        for _ in range(TRIES):
            around = self._around(action)
            if self.clock.over():
                break
            if limited:
                seen.append(["\n".join(texts) for texts in self._burst(around)])
                continue
            first, *rest, last = around
            before = self._ask(*first).text
            self._burst(rest)
            seen.append([before, self._ask(*last).text])
        if seen:
            self._tell("one-thing-once" if limited else "one-thing", f"{action} by {_PEOPLE} users", alone, seen)

    def _around(self, action: Dialogue) -> list[tuple[Speaker, Step]]:
        """Users who may all ask for one thing, and what each then says.

        The thing is what one of them has begun, in their group or under the number that was told, or else a button that all are shown.
        """
        last = action.lines[-1]
        first = self._ready(action)
        if first.group is not None or "{n}" in last.text:
            others = [replace(first, user=self._new().user) for _ in range(_PEOPLE - 1)]
            return [(who, at_hand(last, first.buttons, first.told, first.choice)) for who in (first, *others)]
        with ThreadPoolExecutor(_PEOPLE, "fuzz-state-people") as hands:
            people = [first, *hands.map(partial(self._ready, choice=first.choice), [action] * (_PEOPLE - 1))]
        shown = [data for data in first.buttons if all(data in who.buttons for who in people)]
        with self._lock:
            fresh = [data for data in shown if kind_of(data) == kind_of(last.text) and data not in self._taken]
            self._taken.update(fresh[:1])
        if last.pressed and chosen(last) and fresh:
            return [(who, replace(last, text=fresh[0])) for who in people]
        if any(map(chosen, action.lines[:-1])):
            return [(who, last) for who in people]
        # What each is shown is their own; a group is shown what one of its members has begun.
        return self._around(replace(action, group=True))

    def _in_turn(self, action: Dialogue, users: int) -> list[str]:
        ready = self._side_by_side(self._ready, [action] * users)
        return [self._act(who, action).text for who in ready if not self.clock.over()]

    def _ready(self, action: Dialogue, choice: int = 0) -> Speaker:
        who = self._new(action)
        who.choice = choice or (who.user or 0) // self.context.apart
        self._walk(who, replace(action, lines=action.lines[:-1]))
        who.settled = True
        return who

    def _walk(self, who: Speaker, dialogue: Dialogue) -> None:
        """Says all lines of a dialogue."""
        for number in range(len(dialogue.lines)):
            self._act(who, replace(dialogue, lines=dialogue.lines[: number + 1]))

    def _together(self, action: Dialogue) -> list[str]:
        first, *rest, last = self._side_by_side(self._ready, [action] * (AT_ONCE + 2))
        before = self._act(first, action).text
        heard = self._burst([(who, action.lines[-1]) for who in rest])
        return [before, *("\n".join(texts) for texts in heard), self._act(last, action).text]

    def _edited(self, action: Dialogue, *, own: bool = False) -> None:
        """An edit of what was said does it no second time.

        Args:
            action: What is said.
            own: Whether what it counts is counted for each user.
        """
        if action.lines[-1].pressed or self.clock.over():
            return
        alone = [answer.text for answer in self._play(action, times=3)] if own else self._in_turn(action, 3)
        seen = []
        for _ in range(2):
            who = self._ready(action)
            case = self._case(who, action.lines[-1])
            edit = self._case(who, action.lines[-1], kind="edited_message", like=case)
            numbered = self._numbered(edit) if edit is not None else None
            if case is None or numbered is None:
                return
            first = self._heard(who, case).text
            again = self._heard(who, numbered).text
            seen.append((first, again, self._act(who if own else self._ready(action), action).text))
        self._tell("edited", action, [alone], seen)

    def _numbered(self, case: Case) -> Case | None:
        """The case with another delivery id."""
        number = case.update_id
        if not isinstance(number, int):
            return None
        return renumbered(case, number, number + 1, self.context.target.resigned, update_id=number + 1)

    # ── the admin ────────────────────────────────────────────────────────────────────────────────────────────────────

    def operators(self) -> None:
        """Where the target passes on to its admin what others write, the admin's answer reaches who wrote it."""
        desk = self._case(Speaker(None), Step(TEXT)) if len(self.context.platform.tiers) > 1 else None
        if desk is None or self.context.shared.reserves(desk.chat):
            return
        told = [one for one in self._deeds() if one.lines[-1].ours and not one.group]
        for one in (Dialogue((Step(TEXT, ours=True),)), *told[:_ALONE]):
            _, passed_on = self._written(one, desk)
            if passed_on is not None and not self.clock.over():
                alone = [self._operated(one, desk, others=0) for _ in range(2)]
                seen = [self._operated(one, desk, others=1) for _ in range(2)] if all(map(any, alone)) else []
                if seen:
                    self._tell("operator", f"{one} by two users, the admin answers the first", alone, seen)
                return

    def _written(self, dialogue: Dialogue, desk: Case) -> tuple[Case | None, int | None]:
        """Somebody new writes; the message in which the target passed it on to its admin."""
        who, began = self._ready(dialogue), monotonic()
        case = self._case(who, dialogue.lines[-1])
        if case is None:
            return None, None
        self._heard(who, case)
        told = [call.message for call in self._said(desk, began) if speaks(call) and str(call.chat) == str(desk.chat)]
        return case, next((message for message in told if message is not None), None)

    def _operated(self, dialogue: Dialogue, desk: Case, *, others: int) -> tuple[str, ...]:
        """Users write one after the other and the admin answers the first; which of them got something."""
        written = [self._written(dialogue, desk) for _ in range(1 + others)]
        if written[0][1] is None:
            return ()  # an answer to nothing may go to whoever is meant by it
        began = monotonic()
        answer = self._case(Speaker(None, quotes=written[0][1]), Step(f"answer {TEXT}"))
        if answer is None:
            return ()
        self._heard(Speaker(None), answer)
        names = ("who wrote first", "who wrote last")
        return tuple(
            name
            for name, (case, _) in zip(names, written, strict=False)
            if case is not None
            and any(speaks(call) and str(call.chat) == str(case.chat) for call in self._said(case, began))
        )

    def _orders(self) -> list[Dialogue]:
        """The admin's own commands, each in groups of its own, in answer to a member."""
        own, told = self._told()
        forms = self.context.orders or [f"/{name}{more}" for name in told if name in own for more in (" {member}", "")]
        forms = [form.replace("{member}", str(_FIRST_USER)) for form in forms]
        return [Dialogue((Step(form),), group=True, answers=True, admin=True) for form in forms[:_MOST_ORDERS]]


def _own(calls: Iterable[ApiCalled], chat: int | str | None, press: str | None = None) -> list[ApiCalled]:
    """The calls that succeeded and that are seen in a chat, or by who pressed."""
    return [
        call
        for call in calls
        if speaks(call)
        and (call.status is None or call.status < 300)
        and (str(call.chat) == str(chat) or (call.callback and call.callback == press))
    ]


def _commands(call: ApiCalled) -> list[str]:
    keys = [key for key in call.keys if key.startswith("/")]
    return [word for text in (call.text, *keys) for word in commands_in(text)]


def _changes(play: Sequence[str]) -> bool:
    """Whether an action's answers change when it is repeated."""
    return len(play) == _LOOK and bool(play[0]) and len(set(play)) > 1
