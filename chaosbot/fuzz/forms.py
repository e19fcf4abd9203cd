"""The forms stage: what the target waits for, in every form in which it can come.

A handler is written for the usual form of a command, of a press, of an answer to a question. Only the target's own words reach it, so
changing an update that means nothing to the target does not.

Rules:

- Words and questions are those that the vocabulary stage has found: somebody new goes a way again, up to its last step.
- The last step is then taken in another form; a question is also answered by every other kind of content and by degenerate texts.
- Afterwards the same person asks something ordinary. Who gets no answer is charged when it happens to a second person as well while
  somebody new is answered, and who takes the last step as usual is.
- Somebody writes much, and asks to see it.
- Where a question answers any ordinary word, an odd one without an answer is tried again, and compared with an ordinary one.
- Nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Final

from chaosbot.checks._likeness import words
from chaosbot.core.case import Change, Expect, Reach
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.observation import Silenced
from chaosbot.core.platform import Platform
from chaosbot.core.values import TEXTS
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import NUMBER, TEXT, Way, kind_of, walk
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.talks import Person, Step, Talks

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
_PARTS: Final = re.compile(r"\A(.*)([:|/,;#_ -])([^:|/,;#_ -]+)\Z", re.DOTALL)
"""What a button's data is mostly made of: what it does, a separator, and to what."""
_ODD_DATA: Final[Mapping[str, tuple[str, str]]] = {
    "word": ("{0}{1}chaosbot", "a word for its last part"),
    "nothing": ("{0}{1}", "nothing for its last part"),
    "cut": ("{0}", "its last part cut off"),
    "more": ("{0}{1}{2}{1}{2}", "one part more"),
    "minus": ("{0}{1}-1", "-1 for its last part"),
    "huge": ("{0}{1}9223372036854775808", "2^63 for its last part"),
}
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
        make: Makes its update from its dice and who does it.
        told: Whether it gets an answer where the usual does.
    """

    end: End
    word: str
    what: str
    place: str
    make: Callable[[Dice, int], Any]
    told: bool = False


def run_forms(context: CampaignContext, clock: Clock) -> None:
    """Begins to go the target's ways again, and to take their last steps in other forms, beside the stages that come next."""
    if context.store.seen.replies == "none" or not context.ways:
        return
    talks = Talks(context, clock, "forms")
    trials = list(_trials(context.platform, context.dice.at("forms"), context.ways))
    context.shared.beside(talks, "forms", partial(_work, talks, trials))
    context.show("forms", len(trials))


def _work(talks: Talks, trials: Sequence[Odd]) -> None:
    readers = [way.steps[0] for way in talks.context.ways if len(way.steps) == 1 and way.plain][:_READERS]
    makers = {frozenset(words(way.replies)): way for way in talks.context.ways if way.steps[-1].ours}
    ends = list(dict.fromkeys(odd.end for odd in trials))
    served = dict(zip(ends, talks.run(partial(_usual, talks, end) for end in ends), strict=True))
    work: list[Callable[[], None]] = [
        partial(_filled, talks, maker, readers) for maker in list(makers.values())[:_MAKERS]
    ]
    work += [partial(_tried, talks, odd) for odd in trials if served[odd.end]]
    talks.run(work)


def _filled(talks: Talks, maker: Way, readers: Sequence[Step]) -> None:
    """Somebody writes much and asks to see it: that an answer has grown longer than a message may be is no reason to say nothing."""
    person, last, ids = talks.stranger(), maker.steps[-1], maker.ids
    for size in _SIZES:
        text = f"{last.text} {_FILLER}"[:size]
        ids = walk(talks, (*maker.steps[:-1], replace(last, text=text)), person)[1].ids or ids
    for reader in readers:
        talks.say(person, reader)
        if reader.text.startswith("/") and ids:
            talks.say(person, Step(f"{reader.text} {ids[0]}", ours=True))


def _trials(platform: Platform, dice: Dice, ways: Sequence[Way]) -> Iterator[Odd]:
    """What is tried, in the seed's order, each end's in turn with the others'."""
    words: dict[str, tuple[Step, ...]] = {}
    questions: dict[tuple[Step, ...], set[str]] = {}
    for way in ways:
        last = way.steps[-1]
        if not last.ours:
            words.setdefault(kind_of(last.text), way.steps)
        elif len(way.steps) > 1 and not last.text.startswith("/"):
            questions.setdefault(way.steps[:-1], set()).add(last.text)
    rows = [
        [*_formed(platform, end), *_pressed(platform, end)]
        for end in (End(f"{nth}", steps[:-1], steps[-1]) for nth, steps in enumerate(list(words.values())[:_WORDS]))
    ]
    for nth, (before, known) in enumerate(list(questions.items())[:_QUESTIONS]):
        end = End(f"answer-{nth}", before, Step(TEXT, ours=True), _after(ways, (*before, Step(TEXT, ours=True))))
        rows.append([*_texts(platform, end, told=known >= {TEXT, NUMBER}), *_contents(platform, dice, end)])
        rows.append(_formed(platform, end))
    shuffled = [dice.at("order", nth).shuffled(row) for nth, row in enumerate(rows)]
    yield from (odd for turn in zip_longest(*shuffled) for odd in turn if odd is not None)


def _after(ways: Sequence[Way], steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """What a way beyond these steps goes on with, best one that made something: what was answered first may be shown with the last answer."""
    longer = [way for way in ways if len(way.steps) > len(steps) and way.steps[: len(steps)] == steps]
    return min(longer, key=lambda way: not (way.buttons or way.ids)).steps[len(steps) :] if longer else ()


def _formed(platform: Platform, end: End) -> list[Odd]:
    """The usual in every other form; a target that mistakes one form does so whatever is said in it."""

    def make(form: str, dice: Dice, user: int) -> Any:
        return platform.say(end.usual.text, dice, user=user, form=form)

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


def _pressed(platform: Platform, end: End) -> Iterator[Odd]:
    """A button's data in another form: a client can send any, and buttons of an older version of the target stay where they are."""

    def make(data: str, dice: Dice, user: int) -> Any:
        return platform.say(data, dice, user=user, kind="callback_query")

    parts = _PARTS.findall(end.usual.text)[:1] if end.usual.pressed else []
    for word, (form, what) in _ODD_DATA.items() if parts else ():
        data = form.format(*parts[0])
        if len(data.encode()) <= _LONGEST_DATA:
            yield Odd(end, f"data-{word}", f"{end.usual} with {what}", "form/data", partial(make, data))


def _words(form: str) -> str:
    return form.replace("-", " ").replace(".", ", ")


def _texts(platform: Platform, end: End, *, told: bool) -> Iterator[Odd]:
    """Degenerate texts in answer to a question."""

    def make(text: str, dice: Dice, user: int) -> Any:
        return platform.say(text, dice, user=user)

    for value in TEXTS:
        if value.valid:
            # What looks like a command is answered as one, or not at all.
            answered = told and bool(value.text.strip()) and not value.text.startswith("/")
            what = f"{value.what} in answer to {end.before[-1]}"
            yield Odd(end, value.word, what, f"answer/{end.before[-1].text}", partial(make, value.text), answered)


def _contents(platform: Platform, dice: Dice, end: End) -> Iterator[Odd]:
    """Other kinds of content in answer to a question."""

    def make(update: Any, dice: Dice, user: int) -> Any:
        return platform.sent_by(update, user, dice)

    for name, update in platform.golden(dice.at("golden")).items():
        if not name.startswith("command/") and platform.sent_by(update, 1, dice) is not None:
            what = f"{name.partition('/')[2] or name} in answer to {end.before[-1]}"
            yield Odd(end, name.replace("/", "-"), what, f"answer/{end.before[-1].text}", partial(make, update))


def _usual(talks: Talks, end: End) -> bool:
    """Whether who does there what people usually do is served afterwards."""
    person, _ = walk(talks, (*end.before, end.usual))
    return _serves(talks, person.user)


def _serves(talks: Talks, user: int | None) -> bool:
    """Whether the target answers a person something ordinary, if need be the second time."""
    step = Step(talks.context.target.ordinary)
    return any(any(map(speaks, talks.say(Person(user=user), step))) for _ in range(2))


def _tried(talks: Talks, odd: Odd) -> None:
    """One trial; the same again where what came of it is suspicious."""
    replies = _try(talks, odd, "")
    if replies is None:
        _try(talks, odd, "-again", confirming=True)
    elif odd.told and not any(map(speaks, replies)):
        control = f"forms/{odd.end.name}-{odd.word}-control"
        if _try(talks, odd, "-again", group="argument", control=control) is not None:
            person, _ = walk(talks, odd.end.before)
            talks.say(person, odd.end.usual, name=control, group="argument")


def _try(talks: Talks, odd: Odd, suffix: str, *, confirming: bool = False, **how: Any) -> list[ApiCalled] | None:
    """Somebody new goes the way and takes the odd step.

    Returns:
        What the target said to it; None where it says nothing to this person any more.
    """
    person, _ = walk(talks, odd.end.before)
    change = Change(Mechanism.TECHNIQUE, odd.place, odd.word)
    name = f"forms/{odd.end.name}-{odd.word}{suffix}"
    expect = Expect(reach=Reach.AT_MOST_ONCE)
    case = talks.case(
        person, odd.end.usual, make=odd.make, name=name, summary=odd.what, change=change, expect=expect, **how
    )
    result, replies = talks.sent(case, quietly=odd.told)
    try:
        if odd.end.after and result.outcome.ok:
            walk(talks, odd.end.after, person)
        if not result.outcome.ok or _serves(talks, person.user):
            return replies
        if confirming and _serves(talks, talks.stranger().user):
            result.observations.append(Silenced(everybody=False))
        return None
    finally:
        talks.note(result)
