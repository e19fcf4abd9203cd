"""The forms stage: what the target waits for, in every form in which it can come.

A handler is written for the usual form of a command, of a press, of an answer to a question. Only the target's own words reach it, so
changing an update that means nothing to the target does not.

Rules:

- Words and questions are those that the vocabulary stage has found: somebody new goes a way again, up to its last step.
- The last step is then taken in another form; a question is also answered by every other kind of content and by degenerate texts. Of
  both a question gets several before a word is said in the next form.
- Who was shown a button presses it with its data changed, part by part, one after the other; only where something comes of it is each tried
  by somebody new.
- Afterwards the same person asks something ordinary, and something plain that is answered from what is kept. Who gets no answer is charged
  when it happens to a second person as well while somebody new is answered, and who takes the last step as usual is.
- What stands in the places of a command's usage is changed by users here (`chaosbot.fuzz.places`).
- Somebody writes much, and asks to see it.
- What there is no time for goes on beside the stages after those that would be disturbed.
- Where a question answers any ordinary word, an odd one without an answer is tried again, and compared with an ordinary one.
- Nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from math import inf
from time import sleep
from typing import Any, Final

from chaosbot.checks._likeness import words
from chaosbot.core.case import Case, Change, Expect, Reach
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.observation import Silenced
from chaosbot.core.platform import Platform
from chaosbot.core.values import SHORT_WORD, TEXTS, TextValue
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import Way, at_hand, kind_of, walk
from chaosbot.fuzz.places import ArgumentSeries, said
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.spec import Clock, TimeIsUp
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.talks import Person, Step, Talks, mixes
from chaosbot.fuzz.usages import NUMBER, TEXT

_WORDS: Final = 32
"""So many of the target's words are said in other forms."""
_QUESTIONS: Final = 8
"""So many of its questions are answered."""
_MAKERS: Final = 4
"""With so many ways to write something, somebody writes much."""
_READERS: Final = 10
_FILLER: Final = "chaos " * 700
_SIZES: Final = (900, 900, 900, 900, 900, 4090)
"""So long are the texts: together, and the last one alone, longer than a message that shows them may be."""
_CONTENTS, _TEXTS = 4, 2
"""So many other kinds of content, and degenerate texts, answer each question for one form in which a word is said."""
_BESIDE: Final = 4
"""So many people at once go on beside other stages, which need the target as well."""
_LACKS: Final = "form/without-"
_LOOK_S: Final = 0.3
"""How often the target's health is looked at."""
_SEPARATOR: Final = re.compile(r"[:|/,;#_ -]")
_NUMBER: Final = re.compile(r"(?<!\d)\d{1,30}(?!\d)", re.ASCII)
"""More digits are no number of anything, and Python reads no more than 4300."""
_MOST_NUMBERS: Final = 3
_PRESSES: Final = 5
"""So many odd data are pressed before it is looked whether who presses is still served."""
_LONGEST_DATA: Final = 64
"""Bytes (Bot API, InlineKeyboardButton)."""


@dataclass(frozen=True)
class End:
    """Where a way ends, with what people usually do there.

    Args:
        name: Its name in those of cases.
        before: The steps to it.
        usual: What is usually done.
        after: What is usually done then.
    """

    name: str
    before: tuple[Step, ...]
    usual: Step
    after: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Odd:
    """What somebody does there instead.

    Args:
        end: Where.
        word: Its name.
        what: What it is, for people.
        place: What all that one mistake lets through have in common.
        make: Makes its update from its dice, who does it, and what is usually done as it was offered to them.
        told: Whether it gets an answer where the usual does.
    """

    end: End
    word: str
    what: str
    place: str
    make: Callable[[Dice, int, Step], Any]
    told: bool = False


def run_forms(context: CampaignContext, clock: Clock) -> None:
    """Goes the target's ways again, and takes their last steps in other forms; what there is no time for is left for later (`CampaignContext.resume`)."""
    if context.store.seen.replies == "none" or not context.platform.tiers:
        return
    desk = _Desk(Talks(context, clock, "forms"))
    context.shared.beside(desk.talks, "forms", desk.work)
    while context.shared.reserves("forms"):
        sleep(_LOOK_S)
        observe(context, context.shared.take())
        context.show("forms", 0)
    context.later = partial(desk.resume, clock.should_stop)


def _ends(ways: Sequence[Way]) -> tuple[list[End], list[tuple[End, bool]]]:
    """Where words of the target's lead, and its questions, each with whether it answers any ordinary word."""
    said: dict[str, tuple[Step, ...]] = {}
    asked: dict[object, tuple[Step, ...]] = {}
    known: dict[tuple[Step, ...], set[str]] = {}
    question = {way.steps: (frozenset(words(way.replies)), frozenset(map(kind_of, way.buttons))) for way in ways}
    for way in ways:
        last = way.steps[-1]
        if not last.ours:
            said.setdefault(kind_of(last.text), way.steps)
        elif len(way.steps) > 1 and not last.text.startswith("/"):
            before = way.steps[:-1]
            # What asks in the same words is one question, whatever led to it.
            known.setdefault(asked.setdefault(question.get(before, before), before), set()).add(last.text)
    questions: list[tuple[End, bool]] = []
    for nth, before in enumerate(list(asked.values())[:_QUESTIONS]):
        # A day or a time, where one is asked for, and what is answered at all.
        answers = (way for way in ways if way.steps[:-1] == before and way.steps[-1].ours)
        usual = min(answers, key=lambda way: (not way.replies, not _dated(way.steps[-1]), way.steps[-1].text != TEXT))
        answer = usual.steps[-1]
        end = End(f"answer-{nth}", before, answer, _after(ways, (*before, answer)))
        questions.append((end, known[before] >= {TEXT, NUMBER}))
    return [End(f"{nth}", one[:-1], one[-1]) for nth, one in enumerate(list(said.values())[:_WORDS])], questions


def _dated(step: Step) -> bool:
    return len(_NUMBER.findall(step.text)) > 1


def _trials(
    platform: Platform, dice: Dice, ends: Sequence[End], questions: Sequence[tuple[End, bool]]
) -> Iterator[Odd]:
    """What is tried, in the seed's order, each end's in turn with the others'; several for a question in each turn."""
    rows: list[Iterator[Odd]] = []
    for end, told in questions:
        place = dice.at("order", end.name)
        first, *others = _texts(platform, end, told=told)
        contents = iter(_contents(platform, dice, end, told=told))
        texts = iter([first, *place.shuffled(others)])
        rows += [contents] * _CONTENTS + [texts] * _TEXTS + [iter(place.at("forms").shuffled(_formed(platform, end)))]
    rows += [iter(dice.at("order", end.name).shuffled(_formed(platform, end))) for end in ends]
    while rows:
        left = []
        for row in rows:
            if (odd := next(row, None)) is not None:
                left.append(row)
                yield odd
        rows = left


def _after(ways: Sequence[Way], steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """What a way beyond these steps goes on with, best one that made something: what was answered first may be shown with the last answer."""
    longer = [way for way in ways if len(way.steps) > len(steps) and way.steps[: len(steps)] == steps]
    return min(longer, key=lambda way: not (way.buttons or way.ids)).steps[len(steps) :] if longer else ()


def _formed(platform: Platform, end: End) -> list[Odd]:
    """The usual in every other form; a target that mistakes one form does so whatever is said in it."""

    def make(form: str, dice: Dice, user: int, usual: Step) -> Any:
        return platform.say(usual.text, dice, user=user, form=form)

    asked = f" in answer to {end.before[-1]}" if end.usual.ours else ""
    return [
        Odd(
            end,
            form,
            f"{end.usual} ({_words(form)}){asked}",
            f"form/{form.partition('.')[0]}",
            partial(make, form),
            same and not end.usual.ours,
        )
        for form, same in platform.forms(pressed=end.usual.pressed).items()
    ]


def odd_data(data: str, shown: Collection[str]) -> dict[str, tuple[str, str]]:
    """A button's data changed, with what was changed: a client can send any, and buttons of an older version of the target stay where they are.

    Args:
        data: The data.
        shown: The data of all buttons that were shown: a number is too large where it is larger than that of every button of the kind.
    """
    found: dict[str, tuple[str, str]] = {}
    alike = [_NUMBER.findall(one) for one in shown if kind_of(one) == kind_of(data)]
    # The last number is most often one of several that there are.
    for nth, match in reversed(list(enumerate(_NUMBER.finditer(data), 1))[-_MOST_NUMBERS:]):
        number = match.group()
        largest = max(int(row[nth - 1]) for row in [*alike, _NUMBER.findall(data)] if len(row) >= nth)
        values = {
            "next": largest + 1,
            "far": largest + 1000,
            "minus": -1,
            "zero": 0,
            "31": 2**31,
            "63": 2**63,
            "30": 10**30,
        }
        for word, value in (*values.items(), ("word", "chaosbot"), ("nothing", "")):
            what = (
                f"{'nothing' if value == '' else value} for its number {number}"
                if word not in ("next", "far")
                else f"its number {number} too large"
            )
            found[f"{nth}-{word}"] = f"{data[: match.start()]}{value}{data[match.end() :]}", what
    if separator := _SEPARATOR.search(data):
        sign, parts = separator.group(), data.split(separator.group())
        found["word"] = sign.join([*parts[:-1], "chaosbot"]), "a word for its last part"
        found["cut"] = sign.join(parts[:-1]), "its last part cut off"
        found["more"] = sign.join([*parts, parts[-1]]), "one part more"
        found["nothing"] = sign.join([parts[0], *("" for _ in parts[1:])]), "nothing behind its first part"
    return {
        word: (text, what)
        for word, (text, what) in found.items()
        if text != data and 0 < len(text.encode()) <= _LONGEST_DATA
    }


def _words(form: str) -> str:
    return form.replace("-", " ").replace(".", ", ")


def _texts(platform: Platform, end: End, *, told: bool) -> Iterator[Odd]:
    """Degenerate texts in answer to a question."""

    def make(text: str, dice: Dice, user: int, _: Step) -> Any:
        return platform.say(text, dice, user=user)

    impossible = [
        TextValue(word, re.sub(r"\d", digit, end.usual.text), f"only {word}")
        for word, digit in (("nines", "9"), ("zeros", "0"))
        if _dated(end.usual)
    ]
    for value in (*impossible, SHORT_WORD, *TEXTS):
        if value.valid:
            # What looks like a command is answered as one, or not at all.
            answered = told and bool(value.text.strip()) and not value.text.startswith("/")
            what = f"{value.what} in answer to {end.before[-1]}"
            yield Odd(end, value.word, what, f"answer/{end.before[-1].text}", partial(make, value.text), answered)


def _contents(platform: Platform, dice: Dice, end: End, *, told: bool) -> Iterator[Odd]:
    """Other kinds of content in answer to a question; words that are marked are an answer like any other."""

    def make(update: Any, dice: Dice, user: int, _: Step) -> Any:
        return platform.sent_by(update, user, dice)

    for name, update in platform.golden(dice.at("golden")).items():
        if not name.startswith("command/") and platform.sent_by(update, 1, dice) is not None:
            what = f"{name.partition('/')[2] or name} in answer to {end.before[-1]}"
            answered = told and name in platform.marked
            place = "form/marked" if answered else f"answer/{end.before[-1].text}"
            yield Odd(end, name.replace("/", "-"), what, place, partial(make, update), answered)


class _Desk:
    """Carries out the trials.

    Args:
        talks: The stage's conversations.
    """

    def __init__(self, talks: Talks) -> None:
        self.talks = talks
        self._ways = list(talks.context.ways)
        plain = [
            way.steps[0] for way in self._ways if len(way.steps) == 1 and way.plain and any(map(speaks, way.replies))
        ]
        self._readers = [step for step in plain if step.text.startswith("/")][:_READERS]
        self._left: list[Callable[[], None]] = []

    def work(self) -> None:
        """All trials side by side, those first that tell most."""
        context = self.talks.context
        ends, questions = _ends(self._ways)
        if mixes(context):  # an answer may have been another one's words
            questions = [(end, False) for end, _ in questions]
        pressed = [partial(self._presses, end) for end in ends if end.usual.pressed]
        trials = _trials(context.platform, context.dice.at("forms"), ends, questions)
        tried = [partial(self._tried, odd, nth) for nth, odd in enumerate(trials)]
        makers = {frozenset(words(way.replies)): way for way in self._ways if way.steps[-1].ours}
        filled = [partial(self._filled, maker) for maker in list(makers.values())[:_MAKERS]]
        own = set(context.learned("admin"))
        texts = said(context)
        commands = [f"/{command}" for command in context.learned("commands") if command not in own]
        series = [partial(self._places, command, texts, self._before(command)) for command in commands]
        turns = zip_longest(pressed, series, tried[: len(tried) // 4])
        first = [one for turn in turns for one in turn if one is not None]
        self._left = [*first, *filled, *tried[len(tried) // 4 :]]
        self._go_on()

    def resume(self, should_stop: Callable[[], bool]) -> None:
        """Begins with those that were cut short and those that have not begun, beside what comes next."""
        context = self.talks.context
        self.talks = Talks(context, Clock(inf, should_stop), "forms", part="later", width=_BESIDE)
        context.shared.beside(self.talks, "forms", self._go_on)

    def _go_on(self) -> None:
        todo, self._left = self._left, []
        self.talks.run(partial(self._begun, one) for one in todo)

    def _begun(self, trial: Callable[[], None]) -> None:
        if self.talks.clock.over():
            self._left.append(trial)
            return
        try:
            trial()
        except TimeIsUp:
            self._left.insert(0, trial)
            raise

    def _before(self, command: str) -> tuple[Step, ...]:
        """What people do before a command that is answered otherwise, or named only, after it."""
        ways = (way.steps for way in self._ways if len(way.steps) > 1 and not way.steps[-1].pressed)
        return next((steps[:-1] for steps in ways if steps[-1].text.partition(" ")[0] == command), ())

    def _places(self, command: str, texts: str, before: tuple[Step, ...]) -> None:
        """Somebody asks for a command, with one place of its argument changed at a time."""
        ArgumentSeries(self.talks, command, texts, self._ways, before=before).run()

    def _filled(self, maker: Way) -> None:
        """Somebody writes much and asks to see it: that an answer has grown longer than a message may be is no reason to say nothing."""
        talks = self.talks
        person, last, ids = talks.stranger(), maker.steps[-1], maker.ids
        for size in _SIZES:
            text = f"{last.text} {_FILLER}"[:size]
            ids = walk(talks, (*maker.steps[:-1], replace(last, text=text)), person)[1].ids or ids
        for reader in self._readers:
            talks.say(person, reader)
            if reader.text.startswith("/") and ids:
                talks.say(person, Step(f"{reader.text} {ids[0]}", ours=True))

    def _presses(self, end: End) -> None:
        """Somebody presses a button with its data changed in every way, a few at a time; what a silence follows is tried by somebody new."""
        person, usual = self._there(end)
        odds = list(odd_data(usual.text, person.buttons))
        for few in (odds[start : start + _PRESSES] for start in range(0, len(odds), _PRESSES)):
            for word in few:
                # A late answer to a press would be taken for one to what is asked next.
                pressed = self._pressed(end, word, person, usual)
                self.talks.note(self.talks.sent(pressed, quietly=word == few[-1])[0])
            if not self._serves(person.user):
                if self._usual(end):
                    self._silencing(end, few)
                return

    def _silencing(self, end: End, odds: Sequence[str]) -> None:
        """Charges a button's data after which two people are not answered any more, while somebody new is."""
        for word in odds:
            for suffix in ("-again", "-once-more"):
                person, usual = self._there(end)
                if word not in odd_data(usual.text, person.buttons):
                    break
                result, _ = self.talks.sent(self._pressed(end, f"{word}{suffix}", person, usual), quietly=False)
                silent = result.outcome.ok and not self._serves(person.user) and not self.talks.held(person)
                charged = silent and suffix == "-once-more" and self._serves(self.talks.stranger().user)
                if charged:
                    result.observations.append(Silenced(everybody=False))
                self.talks.note(result)
                if charged:
                    return
                if not silent:
                    break

    def _there(self, end: End) -> tuple[Person, Step]:
        """Somebody new who has come to an end, and what is usually done there as it is offered to them."""
        person, _ = walk(self.talks, end.before, onwards=True)
        choice = (person.user or 0) // self.talks.context.apart
        return person, at_hand(end.usual, person.buttons, person.told, choice).of(person.number)

    def _pressed(self, end: End, name: str, person: Person, usual: Step) -> Case:
        data, what = odd_data(usual.text, person.buttons)[name.partition("-again")[0].partition("-once-more")[0]]
        return self.talks.case(
            replace(person, buttons={data: person.buttons.get(usual.text)}),
            replace(usual, text=data),
            name=f"forms/{end.name}-data-{name}",
            summary=f"{end.usual} with {what}",
            change=Change(Mechanism.TECHNIQUE, "form/data", name),
            expect=Expect(reach=Reach.AT_MOST_ONCE),
        )

    def _usual(self, end: End, reader: Step | None = None) -> bool:
        """Whether who does there what people usually do is served afterwards."""
        person, _ = walk(self.talks, (*end.before, end.usual))
        return self._serves(person.user, reader)

    def _serves(self, user: int | None, reader: Step | None = None) -> bool:
        """Whether the target answers a person something ordinary, and what they ask for, if need be the second time."""
        asked = [Step(self.talks.context.target.ordinary), *([reader] if reader is not None else [])]
        return all(self.talks.answered(Person(user=user), step) for step in asked)

    def _tried(self, odd: Odd, nth: int) -> None:
        """One trial; the same again where what came of it is suspicious."""
        reader = self._readers[nth % len(self._readers)] if self._readers and odd.end.usual.ours else None
        replies = self._try(odd, "", reader)
        if replies is None:
            if self._usual(odd.end, reader):
                self._try(odd, "-again", reader, confirming=True)
        elif odd.told and not any(speaks(call) or call.callback for call in replies):
            control = f"forms/{odd.end.name}-{odd.word}-control"
            if self._try(odd, "-again", None, group="argument", control=control) is not None:
                person, usual = self._there(odd.end)
                self.talks.say(person, usual, name=control, group="argument")

    def _try(
        self, odd: Odd, suffix: str, reader: Step | None, *, confirming: bool = False, **how: Any
    ) -> list[ApiCalled] | None:
        """Somebody new goes the way and takes the odd step.

        Returns:
            What the target said to it; None where it says nothing to this person any more.
        """
        talks = self.talks
        person, usual = self._there(odd.end)

        def make(dice: Dice, user: int) -> Any:
            return odd.make(dice, user, usual)

        change = Change(Mechanism.TECHNIQUE, odd.place, odd.word)
        if odd.place.startswith(_LACKS):
            # What an update lacks is one cause, whichever stage leaves it out.
            change = Change(Mechanism.MEMBER, f"*.{odd.place.removeprefix(_LACKS)}", odd.word)
        name = f"forms/{odd.end.name}-{odd.word}{suffix}"
        expect = Expect(reach=Reach.AT_MOST_ONCE)
        case = talks.case(person, usual, make=make, name=name, summary=odd.what, change=change, expect=expect, **how)
        result, replies = talks.sent(case, quietly=odd.told, usual=1)
        try:
            if odd.end.after and result.outcome.ok:
                walk(talks, odd.end.after, person)
            if not result.outcome.ok or self._serves(person.user, reader):
                return replies
            if confirming and not talks.held(person) and self._serves(talks.stranger().user, reader):
                result.observations.append(Silenced(everybody=False))
            return None
        finally:
            talks.note(result)
