"""Whose a thing is: its owner's alone, or everybody's who may see it, take it or be let in.

Rules:

- A thing is private where a list shows it to its owner, and no list shows it to a stranger, or where using it uses it up; of one that
  strangers are shown as well, the buttons in its owner's own list are private. Others may be meant for all.
- What is written about a thing is its owner's alone where it does or tells something: its owner is told of the thing, or is shown it otherwise
  afterwards. By what gives it to others as well, so that both are shown it, others are let in (an invitation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from chaosbot.checks._likeness import ALIKE, words, words_in
from chaosbot.core.event import ApiCalled
from chaosbot.fuzz.exploring import Way, kind_of, walk
from chaosbot.fuzz.making import (
    Access,
    Made,
    Recipe,
    deeds_in,
    done_to,
    holds,
    make,
    names_of,
    shows,
    worded,
)
from chaosbot.fuzz.talks import Person, Step, Talks

_CHOICES: Final = 3
"""So many of the other things that were offered are tried."""
_MOST_LISTS: Final = 14
_SEVERAL: Final = 3
"""So many of others' things in one list are no chance."""
_LONGER: Final = 2
_PARTS: Final = re.compile(r"[0-9A-Za-z]+")


@dataclass(frozen=True)
class Use:
    """The owner used a thing.

    Args:
        access: How.
        control: The case in which the owner did.
        spent: Whether it was used up by that.
        told: The words that the owner was told, and is not told of what does not exist.
        named: Whether the owner was told the thing's name, or words of their own about it.
        about: The words that the owner was told when the thing was made: another one's are others (another room).
    """

    access: Access
    control: str
    spent: bool
    told: frozenset[str]
    named: bool = True
    about: frozenset[str] = frozenset()

    def agrees(self, other: Use) -> bool:
        """Whether the same came of it when it was done with another thing."""
        told = self.told - self.about or self.told
        return self.spent == other.spent and len(told & other.told) >= ALIKE * len(told)


def lists_in(ways: Sequence[Way]) -> list[tuple[Step, ...]]:
    """Ways that may show what somebody has: everything that takes no words of one's own; first what is answered otherwise after something else."""
    after = {way.steps[-1] for way in ways if len(way.steps) > 1}
    plain = dict.fromkeys(way.steps for way in ways if way.plain and len(way.steps) <= 2)
    return sorted(plain, key=lambda steps: len(steps) > 1 or steps[0] not in after)[:_MOST_LISTS]


def shown_to_all(talks: Talks, recipes: Sequence[Recipe], ways: Sequence[Way]) -> set[Recipe]:
    """The recipes of things that some list shows to strangers as well: several that others have made, or the one that is made now, and nothing else meanwhile."""
    lists = lists_in(ways)

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
        if any(sum(shows(replies, name) for name in names) >= _SEVERAL for replies in before)
    }
    for recipe in recipes:
        (made,) = talks.run([partial(make, talks, recipe)])
        # A small number may stand in any text, before there is a thing of that name.
        later = shown() if made is not None else []
        new = zip(before, later, strict=True) if len(later) == len(before) else ()
        if made is not None and any(shows(one, made.name) and not shows(first, made.name) for first, one in new):
            found.add(recipe)
        if made is not None and any(_lines_of(recipe, _all_made(talks, made), one) >= _SEVERAL for one in before):
            found.add(recipe)
    return found


def _all_made(talks: Talks, made: Made) -> set[str]:
    """The names of all things of a kind that anybody was told to have made, in the same words."""
    own = {word for step in made.way.steps for word in words_in(step.text)}
    telling = [words_in(call.text) - own for call in made.way.replies if holds(call.text, made.name)]
    alike = (call for call in talks.context.target.calls() if words_in(call.text) - own in telling)
    return {name for call in alike for name in Way((), (call,)).ids}


def _lines_of(recipe: Recipe, names: Iterable[str], replies: Iterable[ApiCalled]) -> int:
    """How many lines hold the name of a thing beside words that its owner has written: a number alone may stand anywhere."""
    own = {word for step in recipe.steps if step.ours for word in words_in(step.text)}
    lines = [line for call in replies for line in call.text.split("\n") if own & words_in(line)]
    return sum(any(holds(line, name) for line in lines) for name in names)


def _made_by_others(recipe: Recipe, ways: Sequence[Way]) -> set[str]:
    """The names of things that those were told who explored and did the like."""
    told = (names_of(way) for way in ways if deeds_in(way.steps) == deeds_in(recipe.steps))
    return {names[recipe.nth] for names in told if recipe.nth < len(names)}


def offered_to_all(use: Use, ways: Sequence[Way]) -> bool:
    """Whether the target offers the like to people who have made nothing: what anybody is shown of others' things is meant for all."""
    plain = (
        words(way.replies)
        for way in ways
        if not way.steps[-1].ours and not worded(way.steps) and use.access.recipe.steps[-1] not in way.steps
    )
    # Another thing has other words of its own, and a long text (what there is to be had) has any.
    return any(2 * len(use.told & told) >= len(use.told) and len(told) <= _LONGER * len(use.told) for told in plain)


def is_shared(talks: Talks, use: Use, private: Sequence[Step] | None, ways: Sequence[Way]) -> bool:
    """Whether what is written is not for the owner of a thing alone, or that cannot be seen.

    Anybody can write it of what they have only been offered (a free hour), nothing comes of it, it lets others in, and both are shown
    the thing then, its owner is asked whether they may have it, or who writes it is shown the thing as theirs afterwards.

    Args:
        talks: The stage's conversations.
        use: What is written.
        private: What shows the thing to its owner, and to no stranger, where something does.
        ways: What strangers have explored.
    """
    made = make(talks, use.access.recipe)
    if made is None or _is_offered(talks, use, made):
        return True
    step, stranger = use.access.step(made.name), talks.stranger()
    if private is None:
        lists = lists_in(ways)
        before = [_shown_by(talks, steps, stranger, made.name) for steps in lists]
        if use.spent and done_to(talks, made, stranger, use.access.pattern) is not None:
            return True
        return any(
            _shown_by(talks, steps, stranger, made.name) and not known
            for steps, known in zip(lists, before, strict=True)
        )
    steps = made.around(private)
    if not use.spent and not use.named:
        told, calls = _texts(walk(talks, steps, made.owner)[1]), len(talks.context.target.calls())
        talks.say(made.owner, step, "the owner")
        # Whom it is offered to may have to agree.
        offered = any(str(call.chat) == str(talks.context.peer) for call in talks.context.target.calls()[calls:])
        if not offered and _texts(walk(talks, steps, made.owner)[1]) == told:
            return True
    talks.say(stranger, step, "another one")
    others, own = (walk(talks, steps, one)[1].replies for one in (stranger, made.owner))
    # Where a busy target shows nothing in time, that is not seen.
    return not others or not own or (shows(others, made.name) and shows(own, made.name))


def _shown_by(talks: Talks, steps: Sequence[Step], person: Person, name: str) -> bool:
    """Whether a list shows somebody a thing."""
    return shows(walk(talks, steps, person)[1].replies, name)


def _is_offered(talks: Talks, use: Use, made: Made) -> bool:
    """Whether a thing that was chosen is still offered to others, or somebody is told the same of another one that was offered and not chosen."""
    *before, last = use.access.recipe.steps
    choice = _choice(made.way.taken[-1].text)
    if not before or not last.pressed or kind_of(last.text) == last.text or choice != made.name:
        return False
    stranger, way = walk(talks, before)
    alike = [data for data in way.buttons if kind_of(data) == kind_of(last.text)]
    if any(_choice(data) == choice for data in alike):
        return True  # it is still there for others, who may have chosen it meanwhile
    # Others choose among the first ones meanwhile.
    names = list(filter(None, map(_choice, reversed(alike))))
    for other in names[:_CHOICES]:
        told = words(talks.say(stranger, use.access.step(other), "another one"))
        if len(told & use.told) >= ALIKE * len(use.told):
            return True
    return not names  # where nothing else is left to choose from, that cannot be seen


def _choice(data: str) -> str:
    """What a button chooses: the last part of its data with a digit in it."""
    return next((part for part in reversed(_PARTS.findall(data)) if not part.isalpha()), "")


def _texts(way: Way) -> list[str]:
    return [call.text for call in way.replies]
