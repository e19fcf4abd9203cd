"""Rights that the admin gives and takes at run time: asked for by who has them no more, and by who merely resembles who has them.

Rules:

- What gives and what takes a right is not known by name: each of the admin's commands is written about somebody new, with the choices that its
  usage shows, and what that one gets then tells.
- Each right is asked for by people who have seen nothing of it before: who has it (the control), who stands by, whose it was and is no more before
  they ever used it (both show what others get), and only then by who is not to have it.
- What opens the same to everybody gives nobody a right; what asks back is not asked for, since the answer to its question may be awaited.
- Rights are only ever given to people of ours, and taken from them again where that is known how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

from chaosbot.checks._likeness import resembles, words, words_in
from chaosbot.core.case import Case, Change, Role
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.values import related_ids
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.catalogue.scenarios import check_of
from chaosbot.fuzz.exploring import ASKED, Way, asked, walk
from chaosbot.fuzz.moderation import CROWD
from chaosbot.fuzz.spec import TimeIsUp
from chaosbot.fuzz.talks import Person, Step, Talks
from chaosbot.fuzz.usages import choices

_MOST_COMMANDS: Final = 12
_MOST_FORMS: Final = 18
_MOST_REQUESTS: Final = 6
_MOST_GIVE: Final = 2
_MOST_TAKE: Final = 2
_MOST_BEFORE: Final = 2
_LEAST_ID: Final = 10**6
_MOST_ID: Final = 2**52
_HELLO: Final = Step(ASKED[0])


def try_rights(talks: Talks, ways: Sequence[Way], own: Sequence[str]) -> list[str]:
    """Gives people rights as the admin, takes them, and asks for them as those who have none.

    Args:
        talks: The stage's conversations, which hold the admin's chat.
        ways: What strangers have explored.
        own: The commands that the target names to its admin only.

    Returns:
        What was found, for the coverage of judgement: each command that gives a right, and what was tried about it.
    """
    context = talks.context
    if not context.privileges:
        return []
    notes: list[str] = []
    with suppress(TimeIsUp):
        forms = _forms(talks, own)
        for before in _preparations(ways):
            desk = _Desk(talks, (_HELLO, *before), forms)
            gives = desk.gives()
            for form, request in gives:
                notes += desk.tried(form, request)
            desk.clear()
            forms = list(desk.forms)
            if gives:
                break
    return notes


def _forms(talks: Talks, own: Iterable[str]) -> list[str]:
    """What the admin may write about somebody, ``{}`` for who that is: each command alone, then with each of its choices."""
    context = talks.context
    helped = asked(talks, Person(tier=context.platform.tiers[-1]), ASKED[:2])
    calls = [*helped, *context.target.calls(), *chain.from_iterable(context.privileges.values())]
    told = "\n".join(dict.fromkeys(call.text for call in calls))
    known = dict.fromkeys([*own, *(text.partition(" ")[0] for text in context.privileges)])
    commands = [one for one in known if not context.announces(one)][:_MOST_COMMANDS]
    chosen = [f"{command} {form}" for command in commands for form in choices(command, told)]
    return [*(f"{command} {{}}" for command in commands), *chosen][:_MOST_FORMS]


def _preparations(ways: Iterable[Way]) -> list[tuple[Step, ...]]:
    """What people may have to do before they can be given a right: nothing, or what changes the most other answers (who has joined), which comes first."""
    ways = list(ways)
    plain = {way.steps[0]: words(way.replies) for way in ways if len(way.steps) == 1}
    changed = Counter(
        way.steps[:-1]
        for way in ways
        if len(way.steps) > 1 and words(way.replies) - plain.get(way.steps[-1], words(way.replies))
    )
    first, *others = [steps for steps, _ in changed.most_common(_MOST_BEFORE)] or [()]
    return list(dict.fromkeys([first, (), *others]))


@dataclass
class _Desk:
    """The admin, and people who have all prepared themselves alike.

    Args:
        talks: The stage's conversations.
        before: What everybody says first.
        forms: What the admin may write about somebody, ``{}`` for who that is.
    """

    talks: Talks
    before: Sequence[Step]
    forms: Sequence[str]
    given: list[int] = field(default_factory=list)
    takes: list[str] = field(default_factory=list)
    refused: dict[str, set[str]] = field(default_factory=dict)
    """The words that people without rights get, by request."""

    def gives(self) -> list[tuple[str, str]]:
        """What gives a right, each with a request that is served then."""
        gets = self.talks.context.privileges
        answered = sorted((text for text, calls in gets.items() if not _asks_back(calls)), key=lambda text: " " in text)
        refused = self.talks.run(partial(self._refused, text) for text in answered[: 2 * _MOST_REQUESTS])
        admin = self.talks.context.platform.administrator
        names = words_in(self.talks.context.platform.called(admin)) if admin is not None else set()
        asking = zip(answered, refused, strict=False)
        self.refused = {text: words(calls) for text, calls in asking if calls is not None}
        models = {text: words(gets[text]) - refused - names for text, refused in self.refused.items()}
        telling = dict([(text, model) for text, model in models.items() if model][:_MOST_REQUESTS])
        people = self.talks.run([self._somebody] * len(self.forms)) if telling else []
        about = [(form, person) for form, person in zip(self.forms, people, strict=False) if person is not None]
        told = [(form, person, self._ordered(form, person, usual=1)) for form, person in about]
        # What is answered as the command alone is, or as it is without anybody, has not been done about anybody.
        about = [(form, person) for form, person, calls in told if not self._as_usual(form, calls)]
        self._leave_out_spread(told)
        served = self.talks.run(partial(self._first_served, person, telling) for _, person in about)
        found = {
            form.partition(" ")[0]: (form, text)
            for (form, _), text in zip(about, served, strict=True)
            if text is not None
        }
        return list(found.values())[:_MOST_GIVE]

    def _as_usual(self, form: str, calls: Sequence[ApiCalled]) -> bool:
        command = form.partition(" ")[0]
        usual = (words(got) for text, got in self.talks.context.privileges.items() if text.partition(" ")[0] == command)
        return any(resembles(calls, one) for one in usual)

    def _leave_out_spread(self, told: Iterable[tuple[str, Person, object]]) -> None:
        """Writes no more by which the target writes to many."""
        calls = self.talks.context.target.calls()
        for form, person, _ in told:
            if len({str(call.chat) for call in calls if str(person.user) in call.text}) > CROWD:
                self.forms = [one for one in self.forms if one != form]

    def tried(self, form: str, text: str) -> list[str]:
        """Tries what must not come of a right that is given, and of one that was taken; what was tried."""
        notes = []
        for named in (False, True):
            control, person, calls = self._has(form, text, named=named)
            others = self._asks(self._somebody(), text, "somebody who stands by", control)
            model = words(calls) - words(others) - self.refused[text]
            # Who is answered at other times and is not now may only be answered late.
            late = bool(self.refused[text]) and not words(others)
            if late or not resembles(calls, model) or resembles(others, model):
                continue
            self._lookalikes(person, form, text, control, named=named)
            notes.append(
                f"{form.format('@name' if named else 'ID')}: gives {text}, which others who look alike ask for"
            )
            if not named:
                notes += [self._taken(form, take, text, control, model) for take in self._takers(form, text, model)]
        return notes

    def clear(self) -> None:
        """Takes what was given."""
        for user in self.given if self.takes else ():
            self._ordered(self.takes[0], Person(user=user), usual=1)

    def _lookalikes(self, owner: Person, form: str, text: str, control: Case, *, named: bool) -> None:
        """Asks for what somebody was given as those whose names or ids are like theirs."""
        gave = f"after {self._said(form, owner, named=named)!r}"
        conversations = []
        for value in () if named else related_ids(owner.user or 0):
            if value.literal.isdigit() and _LEAST_ID < int(value.literal) < _MOST_ID:
                person, what = Person(user=int(value.literal)), f"{gave}, somebody whose id {value.what},"
                conversations.append(partial(self._attempt, person, text, what, control, "id"))
        if self.talks.context.platform.mention(owner.user or 0):
            what = f"{gave}, somebody else who bears that one's username now,"
            make = partial(self._renamed, text, owner.user or 0)
            conversations.append(
                partial(self._attempt, self.talks.stranger(), text, what, control, "username", make=make)
            )
        self.talks.run(conversations)

    def _takers(self, form: str, text: str, model: set[str]) -> list[str]:
        """What takes the right again from who has not used it: the command's other choices first."""
        command = form.partition(" ")[0]
        forms = sorted((one for one in self.forms if one != form), key=lambda one: one.partition(" ")[0] != command)
        people = self.talks.run([self._somebody] * len(forms))
        about = [(take, person) for take, person in zip(forms, people, strict=True) if person is not None]
        for take, person in about:
            self._ordered(form, person, usual=1)
            self._ordered(take, person, usual=1)
        got = self.talks.run(partial(self.talks.say, person, Step(text)) for _, person in about)
        found = [take for (take, _), calls in zip(about, got, strict=True) if calls and not resembles(calls, model)]
        return found[:_MOST_TAKE]

    def _taken(self, form: str, take: str, text: str, control: Case, model: set[str]) -> str:
        """Takes the right from who has used it; they ask again."""

        def unused() -> tuple[set[str], list[ApiCalled]]:
            person = self._somebody()
            self._ordered(form, person)
            told = words(self._ordered(take, person))
            return told, self._asks(person, text, "somebody who has the right no more and never used it", control)

        note = f"{form.format('ID')}, then {take.format('ID')}"
        told, refused = unused()
        if resembles(refused, model):
            return f"{note}: not tried, it is not always taken"
        self.takes.append(take)
        person = self._somebody()
        self._ordered(form, person)
        if not resembles(self.talks.say(person, Step(text)), model) or words(self._ordered(take, person)) != told:
            return f"{note}: not tried, it is not always given or taken"
        what = (
            f"somebody who has used what {self._said(form, person)!r} gave and {self._said(take, person)!r} took again"
        )
        if resembles(self._attempt(person, text, what, control, "taken"), model):
            unused()  # shows once more that the right is taken
        return f"{note}: {text} tried"

    def _attempt(self, person: Person, text: str, what: str, control: Case, trick: str, **how: Any) -> list[ApiCalled]:
        change = Change(Mechanism.TECHNIQUE, f"escalation/{trick}", "right")
        meant: dict[str, Any] = {
            "role": Role.ATTEMPT,
            "check": check_of("demoted"),
            "control": control.name,
            "change": change,
        }
        return self.talks.say(person, Step(text), what, **meant, **how)

    def _asks(self, person: Person, text: str, what: str, control: Case) -> list[ApiCalled]:
        """Somebody asks who is not to have it, which shows what such people get."""
        calls = self.talks.say(person, Step(text), what, role=Role.BACKGROUND, control=control.name)
        self._ends(person)
        return calls

    def _has(self, form: str, text: str, *, named: bool) -> tuple[Case, Person, list[ApiCalled]]:
        """Somebody is given the right and asks: the control."""
        person = self._somebody()
        self._ordered(form, person, named=named)
        control = self.talks.case(person, Step(text), f"after {self._said(form, person, named=named)!r}, that one")
        calls = self.talks.send(control)
        self._ends(person)
        return control, person, calls

    def _ends(self, person: Person) -> None:
        """Says something else, so that what comes to everybody later is no answer to what was asked before."""
        self.talks.fire(self.talks.case(person, _HELLO))

    def _first_served(self, person: Person, telling: dict[str, set[str]]) -> str | None:
        """The first request that somebody gets the admin's answer to."""
        gets = self.talks.context.privileges
        for text, model in telling.items():
            if resembles(self.talks.say(person, Step(text)), model, words(gets[text])):
                return text
        return None

    def _refused(self, text: str) -> list[ApiCalled]:
        return self.talks.say(self._somebody(), Step(text))

    def _somebody(self) -> Person:
        return walk(self.talks, self.before, onwards=True)[0]

    def _said(self, form: str, person: Person, *, named: bool = False) -> str:
        user = person.user or 0
        return form.format(self.talks.context.platform.mention(user) if named else user)

    def _ordered(self, form: str, person: Person, usual: int = 0, *, named: bool = False) -> list[ApiCalled]:
        """The admin writes a command about somebody."""
        if person.user is not None and person.user not in self.given:
            self.given.append(person.user)
        admin = Person(tier=self.talks.context.platform.tiers[-1])
        return self.talks.say(admin, Step(self._said(form, person, named=named)), "the admin", usual)

    def _renamed(self, text: str, owner: int, dice: Dice, user: int) -> Any:
        platform = self.talks.context.platform
        return platform.renamed(platform.say(text, dice, user=user), owner)


def _asks_back(calls: Iterable[ApiCalled]) -> bool:
    return any(mark in call.text for call in calls for mark in "?？")
