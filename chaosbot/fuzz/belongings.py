"""What belongs to one user, in another one's hands: notes, orders, tickets, by their numbers and by their buttons.

Rules:

- A thing is what two people who went the same way were told different names of (a number, a short word), or shown different buttons for.
- Its owner uses it first (the control), and asks for one that does not exist (the background). Only what the owner gets for the one and not
  for the other can be had wrongly.
- A thing is private where a list shows it to its owner, and no list shows it to a stranger, or where using it uses it up; of one that
  strangers are shown as well, the buttons in its owner's own list are private. Others may be meant for all, and nothing is tried with them.
- What is written about a thing is its owner's alone where it does or tells something: its owner is told of the thing, or is shown it otherwise
  afterwards. By what gives it to others as well, so that both are shown it, others are let in (an invitation).
- What others do to a thing (an offer for it, a request to join it) may be told to its owner with buttons that decide about it: of those the
  ones that can be used once only are the owner's, whoever else presses them, and whoever caused them to be shown. What everybody may do
  once is none of these: another one still can when the owner has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import ALIKE, words, words_in
from chaosbot.core.case import Change, Role
from chaosbot.core.event import ApiCalled
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.catalogue.scenarios import check_of
from chaosbot.fuzz.exploring import Way, deed_of, kind_of, walk
from chaosbot.fuzz.places import said
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.talks import Person, Step, Talks
from chaosbot.fuzz.usages import NUMBER, usages

_MOST_RECIPES: Final = 6
_EACH: Final = 2
"""So many ways of one deed may make things: one of them may only have been told how it is done."""
_CHOICES: Final = 3
"""So many of the other things that were offered are tried."""
_MOST_WRITTEN: Final = 3
"""So many ways to make things are tried with every command; several ways often make things of one kind."""
_MOST_LISTS: Final = 14
_MOST_INSIDE: Final = 6
"""So many commands may show what is in a thing."""
_TRYING_S: Final = 3.0
"""So long strangers may try what was found, however late it is."""
_SEVERAL: Final = 3
"""So many of others' things in one list are no chance."""
_LONGER: Final = 2
_MOST_DEEDS: Final = 6
_MOST_ASKED: Final = 2
"""So many ways to make things are tried with what others do to them."""
_STRANGER: Final = "a stranger"
_DOER: Final = "a stranger who has done something to it"
_MAKER: Final = "a stranger who has made one as well"
_NUMBERS: Final = re.compile(r"\d(?:[^\s]*\d)?")
"""From the first number of a button's data to the last."""
_SLASHED: Final = re.compile(r"(?<![\w/.:])/(\w{1,64})")


@dataclass(frozen=True)
class _Made:
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
class _Recipe:
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
class _Access:
    """A way to a thing.

    Args:
        recipe: How the thing is made.
        pattern: A text, or a button's data, in which the thing's name is written `{}`.
        pressed: Whether it is a button.
        before: What its owner does before, to be shown it.
    """

    recipe: _Recipe
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


@dataclass(frozen=True)
class _Look:
    """What somebody was shown of their thing by a list, and whether that list keeps it from strangers.

    Args:
        accesses: The ways to the thing that it shows.
        private: How the thing is made that it keeps from strangers.
        steps: What its owner does to see it.
        offered: The kinds of buttons that the list shows to who has made nothing: unless they use the thing up they are for all.
    """

    accesses: tuple[_Access, ...] = ()
    private: _Recipe | None = None
    steps: tuple[Step, ...] = ()
    offered: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Use:
    """The owner used a thing.

    Args:
        access: How.
        control: The case in which the owner did.
        spent: Whether it was used up by that.
        told: The words that the owner was told, and is not told of what does not exist.
        named: Whether the owner was told the thing's name, or words of their own about it.
    """

    access: _Access
    control: str
    spent: bool
    told: frozenset[str]
    named: bool = True


def try_belongings(talks: Talks, ways: Sequence[Way], commands: Sequence[str]) -> list[str]:
    """Finds things and tries each way to them as their owner and as a stranger.

    Args:
        talks: The stage's conversations.
        ways: What strangers have explored.
        commands: The commands that everybody is told of, with their slash.

    Returns:
        What was found, for the coverage of judgement: each way to a thing, and whether a stranger tried it or why not.
    """
    twice = talks.run(partial(walk, talks, way.steps, apart=True) for way in _candidates(ways) for _ in range(2))
    recipes = [
        recipe
        for first, second in zip(twice[::2], twice[1::2], strict=True)
        if first and second and (recipe := _recipe(first, second))
    ]
    # Of ways that differ in what is written only, one is enough.
    alike: dict[tuple[str, ...], _Recipe] = {}
    for recipe in sorted(recipes, key=lambda one: not _worded(one.steps)):
        alike.setdefault(_deed(recipe.steps), recipe)
    # What only shows what was made before makes nothing.
    recipes = [recipe for recipe in alike.values() if not _only_shows(recipe.steps, alike)][:_MOST_RECIPES]
    texts = said(talks.context)
    looks: list[Callable[[], _Look | _Use | None]] = [
        partial(_listed, talks, recipe, steps)
        for recipe in recipes
        for steps in ((), *_lists(ways), *_inside(recipe, commands, texts))
    ]
    written = [
        _Access(recipe, pattern)
        for recipe in recipes[:_MOST_WRITTEN]
        for command in commands
        for pattern in _written(command, texts)
        if not any(step.text.split(" ")[0] == command for step in recipe.steps)  # it would make another thing
    ]
    looks += [partial(_used, talks, access) for access in written]
    asks = any(_NUMBERS.search(data) for call in talks.context.target.calls() for data in call.buttons)
    deeds = _deeds(talks, ways, commands) if asks else []
    looks += [partial(_asked, talks, recipe, first, deeds) for recipe in recipes[:_MOST_ASKED] for first in deeds]
    found = talks.run(looks)
    seen = [one for one in found if isinstance(one, _Look)]
    private = {look.private: look.steps for look in reversed(seen) if look.private}
    talks.at_least(_TRYING_S)
    public = _public(talks, list(private), ways)
    ranked = sorted((one for look in seen for one in look.accesses), key=lambda one: not one.public)
    shown = {(one.pattern, one.pressed): one for one in ranked}  # a list that shows it too comes last, and counts
    pressed = talks.run(partial(_used, talks, access) for access in shown.values())
    uses = [one for one in (*found, *pressed) if isinstance(one, _Use)]
    offered = frozenset[str]().union(*(look.offered for look in seen))
    kept = [
        use
        for use in uses
        if use.access.recipe in private
        and not (use.access.pressed and kind_of(use.access.step("7").text) in offered)
        and (use.access.pressed or use.access.recipe not in public)
        and not _offered(use, ways)
    ]
    ours = [use for use in uses if use.spent or (use in kept and not use.access.public)]
    talks.at_least(_TRYING_S)  # all before was for this
    typed = [use for use in ours if not use.access.pressed]
    looked = talks.run(partial(_shared, talks, use, private.get(use.access.recipe)) for use in typed)
    # What there was no time to look at is not told apart.
    shared = {use for use, others in zip(typed, looked, strict=True) if others is not False}
    ours = [use for use in ours if use not in shared]
    talks.at_least(_TRYING_S)
    decided = [use for use in ours if use.access.recipe.deeds]
    tried = talks.run(
        [
            *(partial(_tried, talks, use, _STRANGER) for use in ours),
            *(partial(_tried, talks, use, _DOER) for use in decided),
            *(partial(_tried, talks, use, _MAKER, private.get(use.access.recipe)) for use in ours),
        ]
    )
    notes = [
        f"{use.access.subject}: {'tried' if done else 'not tried for lack of time'}"
        for use, done in zip(ours, tried, strict=False)
    ]
    rest = (use for use in uses if use not in ours)
    return [*notes, *(f"{use.access.subject}: not tried, nothing shows that it is its owner's alone" for use in rest)]


def _only_shows(steps: Sequence[Step], deeds: Container[tuple[str, ...]]) -> bool:
    """Whether these are steps by which something is made, and then some in which nothing is said but the number of that."""
    says = [step.pressed or (step.ours and "{n}" not in step.text) for step in steps]
    return any(_deed(steps[:nth]) in deeds and not any(says[nth:]) for nth in range(1, len(steps)))


def _candidates(ways: Sequence[Way]) -> list[Way]:
    """Ways at whose end a thing may have been made, one for each thing that the target says then, and two for each deed."""
    found: dict[frozenset[str], Way] = {}
    deeds: Counter[tuple[str, ...]] = Counter()
    for way in sorted(ways, key=lambda one: len(one.steps)):
        says, deed = frozenset(words(way.replies)), _deed(way.steps)
        named = way.ids or any(re.search(r"\d", data) for data in way.buttons)
        if named and says not in found and deeds[deed] < _EACH and not _only_shows(way.steps, deeds):
            found[says] = way
            deeds[deed] += 1
    return list(found.values())[: 2 * _MOST_RECIPES]


def _recipe(one: tuple[Person, Way], other: tuple[Person, Way]) -> _Recipe | None:
    """The way of two people as a recipe, when they were told different names at its end."""
    pairs = zip(_names(one[1]), _names(other[1]), strict=False)
    nth = next((nth for nth, (first, second) in enumerate(pairs) if first != second), None)
    return _Recipe(one[1].steps, nth) if nth is not None else None


def _names(way: Way) -> tuple[str, ...]:
    """The names in a reply's words, or, where those hold none, the numbers in its buttons."""
    return way.ids or tuple(number for data in way.buttons for number in re.findall(r"\d+", data))


def _make(talks: Talks, recipe: _Recipe) -> _Made | None:
    owner, way = walk(talks, recipe.steps, apart=True)
    names = _names(way)
    made = _Made(owner, way, names[recipe.nth]) if recipe.nth < len(names) else None
    if made is None or not recipe.deeds:
        return made
    other, notice = talks.peer(), None
    for deed in recipe.deeds:
        notice = _done(talks, made, other, deed)
    return _decision(made, other, notice) if notice is not None else None


def _done(talks: Talks, made: _Made, other: Person, deed: str) -> ApiCalled | None:
    """Another one does something to a thing; the call by which its owner is asked to decide about it, by buttons."""
    target = talks.context.target
    known = len(target.calls())
    talks.say(other, Step(deed.replace("{}", made.name), ours=True))
    until = monotonic() + target.watch.gap_s
    while True:
        new = (call for call in list(target.calls())[known:] if str(call.chat) == str(made.owner.chat))
        asked = next((call for call in new if any(map(_NUMBERS.search, call.buttons))), None)
        if asked is not None or monotonic() >= until:
            return asked
        sleep(POLL_S)


def _decision(made: _Made, other: Person, asked: ApiCalled) -> _Made:
    """What an owner is asked to decide, named by the numbers in the buttons."""
    made.owner.buttons.update(dict.fromkeys(asked.buttons, asked.message))
    name = next(found[0] for data in asked.buttons if (found := _NUMBERS.search(data)))
    return _Made(made.owner, replace(made.way, replies=(asked,)), name, other)


def _asked(talks: Talks, recipe: _Recipe, first: str, deeds: Sequence[str]) -> _Look:
    """What the owner of a thing is asked to decide when others do one thing to it, and then another (who has signed up says that they have paid)."""
    found: dict[str, _Access] = {}
    made = _make(talks, recipe)
    if made is None:
        return _Look()
    for second in deeds:
        other = talks.peer()
        for done in ((first,), (first, second)) if second != first else ((first,),):
            asked = _done(talks, made, other, done[-1])
            if asked is None:
                continue
            name = _decision(made, other, asked).name
            for data in asked.buttons:
                if _holds(data, name):
                    access = _Access(replace(recipe, deeds=done), _pattern(data, name), pressed=True)
                    found.setdefault(kind_of(data), access)
    return _Look(tuple(found.values()))


def _deeds(talks: Talks, ways: Sequence[Way], commands: Iterable[str]) -> list[str]:
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
    return list(found.values())[:_MOST_DEEDS]


def _written(command: str, texts: str) -> Iterator[str]:
    """What may be written about a thing by its number, which ``{}`` stands for: the number alone, and first of what the command's usage shows."""
    yield f"{command} {{}}"
    longer = (usage for usage in usages(command, texts) if len(usage.places) > 1)
    if (usage := next(longer, None)) is not None:
        yield f"{command} {usage.with_part(usage.places[0], '{}')}"


def _lists(ways: Sequence[Way]) -> list[tuple[Step, ...]]:
    """Ways that may show what somebody has: everything that takes no words of one's own."""
    return list(dict.fromkeys(way.steps for way in ways if way.plain and len(way.steps) <= 2))[:_MOST_LISTS]


def _inside(recipe: _Recipe, commands: Iterable[str], texts: str) -> list[tuple[Step, ...]]:
    """What may show what is in the thing in which another one is made, by its number: first what is told to take one argument."""
    if not any("{n}" in step.text for step in recipe.steps):
        return []
    own = {step.text.partition(" ")[0] for step in recipe.steps}
    others = [command for command in commands if command not in own]
    others.sort(key=lambda command: not any(len(usage.places) == 1 for usage in usages(command, texts)))
    return [(Step(f"{command} {{n}}"),) for command in others[:_MOST_INSIDE]]


def _listed(talks: Talks, recipe: _Recipe, steps: tuple[Step, ...]) -> _Look:
    """The ways to a thing that its owner is shown after these steps; with no step, when it is made."""
    made = _make(talks, recipe)
    if made is None:
        return _Look()
    shown = made.around(steps)
    replies = walk(talks, shown, made.owner)[1].replies if steps else made.way.replies
    if not _shows(replies, made.name):
        return _Look()
    theirs = walk(talks, shown)[1] if steps else Way((), ())
    private = bool(steps) and not _shows(theirs.replies, made.name)
    # A list that shows only the latest shows it to nobody a moment later.
    private = private and _shows(walk(talks, shown, made.owner)[1].replies, made.name)
    texts = {
        f"/{word}"
        for call in replies
        for word in _SLASHED.findall(call.text)
        if _holds(word.replace("_", " "), made.name)
    }
    data = {data for call in replies for data in call.buttons if _holds(data, made.name)}
    found = [_Access(recipe, _pattern(text, made.name), text in data, steps) for text in sorted(texts | data)]
    return _Look(tuple(found), recipe if private else None, steps, frozenset(map(kind_of, theirs.buttons)))


def _public(talks: Talks, recipes: Sequence[_Recipe], ways: Sequence[Way]) -> set[_Recipe]:
    """The recipes of things that some list shows to strangers as well: several that others have made, or the one that is made now, and nothing else meanwhile."""
    lists = _lists(ways)

    def shown() -> list[tuple[ApiCalled, ...]]:
        gone = talks.run(partial(walk, talks, steps) for steps in lists)
        return [one[1].replies for one in gone if one is not None]

    before = shown() if recipes else []
    if recipes and len(before) < len(lists):
        return set(recipes)  # there was no time to look
    # A long list shows not all of them.
    others = {recipe: _made_by_others(recipe, ways) for recipe in recipes}
    found = {
        recipe
        for recipe, names in others.items()
        if any(sum(_shows(replies, name) for name in names) >= _SEVERAL for replies in before)
    }
    for recipe in recipes:
        (made,) = talks.run([partial(_make, talks, recipe)])
        # A small number may stand in any text, before there is a thing of that name.
        later = shown() if made is not None else []
        new = zip(before, later, strict=True) if len(later) == len(before) else ()
        if made is not None and any(_shows(one, made.name) and not _shows(first, made.name) for first, one in new):
            found.add(recipe)
        if made is not None and any(_lines_of(recipe, _all_made(talks, made), one) >= _SEVERAL for one in before):
            found.add(recipe)
    return found


def _all_made(talks: Talks, made: _Made) -> set[str]:
    """The names of all things of a kind that anybody was told to have made, in the same words."""
    own = {word for step in made.way.steps for word in words_in(step.text)}
    telling = [words_in(call.text) - own for call in made.way.replies if _holds(call.text, made.name)]
    alike = (call for call in talks.context.target.calls() if words_in(call.text) - own in telling)
    return {name for call in alike for name in Way((), (call,)).ids}


def _lines_of(recipe: _Recipe, names: Iterable[str], replies: Iterable[ApiCalled]) -> int:
    """How many lines hold the name of a thing beside words that its owner has written: a number alone may stand anywhere."""
    own = {word for step in recipe.steps if step.ours for word in words_in(step.text)}
    lines = [line for call in replies for line in call.text.split("\n") if own & words_in(line)]
    return sum(any(_holds(line, name) for line in lines) for name in names)


def _offered(use: _Use, ways: Sequence[Way]) -> bool:
    """Whether the target offers the like to people who have made nothing: what anybody is shown of others' things is meant for all."""
    plain = (
        words(way.replies)
        for way in ways
        if not way.steps[-1].ours and not _worded(way.steps) and use.access.recipe.steps[-1] not in way.steps
    )
    # Another thing has other words of its own, and a long text (what there is to be had) has any.
    return any(2 * len(use.told & told) >= len(use.told) and len(told) <= _LONGER * len(use.told) for told in plain)


def _deed(steps: Sequence[Step]) -> tuple[str, ...]:
    """What people do, whatever they write: the commands, and what the buttons do."""
    return tuple(
        deed_of(step.text)
        if step.pressed
        else step.text.partition(" ")[0] + ("" if " " not in step.text else " …")
        if step.text.startswith("/")
        else ""
        for step in steps
    )


def _worded(steps: Sequence[Step]) -> bool:
    """Whether somebody says words of their own, of which a thing is made more likely than of a number."""
    said = (step.text.partition(" ")[2] if step.text.startswith("/") else step.text for step in steps if step.ours)
    return any(re.search(r"[^\W\d]{2}", text) for text in said)


def _made_by_others(recipe: _Recipe, ways: Sequence[Way]) -> set[str]:
    """The names of things that those were told who explored and did the like."""
    told = (_names(way) for way in ways if _deed(way.steps) == _deed(recipe.steps))
    return {names[recipe.nth] for names in told if recipe.nth < len(names)}


def _shows(calls: Iterable[ApiCalled], name: str) -> bool:
    return any(_holds(text, name) for call in calls for text in (call.text, *call.buttons))


def _holds(text: str, name: str) -> bool:
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])", text) is not None


def _pattern(text: str, name: str) -> str:
    return re.sub(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])", "{}", text)


def _absent(name: str) -> str:
    """A name like this one that nothing has."""
    if re.fullmatch(r"\d+(?:[^\w]+\d+)*", name):
        return re.sub(r"\d+", lambda number: str(int(number[0]) + 700_001), name)
    return re.sub(r"\d", lambda digit: str(9 - int(digit[0])), name[::-1])


def _used(talks: Talks, access: _Access) -> _Use | None:
    """The owner uses a thing; None where that gets nothing that a thing which does not exist would not get."""
    made = _make(talks, access.recipe)
    if made is None:
        return None
    if access.before:
        walk(talks, made.around(access.before), made.owner)
    step = access.step(made.name)
    control = talks.case(made.owner, step, summary=f"the owner's own: {access.subject}")
    absent = partial(
        talks.say, made.owner, access.step(_absent(made.name)), "the owner", role=Role.BACKGROUND, control=control.name
    )
    nothing = words(absent())
    began = monotonic()
    replies = talks.send(control)
    told = words(replies) - nothing
    # Asked again for what does not exist: where the first answer was only the first one, the name changed nothing.
    if not told or not told - words(absent()):
        return None
    watch = talks.context.target.watch
    if not nothing:
        # Silence may be an answer that is late, and was taken for that to the owner's own.
        sleep(watch.patience_s)
        said = Counter(call.text for call in watch.replies(control, began) if call.text)
        if max(said.values(), default=0) > 1:
            return None
    again = words(talks.say(made.owner, step, "the owner"))
    # What is decided is told so, and not that there is nothing.
    spent = again <= nothing or (bool(access.recipe.deeds) and len(again & told) < ALIKE * len(told))
    if spent and access.public:
        # What each may do once (joining a round) is used up for who did, and for nobody else.
        theirs = words(talks.say(talks.stranger(), step, "another one, afterwards,"))
        spent = len(theirs & told) < ALIKE * len(told)
    own = {word for step in access.recipe.steps if step.ours for word in words_in(step.text)}
    return _Use(access, control.name, spent, frozenset(told), bool(own & told) or _shows(replies, made.name))


def _shared(talks: Talks, use: _Use, private: Sequence[Step] | None) -> bool:
    """Whether what is written is not for the owner of a thing alone, or that cannot be seen.

    Anybody can write it of what they have only been offered (a free hour), nothing comes of it, or it lets others in, and both are shown
    the thing then.

    Args:
        talks: The stage's conversations.
        use: What is written.
        private: What shows the thing to its owner, and to no stranger, where something does.
    """
    made = _make(talks, use.access.recipe)
    if made is None or _is_offered(talks, use, made.name):
        return True
    if private is None:
        return False
    steps = made.around(private)
    step, stranger = use.access.step(made.name), talks.stranger()
    if not use.spent and not use.named:
        before = _texts(walk(talks, steps, made.owner)[1])
        talks.say(made.owner, step, "the owner")
        if _texts(walk(talks, steps, made.owner)[1]) == before:
            return True
    talks.say(stranger, step, "another one")
    others, own = (walk(talks, steps, one)[1].replies for one in (stranger, made.owner))
    # Where a busy target shows nothing in time, that is not seen.
    return not others or not own or (_shows(others, made.name) and _shows(own, made.name))


def _is_offered(talks: Talks, use: _Use, name: str) -> bool:
    """Whether a thing that was chosen is still offered to others, or somebody is told the same of another one that was offered and not chosen."""
    *before, last = use.access.recipe.steps
    if not before or not last.pressed or kind_of(last.text) == last.text:
        return False
    stranger, way = walk(talks, before)
    alike = [data for data in way.buttons if kind_of(data) == kind_of(last.text)]
    if any(_holds(data, name) for data in alike):
        return True  # it is still there for others, who may have chosen it meanwhile
    # Others choose among the first ones meanwhile.
    names = [found[0] for data in reversed(alike) if (found := re.search(r"\d+", data))]
    for other in names[:_CHOICES]:
        told = words(talks.say(stranger, use.access.step(other), "another one"))
        if len(told & use.told) >= ALIKE * len(use.told):
            return True
    return not names  # where nothing else is left to choose from, that cannot be seen


def _texts(way: Way) -> list[str]:
    return [call.text for call in way.replies]


def _tried(talks: Talks, use: _Use, by: str, steps: Sequence[Step] | None = None) -> bool:
    """Somebody else uses somebody's thing: a stranger, who has made one as well, or who has done something to it.

    Args:
        talks: The stage's conversations.
        use: How its owner uses it.
        by: Who does.
        steps: What shows it to those whose it is; who has made one as well may have made it in the same place, and share it.
    """
    made = _make(talks, use.access.recipe)
    # Whoever has a thing may have a part in the target that opens what is nobody's but another one's.
    like = _make(talks, use.access.recipe) if by == _MAKER else None
    if made is None or (by == _MAKER and (like is None or steps is None)):
        return False
    if (
        like is not None
        and steps is not None
        and _shows(walk(talks, made.around(steps), like.owner)[1].replies, made.name)
    ):
        return False
    if use.access.before:
        walk(talks, made.around(use.access.before), made.owner)
    person = (
        like.owner if like is not None else made.other if by == _DOER and made.other is not None else talks.stranger()
    )
    talks.say(
        person,
        use.access.step(made.name),
        check=check_of("foreign"),
        role=Role.ATTEMPT,
        control=use.control,
        change=Change(Mechanism.TECHNIQUE, "objects/button" if use.access.pressed else "objects/number"),
        summary=f"{by} uses another user's: {use.access.subject}",
    )
    return True
