"""What users do to each other: give somebody points, bid for somebody's thing, write below it.

Rules:

- Whom a deed means is told by an id in its argument, of a person or of a thing; the ways that were explored say which deeds there are.
- A number of somebody's is one that they are shown, that stays what it is while nobody does anything, and that a deed changes by the same
  each time. It is read in a line of its own kind: what is told besides (that somebody has given something) does not disturb.
- Each trial has a control: the same, one after another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import words
from chaosbot.checks._state import numbers, shape, views
from chaosbot.core.marker import plain_word
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.talks import MEANT, Step
from chaosbot.fuzz.things import WORD, are_gone
from chaosbot.fuzz.usages import NUMBER
from chaosbot.fuzz.voices import Dialogue, Speaker, Voices, own

_PERSON: Final = "{p}"
_FIRST_PERSON: Final = MEANT + 100_000_000
_INTRODUCED: Final = 2
_MOST_DEEDS: Final = 4
_MOST_READERS: Final = 6
_MOST_MAKERS: Final = 3
_MOST_COMMANDS: Final = 12
_MOST_SHARED: Final = 3
_BESIDE: Final = 3
"""So many add to one thing at once."""
_ALL: Final = tuple(map(str, range(_BESIDE)))
_HANDS: Final = 6
_MINUS: Final = f"-{NUMBER}"
_BETWEEN_DIGITS: Final = re.compile(r"(?<=\d)[.,' \u00a0\u202f](?=\d)")

Place = tuple[str, str, int]
"""A number that somebody is shown: the reader, the line's shape, and which of the numbers in it."""


@dataclass(frozen=True)
class _Moved:
    """By how much somebody's numbers changed, and what those were told who did it."""

    changes: dict[Place, int]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class _Shared:
    """How a thing is made, what others add to it (with ``{n}`` for its number and ``{w}`` for what is added), and what shows it."""

    maker: Dialogue
    adds: str
    reader: str
    counted: bool
    """Whether what is added is a number."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.maker}, then {self.adds.replace(WORD, '…')} by others, then {self.reader}"


class Between:
    """The trials.

    Args:
        voices: Who speaks.
    """

    def __init__(self, voices: Voices) -> None:
        self.voices = voices
        self.context = voices.context
        self._dice = voices.context.dice.at("between", voices.context.spec.endpoint.started)
        self._people = 0
        self._tokens = 0
        self._numbered: dict[Dialogue, int] = {}
        """What makes things that have a number, with its place among the numbers in the answer."""

    def run(self) -> None:
        """What is given to people, and what is added to their things."""
        readers = [step for step in map(self._bare, self.voices.commands) if self._told_numbers(step)][:_MOST_READERS]
        deeds = self._deeds()
        with ThreadPoolExecutor(_HANDS, "fuzz-state-between") as hands:
            added = hands.submit(lambda: [*hands.map(self._added, self._shared(hands))])
            list(hands.map(lambda deed: self._given(deed, readers), deeds))
            added.result()

    def told_once(self) -> None:
        """Whom something is done to is told of it once, where the platform delivers it again."""
        with ThreadPoolExecutor(_HANDS, "fuzz-state-between") as hands:
            list(hands.map(self._told_once, self._deeds()))

    def _bare(self, name: str) -> Step:
        return Step(f"/{name}")

    def _told_numbers(self, step: Step) -> bool:
        usual = self.voices.alone.get(Dialogue((step,)))
        return usual is not None and bool(numbers(usual.text))

    # ── what is given to somebody ────────────────────────────────────────────────────────────────────────────────────

    def _deeds(self) -> list[Dialogue]:
        """What people do to somebody who is named by their id, one for each command: what is answered otherwise than the bare command."""
        peer, found = str(self.context.peer), dict[str, Dialogue]()
        bare = {way.steps: words(way.replies) for way in self.context.ways if not way.steps[-1].pressed}
        for way in self.context.ways:
            last = way.steps[-1]
            if last.pressed or peer not in last.text.split():
                continue
            command = last.text.partition(" ")[0]
            if words(way.replies) != bare.get((*way.steps[:-1], Step(command)), set()):
                text = last.text.replace(peer, _PERSON)
                found.setdefault(command, Dialogue((*way.steps[:-1], replace(last, text=text))))
        return list(found.values())[:_MOST_DEEDS]

    def _told_once(self, deed: Dialogue) -> None:
        what = f"{str(deed).replace(_PERSON, 'somebody')}, of which that one is told"
        self.voices.twice(what, partial(self._notices, deed))

    def _notices(self, deed: Dialogue, *, times: int) -> tuple[str]:
        """How often somebody new is told the same, but for its numbers, to whom it is done by a line that is delivered so often."""
        person, giver = self._somebody(), self.voices.ready(deed)
        known, watch = len(self.context.target.calls()), self.context.target.watch
        self.voices.delivered(giver, self._meant(deed.lines[-1], person, NUMBER), times)
        told, until = 0, monotonic() + watch.patience_s
        while monotonic() < until and not self.voices.clock.over():
            calls = own(list(self.context.target.calls())[known:], person.user)
            most = max(Counter(shape(call.text) for call in calls if call.text).values(), default=0)
            told, until = most, monotonic() + watch.gap_s if most > told else until
            sleep(POLL_S)
        return (str(told),)

    def _given(self, deed: Dialogue, readers: Sequence[Step]) -> None:
        once = self._moved(deed, readers, (NUMBER,))
        twice = self._moved(deed, readers, (NUMBER, NUMBER)) if once is not None and once.changes else None
        if once is None or twice is None:
            return
        # One thing that shows it is enough.
        place = next((one for one, by in once.changes.items() if twice.changes.get(one) == 2 * by), None)
        if place is None:
            return
        readers = [reader for reader in readers if str(reader) == place[0]]
        by, what = once.changes[place], f"{str(deed).replace(_PERSON, 'somebody')}, who then asks {place[0]}"
        if NUMBER in deed.lines[-1].text.split():
            less = [self._moved(deed, readers, (_MINUS,)) for _ in range(2)]
            taken = [(str(one.changes.get(place, 0)),) for one in less if one is not None]
            if len(taken) == len(less):
                self.voices.tell("taken", what.replace(f" {NUMBER}", f" {_MINUS}"), [(str(by),)], taken)
        redelivered = [self._moved(deed, readers, (NUMBER,), deliveries=2) for _ in range(2)]
        counted = [(str(one.changes.get(place, 0)),) for one in redelivered if one is not None]
        if by > 0 and len(counted) == len(redelivered):
            self.voices.tell("again", what, [(str(by),)], counted)

        def attempt() -> tuple[str, ...]:
            one = self._moved(deed, readers, (NUMBER, NUMBER), at_once=True)
            alike = one is not None and Counter(one.answers) == Counter(twice.answers)
            return (str(one.changes.get(place, 0)),) if one is not None and alike else ()

        alone = (str(by), str(2 * by))
        self.voices.tried("credited", what, [alone], lambda: alone, attempt)

    def _moved(
        self,
        deed: Dialogue,
        readers: Sequence[Step],
        amounts: Sequence[str],
        *,
        at_once: bool = False,
        deliveries: int = 1,
    ) -> _Moved | None:
        """Some do it to somebody new, each with an amount; None where all that one's numbers change by themselves, or the time is up.

        Args:
            deed: What is done.
            readers: What shows it to that one.
            amounts: The amounts.
            at_once: Whether they do it at once.
            deliveries: How often each delivery comes, where they do it one after another.
        """
        person = self._somebody()
        first, again = (self._read(person, readers) for _ in range(2))
        before = {view: told for view, told in first.items() if again.get(view) == told}
        givers = [self.voices.ready(deed) for _ in amounts]
        if self.voices.clock.over() or not before:
            return None
        lines = [
            (giver, self._meant(deed.lines[-1], person, amount)) for giver, amount in zip(givers, amounts, strict=True)
        ]
        if at_once:
            told = ["\n".join(texts) for texts in self.voices.burst(lines, near=(str(person.user),))]
        else:
            answers = (self.voices.delivered(giver, line, deliveries) for giver, line in lines)
            told = ["\n".join(one.text for one in each) for each in answers]
        after = self._read(person, readers)
        changes = {
            (*view, place): later - earlier
            for view in before.keys() & after.keys()
            for place, (earlier, later) in enumerate(zip(before[view], after[view], strict=True))
            if later != earlier
        }
        return _Moved(changes, tuple(map(shape, told)))

    def _meant(self, line: Step, person: Speaker, amount: str) -> Step:
        parts = [amount if part == NUMBER else part for part in line.text.split()]
        return replace(line, text=" ".join(parts).replace(_PERSON, str(person.user)))

    def _somebody(self) -> Speaker:
        """Somebody new, whom the target has heard of."""
        with self.voices.lock:
            self._people += 1
            number = self._people
        first, apart = _FIRST_PERSON + self._dice.integer(0, 10**7), self.context.apart
        person = Speaker(first - first % apart + number * apart)
        for name in dict.fromkeys(("start", *self.voices.commands[:_INTRODUCED])):
            self.voices.ask(person, self._bare(name))
        return person

    def _read(self, person: Speaker, readers: Sequence[Step]) -> dict[tuple[str, str], list[int]]:
        """The numbers of each line that is the only one of its kind, by reader and kind."""
        return {
            (str(reader), kind): numbers(line)
            for reader in readers
            for kind, line in views(self.voices.ask(person, reader).text).items()
            if kind and numbers(line)
        }

    # ── what is added to somebody's thing ────────────────────────────────────────────────────────────────────────────

    def _shared(self, hands: ThreadPoolExecutor) -> Iterator[_Shared]:
        """Finds what is added to things and shown with them, one for each command that adds."""
        makers = [one for one in list(self.voices.alone) if self._makes(one)]
        again = hands.map(self.voices.one, makers)
        for maker, answer in zip(makers, again, strict=True):
            pairs = zip(numbers(answer.text), numbers(self.voices.alone[maker].text), strict=False)
            place = next((nth for nth, (one, other) in enumerate(pairs) if one != other), None)
            if place is not None:
                self._numbered[maker] = place
        numbered = list(self._numbered)
        names = self.voices.takers[:_MOST_COMMANDS]
        adds = [f"/{name} {{n}} {WORD}" for name in names]
        tried = list(product(numbered[:_MOST_MAKERS], adds))
        found: dict[str, _Shared] = {}
        for (_, text), readers in zip(
            tried, hands.map(lambda one: self._shows(one[0], one[1], names), tried), strict=True
        ):
            for shared in readers:
                found.setdefault(text, shared)
        yield from list(found.values())[:_MOST_SHARED]

    def _makes(self, one: Dialogue) -> bool:
        """Whether somebody may have made something that has a number."""
        last = one.lines[-1]
        said = last.pressed or last.ours or " " in last.text
        return not one.admin and not one.group and said and bool(numbers(self.voices.alone[one].text))

    def _shows(self, maker: Dialogue, adds: str, names: Sequence[str]) -> list[_Shared]:
        """What shows the maker of a thing what another one has added to it."""
        owner = self._owner(maker)
        command = adds.partition(" ")[0]
        bare = self.voices.alone.get(Dialogue((Step(command),)))
        if not owner.number or self.voices.clock.over():
            return []
        for counted in (False, True):
            (token,) = self._tokens_for(1, counted=counted)
            answer = self.voices.ask(self.voices.new(), self._filled(adds, owner, token))
            if answer.text and (bare is None or shape(answer.text) != shape(bare.text)):
                readers = [f"/{name} {{n}}" for name in names if f"/{name}" != command]
                if found := [one for one in readers if _holds(self._shown_by(owner, one), token)]:
                    return [_Shared(maker, adds, found[0], counted)]
        return []

    def _added(self, shared: _Shared) -> None:
        """Several add to one thing at once: afterwards all of it is there."""
        self.voices.gathered(shared, partial(self._adding, shared), _ALL)

    def _adding(self, shared: _Shared, whole: list[str], *, at_once: bool) -> tuple[str, ...]:
        """Which of what several add is shown with the thing afterwards; nothing where not each was acknowledged alike, or others may have displaced it.

        Args:
            shared: What is added to what.
            whole: What was shown when all was there, one after another.
            at_once: Whether it is added at once.
        """
        owner = self._owner(shared.maker)
        if not owner.number or self.voices.clock.over():
            return ()
        tokens = self._tokens_for(_BESIDE, counted=shared.counted)
        lines = [(self.voices.new(), self._filled(shared.adds, owner, token)) for token in tokens]
        if at_once:
            told = ["\n".join(texts) for texts in self.voices.burst(lines, near=(str(owner.user),))]
        else:
            told = [self.voices.ask(who, line).text for who, line in lines]
        if not all(told) or len({_without(text, tokens) for text in told}) > 1:
            return ()
        there = self._shown_by(owner, shared.reader)
        found = tuple(name for name, token in zip(_ALL, tokens, strict=True) if _holds(there, token))
        if not at_once:
            whole.append(there)
        return found if found == _ALL or are_gone(there, whole) else ()

    def _owner(self, maker: Dialogue) -> Speaker:
        """Somebody who has just made a thing and was told its number."""
        who = self.voices.ready(maker)
        told = numbers(self.voices.act(who, maker).text)
        who.number = str(told[self._numbered[maker]]) if self._numbered[maker] < len(told) else ""
        return who

    def _filled(self, text: str, owner: Speaker, token: str) -> Step:
        return Step(text.replace(WORD, token).replace("{n}", owner.number))

    def _shown_by(self, owner: Speaker, reader: str) -> str:
        return self.voices.ask(owner, Step(reader.replace("{n}", owner.number))).whole.casefold()

    def _tokens_for(self, count: int, *, counted: bool) -> list[str]:
        """Words, or numbers, that stand nowhere else."""
        with self.voices.lock:
            first, self._tokens = self._tokens, self._tokens + count
        places = range(first, first + count)
        return [str(3001 + 7 * nth) if counted else plain_word(self._dice.at("words", nth)) for nth in places]


def _holds(shown: str, token: str) -> bool:
    return token in shown or token in _BETWEEN_DIGITS.sub("", shown)


def _without(text: str, tokens: Sequence[str]) -> str:
    return shape(re.sub("|".join(tokens), "…", _BETWEEN_DIGITS.sub("", text), flags=re.IGNORECASE))
