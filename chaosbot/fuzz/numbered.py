"""Things of which only one may have each, taken by a number that is typed behind a command: ``/table 3``.

Rules:

- That there is one each is found out: who types the same number is told otherwise than who has it, who types another one is told the same.
- Everybody types a number of their own, and others where that one is another's already.
- There are few of them. What nobody can use any more is given back, where a command was found by which its owner does that.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from chaosbot.checks._likeness import ALIKE, words
from chaosbot.core.event import ApiCalled
from chaosbot.fuzz.talks import Person, Step, Talks
from chaosbot.fuzz.usages import RANGE

if TYPE_CHECKING:
    from chaosbot.fuzz.context import CampaignContext

_TYPED: Final = re.compile(r"(/\w+ )(\d{1,3})((?: .*)?)")
_MANY: Final = 20
"""So many there may be where the target does not say how many."""
_TRIES: Final = 8
"""So many numbers somebody tries."""
_MOST_COMMANDS: Final = 20


@dataclass(eq=False)
class Numbered:
    """A command by which somebody takes one of several things. Thread-safe.

    Args:
        most: The highest number.
        told: The words that who gets one is told.
        ends: Whether the target shows how many there are.
        back: What its owner says to give it back; None where that is not known.
    """

    most: int
    told: frozenset[str]
    ends: bool
    back: Step | None = None
    _numbers: dict[int, int] = field(default_factory=dict)
    _owners: dict[int, Callable[[], object]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self, step: Step, user: int, apart: int) -> Step:
        """The step with the number that somebody takes; people whose ids follow each other take different ones."""
        with self._lock:
            return _with(step, self._numbers.setdefault(user, user // apart % self.most + 1))

    def ask(
        self, user: int, owner: object, said: Callable[[], set[str]], give_back: Callable[[int, Step], object]
    ) -> None:
        """Somebody asks for one, if need be for another one than the first, so often as people do.

        Args:
            user: Their id.
            owner: Who has it then; when nobody holds that any more, it can be given back.
            said: Asks for the number that is theirs to try (`line`); the words that they are told.
            give_back: Says for another user that they give theirs back.
        """
        for _ in range(_TRIES):
            if self._taken(user, owner, said()):
                return
            if (unused := self._unused(user)) is not None and self.back is not None:
                give_back(unused, self.back)

    def _taken(self, user: int, owner: object, said: set[str]) -> bool:
        """Whether somebody who was told these words got what they have asked for; if not, another number is theirs to try."""
        with self._lock:
            if like(said, self.told):
                self._owners[user] = weakref.ref(owner)
                return True
            self._numbers[user] = self._numbers.get(user, 0) % self.most + 1
            return False

    def left_by(self, user: int, step: Step) -> None:
        """Notes that somebody who is not there any more has taken the number of this step."""
        with self._lock:
            self._numbers[user] = _number(step)
            self._owners[user] = lambda: None

    def given_back(self, user: int) -> Step | None:
        """What somebody says now who needs theirs no more; None where they have none, or nobody knows yet, who says it for them later."""
        with self._lock:
            if user in self._owners and self.back is None:
                self._owners[user] = lambda: None
                return None
            return self.back if self._owners.pop(user, None) is not None else None

    def _unused(self, heir: int) -> int | None:
        """Somebody whose thing nobody can use any more, and whose number is another one's to try; None where there is none."""
        if self.back is None:
            return None
        with self._lock:
            user = next((user for user, owner in self._owners.items() if owner() is None), None)
            if user is not None:
                del self._owners[user]
                self._numbers[heir] = self._numbers[user]
        return user


def numbered(context: CampaignContext, step: Step) -> Numbered | None:
    """What is known of a step that takes one of several things; None where it is no such step."""
    return context.numbered.get(key_of(step)) if step.ours and context.numbered else None


def key_of(step: Step) -> str:
    """The step without its number; empty where no number stands behind its command."""
    found = _TYPED.fullmatch(step.text) if step.ours and not step.pressed else None
    return f"{found[1]}#{found[3]}" if found is not None else ""


def take(talks: Talks, known: Numbered, person: Person, step: Step, what: str = "") -> tuple[Step, list[ApiCalled]]:
    """Somebody takes one of the things, if need be another one than the first.

    Returns:
        What they typed last, and what they were told.
    """
    user, told = person.user or 0, [(step, list[ApiCalled]())]

    def said() -> set[str]:
        line = known.line(step, user, talks.context.apart)
        told[0] = line, talks.say(person, line, what)
        return words(told[0][1])

    known.ask(user, person, said, lambda other, back: talks.say(Person(user=other), back))
    return told[0]


def give_back(talks: Talks, steps: Iterable[Step], person: Person) -> None:
    """Somebody who has gone these steps gives back what they have taken by them."""
    for step in steps:
        known = numbered(talks.context, step)
        back = known.given_back(person.user or 0) if known is not None else None
        if back is not None:
            talks.say(person, back)


def found_out(
    talks: Talks, before: Sequence[Step], step: Step, told: frozenset[str]
) -> tuple[Numbered, Step, Person] | None:
    """Whether there is one each of what somebody has got by a step.

    Args:
        talks: The stage's conversations.
        before: What is done before it.
        step: The step.
        told: The words that who took it was told.

    Returns:
        What is known of it, and the step by which somebody has one now.
    """
    stranger = talks.stranger()
    for earlier in before:
        talks.say(stranger, earlier)
    if not told or like(words(talks.say(stranger, step)), told):
        return None
    number = _number(step)
    shown = (
        int(high)
        for call in talks.context.target.calls()
        if step.text.partition(" ")[0] in call.text
        for low, high in RANGE.findall(call.text)
        if int(low) <= number <= int(high)
    )
    highest = next(shown, 0)
    most = highest or _MANY
    for other in dict.fromkeys((number % most + 1, (number + 1) % most + 1, max(1, number - 1))):
        mine = _with(step, other)
        if other == number or not like(words(talks.say(stranger, mine)), told):
            continue
        if like(words(_said_by_another(talks, before, mine)[1]), told):
            return None  # it is told to whoever asks
        return Numbered(most, told, bool(highest)), mine, stranger
    return None


def _said_by_another(talks: Talks, before: Sequence[Step], step: Step) -> tuple[Person, list[ApiCalled]]:
    other = talks.stranger()
    for earlier in before:
        talks.say(other, earlier)
    return other, talks.say(other, step)


def find_back(
    talks: Talks,
    before: Sequence[Step],
    known: Numbered,
    step: Step,
    owner: Person,
    commands: Mapping[Step, set[str]],
) -> bool:
    """Finds out what an owner says after which another one gets the thing.

    Args:
        talks: The stage's conversations.
        before: What is done before the step.
        known: What is known of such things; learns of it.
        step: By which the owner has got one.
        owner: The owner.
        commands: What may give it back, without an argument, each with the words that newcomers are told.

    Returns:
        Whether that was found.
    """
    for command, plain in islice(commands.items(), _MOST_COMMANDS):
        if not words(talks.say(owner, command)) - plain:
            continue  # it means nothing to an owner
        other, replies = _said_by_another(talks, before, step)
        if like(words(replies), known.told):
            known.back = command
            talks.say(other, command)
            return True
    return False


def like(said: set[str], told: frozenset[str]) -> bool:
    """Whether somebody was told what who takes one is told."""
    return len(said & told) >= ALIKE * len(told)


def _number(step: Step) -> int:
    return int(_TYPED.sub(r"\2", step.text))


def _with(step: Step, number: int) -> Step:
    return replace(step, text=_TYPED.sub(lambda found: f"{found[1]}{number}{found[3]}", step.text))
