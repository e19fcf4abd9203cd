"""How users make things, learned from the ways that were explored, and what is written or pressed about one of them.

Rules:

- A thing is what two people who went the same way were told different names of (a number, a short word), or shown different buttons for.
- What others do to a thing (an offer for it, a request to join it) may be told to its owner with buttons that decide about it: that decision
  is a thing as well, made by both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, combinations
from math import inf
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import words
from chaosbot.core.event import ApiCalled
from chaosbot.fuzz.exploring import ENTRY, Way, chosen, complete, deed_of, kind_of, told_to, walk
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.talks import Person, Step, Talks
from chaosbot.fuzz.usages import NUMBER, usages

_MOST_RECIPES: Final = 6
_EACH: Final = 2
"""So many ways of one deed may make things: one of them may only have been told how it is done."""
MOST_DEEDS: Final = 6
"""So many things that others do to a thing are tried with what its owner is told of."""
_WALKS: Final = 3
_TRIES: Final = 4
"""What each can have once may be another one's already: so often somebody new tries to make a thing of it, and to find out how that goes."""
"""So many people go each way: what one of them chooses may not be had."""
_FEW: Final = 2
"""What more chats than this were told is no name of a thing that one of them has made."""
_SIGNED: Final = re.compile(r"[#№]\d+")
"""A number with its sign: an hour or a place has none."""
_WORDS: Final = re.compile(r"[\w-]+")
NUMBERS: Final = re.compile(r"\d(?:[^\s]*\d)?")
"""From the first number of a button's data to the last."""


@dataclass(frozen=True)
class Made:
    """Somebody made a thing.

    Args:
        owner: Who.
        way: How, with what the target said then.
        name: The thing's name.
        other: Who has done something to it.
    """

    owner: Person
    way: Way
    name: str
    other: Person | None = None

    @property
    def entry(self) -> str:
        """The command by which others are let in, as its maker was told it; empty where there is none."""
        return next((text for call in self.way.replies for text in complete(call.text)), "")

    def around(self, steps: Sequence[Step]) -> list[Step]:
        """These steps, with ``{n}`` for the number of the thing in which this one was made."""
        written = (step.text for step in self.way.steps if not step.pressed)
        numbers = [
            found[1]
            for text, said in zip(written, self.way.said, strict=False)
            if (found := re.fullmatch(re.escape(text).replace(r"\{n\}", r"(\d+)"), said)) and found.re.groups
        ]
        return [step.of(numbers[-1]) if numbers else step for step in steps]


@dataclass(frozen=True)
class Recipe:
    """How to make a thing.

    Args:
        steps: What its owner does.
        nth: Where its name stands among those in the reply.
        deeds: What another one then writes about it, with ``{}`` for its name: the thing is what its owner is asked to decide about the last.
    """

    steps: tuple[Step, ...]
    nth: int
    deeds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Access:
    """A way to a thing.

    Args:
        recipe: How the thing is made.
        pattern: A text, or a button's data, in which the thing's name is written `{}`.
        pressed: Whether it is a button.
        before: What its owner does before, to be shown it.
    """

    recipe: Recipe
    pattern: str
    pressed: bool = False
    before: tuple[Step, ...] = ()

    def step(self, name: str) -> Step:
        """The step for the thing of this name."""
        return Step(self.pattern.replace("{}", name), self.pressed)

    @property
    def public(self) -> bool:
        """Whether the thing itself shows the button, and no list of its owner's: it may be meant for all who see the thing (a vote)."""
        return self.pressed and not self.before

    @property
    def subject(self) -> str:
        """What people call it."""
        return kind_of(str(self.step("7")))


def recipes_of(talks: Talks, ways: Sequence[Way]) -> list[Recipe]:
    """The ways at whose end people were told different names; one for each deed, those in which words are written first."""
    found = candidates(talks.context.target.calls(), ways)
    tried = [way for way in found for _ in range(_TRIES * _WALKS if _is_scarce(talks, way.steps) else _WALKS)]
    gone = talks.run(partial(walk, talks, way.steps, apart=True) for way in tried)
    told: dict[tuple[Step, ...], list[Way]] = {way.steps: [] for way in found}
    for way, one in zip(tried, gone, strict=True):
        if one is not None:
            told[way.steps].append(one[1])
    recipes = [recipe for ways_of_it in told.values() if (recipe := _recipe(talks, ways_of_it))]
    # Of ways that differ in what is written only, one is enough.
    alike: dict[tuple[str, ...], Recipe] = {}
    for recipe in sorted(recipes, key=lambda one: not worded(one.steps)):
        alike.setdefault(deeds_in(recipe.steps), recipe)
    # What only shows what was made before makes nothing.
    return [recipe for recipe in alike.values() if not _only_shows(recipe.steps, alike)][:_MOST_RECIPES]


def _only_shows(steps: Sequence[Step], deeds: Container[tuple[str, ...]]) -> bool:
    """Whether these are steps by which something is made, and then some in which nothing is said but the number of that."""
    says = [step.pressed or (step.ours and "{n}" not in step.text) for step in steps]
    return any(deeds_in(steps[:nth]) in deeds and not any(says[nth:]) for nth in range(1, len(steps)))


def candidates(calls: Iterable[ApiCalled], ways: Sequence[Way]) -> list[Way]:
    """Ways at whose end a thing may have been made, one for each thing that the target says then, and two for each deed.

    First those that were told a name that nobody was told before; then those that were told one, or shown a button, that hardly anybody else
    was: a menu is shown to all.
    """
    calls = list(calls)
    found: dict[tuple[frozenset[str], bool], Way] = {}
    deeds: Counter[tuple[str, ...]] = Counter()
    names = {way: (*way.ids, *_numbered(way)) for way in ways}
    chats = told_to(chain(*names.values()), calls, lambda call: (*_WORDS.findall(call.text), *call.buttons))
    first: dict[str, float] = {}
    for call in sorted(calls, key=lambda one: one.t):
        for name in _SIGNED.findall(call.text):
            first.setdefault(name, call.t)

    def makes(way: Way) -> bool:
        return any(first.get(name, call.t) >= call.t for call in way.replies for name in _SIGNED.findall(call.text))

    def common(way: Way) -> bool:
        return all(len(chats[name]) > _FEW for name in names[way])

    for way in sorted(ways, key=lambda one: (not makes(one), common(one), len(one.steps))):
        # What is written to have one of several things others cannot write again; they choose another one.
        says, deed = (frozenset(words(way.replies)), any(map(chosen, way.steps))), deeds_in(way.steps)
        if names[way] and says not in found and deeds[deed] < _EACH and not _only_shows(way.steps, deeds):
            found[says] = way
            deeds[deed] += 1
    return list(found.values())[: 2 * _MOST_RECIPES]


def _numbered(way: Way) -> list[str]:
    """The data with a number of the buttons that a way shows; what names who presses names no thing."""
    return [data for data in way.buttons if re.search(r"\d", data) and str(way.who.user) not in data]


def _recipe(talks: Talks, ways: Sequence[Way]) -> Recipe | None:
    """The way that several people have gone as a recipe, when two who were told most alike were told different names at its end, and not before."""
    pairs = combinations(filter(names_of, ways), 2)
    alike = min(pairs, key=lambda pair: len(words(pair[0].replies) ^ words(pair[1].replies)), default=())
    calls = talks.context.target.calls()
    old = [_told_before(talks, way, calls) for way in alike]
    new = (
        nth
        for nth, (first, second) in enumerate(zip(*map(names_of, alike), strict=False))
        if first != second and not (holds(old[0], first) or holds(old[1], second))
    )
    nth = next(new, None)
    return Recipe(ways[0].steps, nth) if nth is not None else None


def _told_before(talks: Talks, way: Way, calls: Iterable[ApiCalled]) -> str:
    """What somebody who has gone a way was told, and shown, before its end; what they have chosen (an hour) is theirs from then on, unless others can choose it."""
    if any(chosen(step) and talks.context.choices.get(kind_of(step.text)) != inf for step in way.taken[-1:]):
        return ""
    end, chat = min((call.t for call in way.replies), default=0.0), str(way.who.chat)
    earlier = (call for call in calls if call.t < end and str(call.chat) == chat)
    return "\n".join(text for call in earlier for text in (call.text, *call.buttons))


def names_of(way: Way) -> tuple[str, ...]:
    """The names in a reply's words, or, where those hold none, the numbers in its buttons, but for that of who presses."""
    own = str(way.who.user)
    return way.ids or tuple(number for data in way.buttons for number in re.findall(r"\d+", data) if number != own)


def make(talks: Talks, recipe: Recipe) -> Made | None:
    """Somebody new makes a thing; None where they are told no name, or its owner is not asked to decide."""
    for _ in range(_TRIES if _is_scarce(talks, recipe.steps) else 1):
        owner, way = walk(talks, recipe.steps, apart=True)
        names = names_of(way)
        if recipe.nth < len(names):
            break
    made = Made(owner, way, names[recipe.nth]) if recipe.nth < len(names) else None
    if made is None or not recipe.deeds:
        return made
    other, notice = talks.peer(), None
    for deed in recipe.deeds:
        notice = done_to(talks, made, other, deed)
    return decision_on(made, other, notice) if notice is not None else None


def _is_scarce(talks: Talks, steps: Iterable[Step]) -> bool:
    """Whether something is chosen that another one may have chosen before."""
    return any(chosen(step) and talks.context.is_scarce(kind_of(step.text)) for step in steps)


def done_to(talks: Talks, made: Made, other: Person, deed: str) -> ApiCalled | None:
    """Another one does something to a thing; the call by which its owner is asked to decide about it, by buttons."""
    known = len(talks.context.target.calls())
    text = made.entry if deed == ENTRY.text else deed.replace("{}", made.name)
    talks.say(other, Step(text, ours=True))
    return notified(talks, {str(made.owner.chat), str(made.owner.user)}, known)


def notified(talks: Talks, chats: Container[str], known: int, kind: str = "") -> ApiCalled | None:
    """The first call to one of these chats that asks by buttons with a number, if need be of a kind, beyond so many calls that are known."""

    def asks(call: ApiCalled) -> bool:
        return any(NUMBERS.search(data) and kind in ("", kind_of(data)) for data in call.buttons)

    return first_told(talks, chats, known, asks, talks.context.target.watch.gap_s)


def first_told(
    talks: Talks, chats: Container[str], known: int, wanted: Callable[[ApiCalled], bool], within_s: float
) -> ApiCalled | None:
    """The first call to one of these chats that is wanted, beyond so many calls that are known; None where none comes in time."""
    until = monotonic() + within_s
    while True:
        new = (call for call in list(talks.context.target.calls())[known:] if str(call.chat) in chats)
        found = next(filter(wanted, new), None)
        if found is not None or monotonic() >= until:
            return found
        sleep(POLL_S)


def decision_on(made: Made, other: Person, asked: ApiCalled) -> Made:
    """What an owner is asked to decide, named by the numbers in the buttons."""
    made.owner.buttons.update(dict.fromkeys(asked.buttons, asked.message))
    name = next(found[0] for data in asked.buttons if (found := NUMBERS.search(data)))
    return Made(made.owner, replace(made.way, replies=(asked,)), name, other)


def deeds_to(talks: Talks, ways: Sequence[Way], commands: Iterable[str]) -> list[str]:
    """What is written about others' things, one for each command, with ``{}`` for the thing's number.

    First what was answered otherwise than the bare command, then what asks for one thing.
    """
    bare = {way.steps: words(way.replies) for way in ways}
    found: dict[str, str] = {}
    for way in (way for way in ways if len(way.steps) == 1 and way.steps[0].ours):
        command, *rest = way.steps[0].text.split()
        thing = next((part for part in rest if part.isdigit() and part not in (NUMBER, str(talks.context.peer))), "")
        if thing and words(way.replies) != bare.get((Step(command),), set()):
            found.setdefault(command, " ".join("{}" if part == thing else part for part in (command, *rest)))
    texts = "\n".join({call.text for call in talks.context.target.calls() if "/" in call.text})
    for command in commands:
        if any(len(usage.places) == 1 for usage in usages(command, texts)):
            found.setdefault(command, f"{command} {{}}")
    return list(found.values())


def deeds_in(steps: Sequence[Step]) -> tuple[str, ...]:
    """What people do, whatever they write: the commands, and what the buttons do."""
    return tuple(
        deed_of(step.text)
        if step.pressed
        else step.text.partition(" ")[0] + ("" if " " not in step.text else " …")
        if step.text.startswith("/")
        else ""
        for step in steps
    )


def worded(steps: Sequence[Step]) -> bool:
    """Whether somebody says words of their own, of which a thing is made more likely than of a number."""
    said = (step.text.partition(" ")[2] if step.text.startswith("/") else step.text for step in steps if step.ours)
    return any(re.search(r"[^\W\d]{2}", text) for text in said)


def shows(calls: Iterable[ApiCalled], name: str) -> bool:
    """Whether a thing's name stands in what the target said, or in one of the buttons below."""
    return any(holds(text, name) for call in calls for text in (call.text, *call.buttons))


def holds(text: str, name: str) -> bool:
    """Whether a name stands in a text, and is no part of a longer one."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])", text) is not None


def pattern_of(text: str, name: str) -> str:
    """The text with ``{}`` in place of the name."""
    return re.sub(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])", "{}", text)
