"""A command's arguments changed in one place at a time, one after the other by the same person, who must be served afterwards.

Rules:

- What stands in the places is what the target's texts show (`chaosbot.fuzz.usages`), or what somebody was answered before. Of several ways to
  fill them the first is taken that gets another answer than the bare command.
- After each of them the person asks something plain that people get an answer to. Where it is silent, the latest arguments are tried again,
  each by somebody new, who was answered before it; the silence is charged where others are still answered.
- An argument without an answer is tried again by somebody new, and compared with an ordinary one.
- A command that writes to many others is asked once, not with every argument.
- Nothing is judged here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final

from chaosbot.checks._likeness import words
from chaosbot.core.case import Change, Expect, Reach, Role
from chaosbot.core.event import ApiCalled
from chaosbot.core.observation import Silenced
from chaosbot.core.values import PLACED
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import Way, walk
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.talks import Person, Step, Talks
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.usages import Usage, usages

_LONGEST: Final = 4096
_FILLINGS: Final = 6
_PLACES: Final = 4
"""So many places of a usage are changed."""
_READERS: Final = 4
"""So many plain things are asked for, one after each odd argument in turn."""
_IGNORED: Final = 6
"""So many odd arguments get what an argument makes no difference to."""
_AGAIN: Final = 6
"""So many unanswered arguments of a command are tried again."""
_PATIENT: Final = 3
"""So often it is looked whether somebody else is answered, while the target is busy."""
_CROWD: Final = 3
"""Who writes the same to so many chats writes to everybody."""
_LATE_S: Final = 0.5
"""So soon, at least, somebody who asks is answered."""
_DIGITS: Final = re.compile(r"\d+")
_NUMERIC: Final = re.compile(r"-?[\d._]+(?:e\d+)?|NaN|Infinity")


@dataclass(frozen=True)
class OddArgument:
    """An argument with one place changed.

    Args:
        word: Its name.
        what: What it is, for people.
        text: The argument.
    """

    word: str
    what: str
    text: str


class _Audience:
    """Who is told what a person asks, from now on.

    Args:
        talks: The stage's conversations.
        person: Who asks.
    """

    def __init__(self, talks: Talks, person: Person) -> None:
        self.asked: list[str] = []
        self._target, self._person = talks.context.target, person
        self._started = talks.context.spec.started
        calls = self._target.calls()
        self._looked = len(calls)
        self._before = {call.text for call in calls}  # what everybody is told all the time
        self._told: Counter[str] = Counter()

    def crowd(self) -> bool:
        """Whether something that was asked has been written by now to many chats in which nobody has just asked, as those do who look at a list."""
        watch = self._target.watch
        new = self._target.calls()[self._looked :]
        self._looked += len(new)
        for call in new:
            due = call.text not in self._before and any(text in call.text for text in self.asked)
            if due and call.chat is not None and str(call.chat) != str(self._person.chat):
                self._told[call.text] += not watch.asked(
                    call.chat, self._started + call.t, max(_LATE_S, 2 * watch.usual_s)
                )
        return any(count >= _CROWD for count in self._told.values())


@dataclass
class ArgumentSeries:
    """One person's odd arguments of one command.

    Args:
        talks: The stage's conversations.
        command: The command, with its slash.
        texts: What the target has said.
        ways: Where the target's own words lead.
        admin: Whether the admin asks, else somebody new.
        before: What somebody new does before.
    """

    talks: Talks
    command: str
    texts: str
    ways: Sequence[Way]
    admin: bool = False
    before: tuple[Step, ...] = ()

    def run(self) -> None:
        """Asks with all of them, and looks for what they have broken.

        Raises:
            TimeIsUp: The stage is over.
        """
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """The same, one argument after the other, so that several commands may take turns."""
        person = self._person()
        audience = _Audience(self.talks, person)
        base, taken = self._base(person, audience)
        if base is None:
            return
        # What is answered as if it had no argument hardly reads one.
        odds = list(_changed(base))[: None if taken else _IGNORED]
        readers = self._plain()
        unanswered: list[OddArgument] = []
        since: list[OddArgument] = []
        for nth, odd in enumerate(odds):
            yield
            if self.admin and audience.crowd():
                return  # the others were told after the admin was
            audience.asked.append(odd.text)
            since = [*since, odd][-_READERS:]
            result, replies = self._ask(person, odd, "", usual=0 if self.admin and not nth else 1)
            self.talks.note(result)
            if result.outcome.ok and not any(map(speaks, replies)):
                unanswered.append(odd)
            # The admin is one person, whose silence may be an earlier argument's.
            reader = readers[nth % len(readers)] if readers and not self.admin else None
            # What one argument has broken the next one may hide.
            if reader is not None and not self.talks.answered(person, reader):
                self._find(since, reader, base)
                person, since = self._person(), []
        for odd in unanswered[:_AGAIN]:
            yield
            self._compare(odd, base)

    def _person(self) -> Person:
        if self.admin:
            return Person(tier=self.talks.context.platform.tiers[-1])
        return walk(self.talks, self.before, onwards=True)[0] if self.before else self.talks.stranger()

    def _base(self, person: Person, audience: _Audience) -> tuple[Usage | None, bool]:
        """An argument that the command can do something with, and whether it is answered otherwise than the bare command.

        None where there is none, or where it should not be repeated.
        """
        bare = self.talks.say(person, Step(self.command), usual=1)
        told = "\n".join([*(call.text for call in bare), self.texts])
        known = [
            Usage(tuple(way.steps[-1].text.split()[1:]))
            for way in self.ways
            if way.steps[:-1] == self.before and way.steps[-1].text.startswith(f"{self.command} ")
        ]
        # What somebody else is meant by says more than what the same words may mean otherwise.
        meant = [one for one in known if str(self.talks.context.peer) in one.parts]
        tried = [filled for one in usages(self.command, told) for filled in one.fillings()]
        choices = [one for one in dict.fromkeys([*meant, *tried, *known]) if one.places][: _FILLINGS + len(meant)]
        for usage in choices:
            audience.asked.append(str(usage))
            replies = self.talks.say(person, Step(f"{self.command} {usage}"), usual=1)
            if audience.crowd():
                return None, False
            if words(replies) - words(bare):
                return usage, True
        return next(iter(choices), None), False

    def _plain(self) -> list[Step]:
        """What is asked for afterwards: best what is answered from what people have done."""
        own = (self.command, "/start")
        counted = [way.steps[-1] for way in self.ways if len(way.steps) > 1 and not way.steps[-1].ours]
        single = [
            way.steps[0] for way in self.ways if len(way.steps) == 1 and way.plain and any(map(speaks, way.replies))
        ]
        asked = [step for step in dict.fromkeys([*counted, *single]) if step in single and step.text.startswith("/")]
        return [step for step in asked if step.text not in own][:_READERS]

    def _ask(
        self, person: Person, odd: OddArgument, suffix: str, usual: int = 1, **how: Any
    ) -> tuple[CaseResult, list[ApiCalled]]:
        """Asks with an odd argument, which so many calls come of, where that is known; the result must be noted."""
        case = self.talks.case(
            person,
            Step(f"{self.command} {odd.text}"[:_LONGEST].rstrip(" ")),
            name=f"argument/{self.command[1:]}-{'admin-' if self.admin else ''}{odd.word}{suffix}",
            **{
                "summary": f"{'the admin writes ' if self.admin else ''}{self.command} with {odd.what}",
                "group": "argument",
                "role": Role.ATTEMPT,
                "expect": Expect(reach=Reach.AT_MOST_ONCE),
                "change": Change(Mechanism.TECHNIQUE, f"argument/{self.command[1:]}", odd.word),
                **how,
            },
        )
        return self.talks.sent(case, usual=usual)

    def _find(self, odds: Sequence[OddArgument], silent: Step, base: Usage) -> None:
        """Finds the argument after which somebody gets no answer any more, where everybody else does, and who says the usual does."""
        usual = OddArgument("usual", f"the argument {base}", str(base))
        tries = (self._answered_after(usual, silent, f"-usual-{nth}") for nth in range(_PATIENT))
        if not next((served for served in tries if served is not None), False):
            return
        for nth, odd in enumerate(reversed(odds)):
            if self._answered_after(odd, silent, f"-again-{nth}") is False:
                return

    def _answered_after(self, odd: OddArgument, step: Step, suffix: str) -> bool | None:
        """Whether somebody new, who is answered first, is still answered after an argument; where others are, a silence is charged to it.

        None where nobody new is answered at all, as by a target that is busy.
        """
        person = self._person()
        if not self.talks.answered(person, step):
            return None
        result, _ = self._ask(person, odd, suffix)
        served = not result.outcome.ok or self.talks.answered(person, step)
        # Where the usual does it too, it is a limit.
        silenced = not served and odd.word != "usual" and not self.talks.held(person)
        if silenced and self.talks.answered(self.talks.stranger(), step):
            result.observations.append(Silenced(everybody=False))
        self.talks.note(result)
        return served

    def _compare(self, odd: OddArgument, base: Usage) -> None:
        """Tries what was not answered again, and an ordinary argument after it."""
        control = f"argument/{self.command[1:]}-{'admin-' if self.admin else ''}{odd.word}-control"
        result, replies = self._ask(self._person(), odd, "-compared", control=control)
        self.talks.note(result)
        if not any(map(speaks, replies)):
            usual = OddArgument(odd.word, f"the argument {base}", str(base))
            self.talks.note(self._ask(self._person(), usual, "-control")[0])


def said(context: CampaignContext) -> str:
    """What the target has said that names commands."""
    return "\n".join(dict.fromkeys(call.text for call in context.target.calls() if "/" in call.text))


def _changed(base: Usage) -> Iterator[OddArgument]:
    """The usage with one place changed, the places in turn; with a place too few and one too many."""
    rows = [list(_at(base, nth)) for nth in base.places[:_PLACES]]
    found = [one for turn in zip_longest(*rows) for one in turn if one is not None]
    more = OddArgument("more", "one argument too many", f"{base} 7")
    yield from chain(found[: 2 * len(rows)], [more], found[2 * len(rows) :])


def _at(base: Usage, nth: int) -> Iterator[OddArgument]:
    number, part = base.places.index(nth) + 1, base.parts[nth]
    place = f"its {_NTH[number]} argument" if len(base.places) > 1 else "its argument"
    # Where a word stands, other words get further than numbers.
    for value in PLACED if _DIGITS.search(part) else sorted(PLACED, key=lambda one: bool(_NUMERIC.fullmatch(one.text))):
        yield OddArgument(f"{number}-{value.word}", f"{value.what} as {place}", str(base.with_part(nth, value.text)))
    if len(_DIGITS.findall(part)) > 1:  # a day, a time, an amount
        for word, digit in (("nines", "9"), ("zeros", "0")):
            text = re.sub(r"\d", digit, part)
            yield OddArgument(f"{number}-{word}", f"{text} as {place}", str(base.with_part(nth, text)))
    yield OddArgument(f"{number}-none", f"{place} left out", str(base.with_part(nth, "")))


_NTH: Final = ("", "first", "second", "third", "fourth")
