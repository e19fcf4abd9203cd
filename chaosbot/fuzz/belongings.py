"""What belongs to one user, in another one's hands: notes, orders, tickets, by their numbers and by their buttons.

Rules:

- Its owner uses a thing first (the control), and asks for one that does not exist (the background). Only what the owner gets for the one and not
  for the other can be had wrongly.
- Nothing is tried with a thing that may be meant for others as well.
- Of the buttons by which an owner decides about what others have done, the ones that can be used once only are the owner's, whoever else
  presses them, and whoever caused them to be shown. What everybody may do once is none of these: another one still can when the owner has.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import ALIKE, words, words_in
from chaosbot.core.case import Change, Role
from chaosbot.core.event import ApiCalled
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.catalogue.scenarios import check_of
from chaosbot.fuzz.exploring import ENTRY, Way, kind_of, walk
from chaosbot.fuzz.making import (
    MOST_DEEDS,
    NUMBERS,
    Access,
    Made,
    Recipe,
    decision_on,
    deeds_to,
    done_to,
    holds,
    make,
    pattern_of,
    recipes_of,
    shows,
)
from chaosbot.fuzz.owners import Use, is_shared, lists_in, offered_to_all, shown_to_all
from chaosbot.fuzz.places import said
from chaosbot.fuzz.spec import TimeIsUp
from chaosbot.fuzz.talks import Step, Talks
from chaosbot.fuzz.usages import TEXT, usages

_ROW: Final = 5
"""So many lists one owner looks at."""
_MOST_WRITTEN: Final = 3
"""So many ways to make things are tried with every command; several ways often make things of one kind."""
_MOST_INSIDE: Final = 6
"""So many commands may show what is in a thing."""
_LOOKING: Final = 0.1
"""Such a part of the campaign's time things are looked at, at least, once it is known how they are made."""
_TRYING_S: Final = 3.0
"""So long strangers may try what was found, however late it is."""
_MOST_ASKED: Final = 2
"""So many ways to make things are tried with what others do to them."""
_STRANGER: Final = "a stranger"
_DOER: Final = "a stranger who has done something to it"
_MAKER: Final = "a stranger who has made one as well"
_SOON: Final = 0.8
_MANY: Final = 4
"""What so many chats are shown is meant for all."""
_SLASHED: Final = re.compile(r"(?<![\w/.:])/(\w{1,64})")


@dataclass(frozen=True)
class _Look:
    """What somebody was shown of their thing by a list, and whether that list keeps it from strangers.

    Args:
        accesses: The ways to the thing that it shows.
        private: How the thing is made that it keeps from strangers.
        steps: What its owner does to see it.
        offered: The buttons that the list shows to who has made nothing: unless they use the thing up those of their kinds are for all.
    """

    accesses: tuple[Access, ...] = ()
    private: Recipe | None = None
    steps: tuple[Step, ...] = ()
    offered: frozenset[str] = frozenset()


def try_belongings(talks: Talks, ways: Sequence[Way], commands: Sequence[str]) -> list[str]:
    """Finds things and tries each way to them as their owner and as a stranger.

    Args:
        talks: The stage's conversations.
        ways: What strangers have explored.
        commands: The commands that everybody is told of, with their slash.

    Returns:
        What was found, for the coverage of judgement: each way to a thing, and whether a stranger tried it or why not.
    """
    recipes = recipes_of(talks, ways)
    if not talks.grouped:
        talks.context.recipes.extend(recipes)
        talks.context.recipes_known.set()
    texts = said(talks.context)
    # What was seen to be answered otherwise about a thing, or asks for one, comes first.
    deeds = deeds_to(talks, ways, commands)
    first = [deed.partition(" ")[0] for deed in deeds]
    ordered = sorted(commands, key=lambda command: first.index(command) if command in first else len(first))
    looks: list[Callable[[], list[_Look] | Use | None]] = []
    lists = lists_in(ways)
    for nth, recipe in enumerate(recipes):
        inside = _inside(recipe, commands, texts)
        looks += [partial(_listed, talks, recipe, rows) for rows in _in_rows([(), *lists, *inside])]
        own = {step.text.partition(" ")[0] for step in recipe.steps}  # they would make another thing
        looks += [
            partial(_used, talks, Access(recipe, pattern))
            for command in (ordered if nth < _MOST_WRITTEN else ())
            for pattern in _written(command, texts, talks.context.peer)
            if command not in own
        ]
    if any(NUMBERS.search(data) for call in talks.context.target.calls() for data in call.buttons):
        likely = deeds[:MOST_DEEDS]
        looks += [partial(_asked, talks, recipe, deed, likely) for recipe in recipes[:_MOST_ASKED] for deed in likely]
    if looks:
        talks.at_least(_LOOKING * talks.context.spec.duration_s)
    found = talks.run(looks, long=True)
    seen = [look for one in found if isinstance(one, list) for look in one]
    private = {look.private: look.steps for look in reversed(seen) if look.private}
    talks.at_least(_TRYING_S)
    public = shown_to_all(talks, list(private), ways)
    ranked = sorted((one for look in seen for one in look.accesses), key=lambda one: not one.public)
    shown = {(one.pattern, one.pressed): one for one in ranked}  # a list that shows it too comes last, and counts
    pressed = talks.run(partial(_used, talks, access) for access in shown.values())
    uses = [one for one in (*found, *pressed) if isinstance(one, Use)]
    told = _shown_to_many(talks.context.target.calls())
    offered = told.union(*(look.offered for look in seen))
    kept = [
        use
        for use in uses
        if use.access.recipe in private
        and not (use.access.pressed and _is_among(use.access, offered))
        and (use.access.pressed or use.access.recipe not in public)
        and not offered_to_all(use, ways)
    ]
    # There may be one of what all are shown (a place, a game to be lent): who comes first uses it up for others.
    ours = [
        use
        for use in uses
        if (use.spent and not (use.access.pressed and _is_among(use.access, told)))
        or (use in kept and not use.access.public)
    ]
    talks.at_least(_TRYING_S)  # all before was for this
    # What came by chance (others' doings) does not come again.
    again = talks.run(partial(_used, talks, use.access) for use in ours for _ in range(2))
    pairs = zip(again[::2], again[1::2], strict=True)
    ours = [use for use, pair in zip(ours, pairs, strict=True) if any(map(use.agrees, filter(None, pair)))]
    typed = [use for use in ours if not use.access.pressed]
    kept_by = {use: private.get(use.access.recipe) if use in kept else None for use in typed}
    talks.at_least(_TRYING_S)
    looked = talks.run(partial(is_shared, talks, use, kept_by[use], ways) for use in typed)
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


def _shown_to_many(calls: Iterable[ApiCalled]) -> frozenset[str]:
    """The buttons that were shown in several chats: what such a one is about is no secret of one of them."""
    chats: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        for data in call.buttons:
            chats[data].add(str(call.chat))
    return frozenset(data for data, told in chats.items() if len(told) >= _MANY)


def _is_among(access: Access, offered: Iterable[str]) -> bool:
    """Whether a button of a kind is among these, whatever it is about: a number, or a drawn name."""
    kind = kind_of(access.step("7").text)
    like = re.compile(re.escape(access.pattern).replace(re.escape("{}"), r"[\w-]+"))
    return any(kind_of(data) == kind or like.fullmatch(data) for data in offered)


def _asked(talks: Talks, recipe: Recipe, first: str, deeds: Sequence[str]) -> list[_Look]:
    """What the owner of a thing is asked to decide when others do one thing to it, and then another (who has signed up says that they have paid)."""
    found: dict[str, Access] = {}
    made = make(talks, recipe)
    if made is None:
        return []
    # Who was let in may be asked for words afterwards (what they hand in).
    entry = (ENTRY.text,) if made.entry else ()
    for second in (*deeds, TEXT):
        other = talks.peer()
        if entry:
            done_to(talks, made, other, *entry)
        for done in ((*entry, first), (*entry, first, second)) if second != first else ((*entry, first),):
            asked = done_to(talks, made, other, done[-1])
            if asked is None:
                continue
            name = decision_on(made, other, asked).name
            for data in asked.buttons:
                if holds(data, name):
                    access = Access(replace(recipe, deeds=done), pattern_of(data, name), pressed=True)
                    found.setdefault(kind_of(data), access)
    return [_Look(tuple(found.values()))]


def _written(command: str, texts: str, peer: int | None) -> Iterator[str]:
    """What may be written about a thing by its number, which ``{}`` stands for: the number alone, and first of what the command's usage shows.

    Where one more thing is asked for, it may be whom the thing is passed on to.
    """
    yield f"{command} {{}}"
    longer = (usage for usage in usages(command, texts) if len(usage.parts) > 1)
    if (usage := next(longer, None)) is not None:
        first, *more = usage.places
        yield f"{command} {usage.with_part(first, '{}')}"
        if peer is not None and len(more) == 1:
            second = more[0]
            yield f"{command} {usage.with_part(first, '{}').with_part(second, str(peer))}"


def _inside(recipe: Recipe, commands: Iterable[str], texts: str) -> list[tuple[Step, ...]]:
    """What may show what is in the thing in which another one is made, by its number: first what is told to take one argument."""
    if not any("{n}" in step.text for step in recipe.steps):
        return []
    own = {step.text.partition(" ")[0] for step in recipe.steps}
    others = [command for command in commands if command not in own]
    others.sort(key=lambda command: not any(len(usage.places) == 1 for usage in usages(command, texts)))
    return [(Step(f"{command} {{n}}"),) for command in others[:_MOST_INSIDE]]


def _in_rows(lists: Sequence[tuple[Step, ...]]) -> list[list[tuple[Step, ...]]]:
    """What one owner looks at, one after the other: several commands, of which none changes much, or one that is followed by a press.

    Of what there is only so much of (rooms by the hour) not everyone who looks can have one.
    """
    short = [steps for steps in lists if len(steps) <= 1]
    rows = [short[start : start + _ROW] for start in range(0, len(short), _ROW)]
    return rows + [[steps] for steps in lists if len(steps) > 1]


def _listed(talks: Talks, recipe: Recipe, rows: Sequence[tuple[Step, ...]]) -> list[_Look]:
    """The ways to a thing that its owner is shown after each of these steps; with no step, when it is made."""
    found: list[_Look] = []
    with suppress(TimeIsUp):  # what was seen by then counts
        made = make(talks, recipe)
        if made is not None:
            found.extend(_look(talks, recipe, made, steps) for steps in rows)
    return found


def _look(talks: Talks, recipe: Recipe, made: Made, steps: tuple[Step, ...]) -> _Look:
    shown = made.around(steps)
    replies = walk(talks, shown, made.owner)[1].replies if steps else made.way.replies
    if not shows(replies, made.name):
        return _Look()
    theirs = walk(talks, shown)[1] if steps else Way((), ())
    private = bool(steps) and not shows(theirs.replies, made.name)
    # A list that shows only the latest shows it to nobody a moment later.
    private = private and shows(walk(talks, shown, made.owner)[1].replies, made.name)
    texts = {
        f"/{word}"
        for call in replies
        for word in _SLASHED.findall(call.text)
        if holds(word.replace("_", " "), made.name)
    }
    data = {data for call in replies for data in call.buttons if holds(data, made.name)}
    found = [Access(recipe, pattern_of(text, made.name), text in data, steps) for text in sorted(texts | data)]
    return _Look(tuple(found), recipe if private else None, steps, frozenset(theirs.buttons))


def _absent(name: str) -> list[str]:
    """Names like this one that nothing has: a number far away, and a near one, which is as good an amount."""
    if not re.fullmatch(r"\d{1,30}(?:[^\w]+\d{1,30})*", name):  # more digits are a code
        return [re.sub(r"\d", lambda digit: str(9 - int(digit[0])), name[::-1])]
    return [re.sub(r"\d+", lambda number: str(int(number[0]) + 700_001), name), re.sub(r"\d+", _near, name)]


def _near(number: re.Match[str]) -> str:
    """A number of as many digits that nothing will have soon, where things are numbered one after the other."""
    largest = 10 ** len(number[0]) - 3
    return str(largest if int(number[0]) < _SOON * largest else 10 * largest)


def _used(talks: Talks, access: Access) -> Use | None:
    """The owner uses a thing; None where that gets nothing that a thing which does not exist would not get."""
    made = make(talks, access.recipe)
    if made is None or made.entry == access.step(made.name).text:
        return None  # what its maker is told to pass on is meant for others
    if access.before:
        walk(talks, made.around(access.before), made.owner)
    step = access.step(made.name)
    control = talks.case(made.owner, step, summary=f"the owner's own: {access.subject}")

    def absent(name: str) -> set[str]:
        return words(talks.say(made.owner, access.step(name), "the owner", role=Role.BACKGROUND, control=control.name))

    others = _absent(made.name)
    nothing = set[str]().union(*map(absent, others))
    began = monotonic()
    replies = talks.send(control)
    told = words(replies) - nothing
    # Asked again for what does not exist: where the first answer was only the first one, the name changed nothing.
    if not told or not told - absent(others[0]):
        return None
    watch = talks.context.target.watch
    if not nothing:
        # Silence may be an answer that is late, and was taken for that to the owner's own.
        sleep(watch.patience_s)
        said = Counter(call.text for call in watch.replies(control, began) if call.text)
        if max(said.values(), default=0) > 1:
            return None
    again = words(talks.say(made.owner, step, "the owner"))
    # Who does it again is told that there is nothing, or that it is done.
    spent = again <= nothing or len(again & told) < ALIKE * len(told)
    if spent and not access.recipe.deeds and (access.public or not again <= nothing):
        # What each may do once (joining a round) is used up for who did, and for nobody else.
        theirs = words(talks.say(talks.stranger(), step, "another one, afterwards,"))
        spent = len(theirs & told) < ALIKE * len(told)
    own = {word for step in access.recipe.steps if step.ours for word in words_in(step.text)}
    named = bool(own & told) or shows(replies, made.name)
    return Use(access, control.name, spent, frozenset(told), named, frozenset(words(made.way.replies)))


def _tried(talks: Talks, use: Use, by: str, steps: Sequence[Step] | None = None) -> bool:
    """Somebody else uses somebody's thing: a stranger, who has made one as well, or who has done something to it.

    Args:
        talks: The stage's conversations.
        use: How its owner uses it.
        by: Who does.
        steps: What shows it to those whose it is; who has made one as well may have made it in the same place, and share it.
    """
    made = make(talks, use.access.recipe)
    if made is None:
        return False
    person = made.other if by == _DOER else None
    if by == _MAKER:
        # Whoever has a thing may have a part in the target that opens what is nobody's but another one's.
        like = make(talks, use.access.recipe)
        if like is None or steps is None:
            return False
        person = like.owner
        if shows(walk(talks, made.around(steps), person)[1].replies, made.name):
            return False
    if use.access.before:
        walk(talks, made.around(use.access.before), made.owner)
    person = person or talks.stranger()
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
