"""What several users ask for at once that there is one of: what somebody has made, what all are shown, what a group has begun.

Rules:

- Who asks for a thing that somebody has made means it by its name, by a button of its card, or by a code that its maker hands on.
- Each trial has a control: the same users, one after another. Of what nobody gets, or everybody does, nothing follows.
- Of what is chosen step by step (a day, then an hour) there is only so much at each place: each try chooses otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

from chaosbot.checks._state import bounded, counts, shape
from chaosbot.fuzz.exploring import ENTRY, at_hand, chosen, complete, kind_of
from chaosbot.fuzz.making import worded
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.usages import NUMBER
from chaosbot.fuzz.voices import NOBODYS, Answer, Dialogue, Speaker, Voices, names_in, said_alike

_PEOPLE: Final = 5
"""So many users ask for one thing."""
_SOME: Final = 3
"""So many are asked first: of a thing that there is one of, or two, the last is told something else."""
_LOOK: Final = 4
"""So often it is looked whether one of several things (an hour) can be had."""
_CONTENDED: Final = 6
"""So many things are contended for side by side: what was certainly made comes first, and is not to wait for the rest."""
_FEW: Final = ("1", "2", "3")
"""So many of a thing that has several are fewer than who asks for one."""
_WAITING: Final = 0.3
"""The part of the time that is waited until it is known how things are made."""
_MOST_MAKERS: Final = 3
_ASKED: Final = 6
"""So many commands are said about one thing."""
_MOST_TELLING: Final = 8
_MOST_ACTIONS: Final = 40
_MOST_PRESSED: Final = 6


class Contention:
    """The trials about things of which there is one.

    Args:
        voices: Who speaks.
    """

    def __init__(self, voices: Voices) -> None:
        self.voices = voices
        self._taken: set[str] = set()
        self._as_far: set[Step] = set()
        """What others can only do who have done what its maker has."""
        self._made_of: dict[Dialogue, Answer] = {}
        """What is answered at the end of making something, by how."""
        self._turns = count(1)

    def run(self) -> None:
        """Several users ask for one thing at once: what it counts counts each of them, and no more get it than there is."""
        # What is said again by the answer may be what began it, so that all that was learned is looked at.
        actions = [
            one
            for one in sorted(self.voices.alone, key=_scarce)
            if not one.admin and (any(map(chosen, one.lines)) or one.group or "{n}" in one.lines[-1].text)
        ]
        with ThreadPoolExecutor(_CONTENDED, "fuzz-state-things") as hands:
            # What was chosen step by step needs nothing more to be known.
            scarce = [one for one in actions if _scarce(one)[0]][: _CONTENDED // 2]
            begun = [hands.submit(self._contended, one) for one in scarce]
            self.voices.context.recipes_known.wait(self.voices.clock.left() * _WAITING)
            about = self._references()
            # Of what somebody makes several of (seven seats) there is enough for all who ask. What they have certainly made comes first.
            known = {one.lines[-1] for one in about}
            named = [one for one in actions if "{n}" in one.lines[-1].text and one.lines[-1] not in known]
            meant = {**about, **{one: self.voices.alone[one] for one in named}}
            alike = {
                (one.lines[-1], one.group, said_alike(one, answer)): one for one, answer in reversed(meant.items())
            }
            few = self.voices.side_by_side(self._fewest, reversed(alike.values()))
            others = [one for one in actions if one.lines[-1] not in known]
            rest = dict.fromkeys(one for one in (*few, *about, *others) if one not in scarce)
            begun += [hands.submit(self._looked, one) for one in list(rest)[: _MOST_ACTIONS - len(scarce)]]
            for one in begun:
                one.result()

    def _fewest(self, action: Dialogue) -> Dialogue:
        """The same, where the smallest number that is taken is said in place of how many there are."""
        made = replace(action, lines=action.lines[:-1])
        usual = self.voices.alone.get(made)
        if usual is None or not any(line.ours and line.text.isdecimal() for line in made.lines):
            return action
        for few in _FEW:
            fewer = [replace(line, text=few) if line.ours and line.text.isdecimal() else line for line in made.lines]
            one = replace(made, lines=tuple(fewer))
            if one not in self._made_of:
                self._made_of[one] = self.voices.one(one)
            if said_alike(one, self._made_of[one]) == said_alike(made, usual):
                return one.then(action.lines[-1])
        return action

    def _references(self) -> dict[Dialogue, Answer]:
        """What others do to a thing that somebody has made, by its name, and by the buttons that they are shown then: what is answered unlike any number."""
        # The shortest ones make a thing; longer ones may only show it.
        recipes = sorted(self.voices.context.recipes, key=lambda recipe: (not worded(recipe.steps), len(recipe.steps)))
        makers = [Dialogue(recipe.steps) for recipe in recipes if not recipe.deeds]
        if not makers:
            tells = [one for one in self.voices.deeds() if _names(self.voices.alone[one])][:_MOST_TELLING]
            again = dict(zip(tells, self.voices.side_by_side(self.voices.one, tells), strict=True))
            makers = [one for one in tells if _names(again[one]) != _names(self.voices.alone[one])]
        found: dict[Dialogue, Answer] = {}
        for told in self.voices.side_by_side(self._about_all, makers[:_MOST_MAKERS]):
            found.update(told)
        # What is handed on (a code) may be taken once only.
        told_of = [
            one
            for one in list(self.voices.alone)
            if not one.admin and not one.group and complete(self.voices.alone[one].whole)
        ]
        for one in sorted(told_of, key=lambda one: len(one.lines))[:_MOST_MAKERS]:
            found[one.then(ENTRY)] = self.voices.alone[one]
        return found

    def _about_all(self, maker: Dialogue) -> dict[Dialogue, Answer]:
        """What others are answered about what somebody has made, a few commands for each thing: most of them say nothing of it."""
        found: dict[Dialogue, Answer] = {}
        with ThreadPoolExecutor(_ASKED, "fuzz-state-about") as hands:
            for first in range(0, len(self.voices.takers), _ASKED):
                names = self.voices.takers[first : first + _ASKED]
                told = list(hands.map(partial(self._about, maker, self._owner(maker)), names))
                if any(told):
                    # It may have gone to the one that told something.
                    again = [name for name, one in zip(names, told, strict=True) if not one]
                    told += hands.map(lambda name: self._about(maker, self._owner(maker), name), again)
                for one in told:
                    found.update(one)
        return found

    def _owner(self, maker: Dialogue) -> Speaker:
        """Somebody who has just made a thing."""
        return self.voices.ready(maker.then(Step("")))

    def _about(self, maker: Dialogue, owner: Speaker, name: str) -> dict[Dialogue, Answer]:
        """What another one is answered who says a command with the name of what somebody has made, where that tells something."""
        action = maker.then(Step(f"/{name} {{n}}"))
        if self.voices.clock.over() or not owner.number:
            return {}
        other = self.voices.new()
        plain = [Dialogue((Step(f"/{name}"),)), Dialogue((Step(f"/{name} {NUMBER}", ours=True),))]
        known = {shape(self.voices.alone[one].text) for one in plain if one in self.voices.alone}
        self._let_in(owner, other)
        answer = self.voices.ask(other, action.lines[-1])
        if shape(answer.text) in known and self._needs_more(maker, plain[0]):
            # Who has done nothing so far may have to do so first.
            other = self.voices.ready(action)
            known.add(shape(self.voices.ask(other, plain[0].lines[-1]).text))
            self._let_in(owner, other)
            answer = self.voices.ask(other, action.lines[-1])
            self._as_far.add(action.lines[-1])
        if not answer.text or shape(answer.text) in known:
            return {}
        # What begins alike whatever is named (a list, which may have changed meanwhile) says nothing of it.
        nobodys = self.voices.ask(other, action.lines[-1].of(NOBODYS))
        if _head(nobodys) == _head(answer):
            return {}
        kinds = {kind_of(data): data for data in reversed(answer.buttons)}
        pressed = [action.then(Step(data, pressed=True)) for data in kinds.values()]
        return {action: answer, **dict.fromkeys(pressed[:_MOST_PRESSED], answer)}

    def _needs_more(self, maker: Dialogue, plain: Dialogue) -> bool:
        """Whether a command was answered otherwise to who had begun what its maker has."""
        usual = self.voices.alone.get(plain, Answer())
        return any(
            one.lines[-1] == plain.lines[-1] and len(one.lines) > 1 and shape(answer.text) != shape(usual.text)
            for one, answer in list(self.voices.alone.items())
            if one.lines[:-1] == maker.lines[: len(one.lines) - 1]
        )

    def _let_in(self, owner: Speaker, other: Speaker) -> None:
        """Another one means the owner's thing, and says first what lets others in, where the owner was told that."""
        other.number, other.entry, other.settled = owner.number, owner.entry, True
        if owner.entry:
            self.voices.ask(other, ENTRY)

    def _looked(self, action: Dialogue) -> None:
        """Has few people ask for it; where each is told the same, all of them ask for it when everything was looked at."""
        told = self._one_by_one(self._around(action, _SOME)[0]) if not self.voices.clock.over() else []
        if len(set(told)) > 1:
            self._contended(action)
        elif any(told):
            with self.voices.lock:
                self.voices.again.append(partial(self._contended, action))

    def _contended(self, action: Dialogue) -> None:
        if self.voices.clock.over():
            return
        last = action.lines[-1]
        named = "{n}" in last.text
        for left in reversed(range(_LOOK if chosen(last) else 1 + named)):
            around, _ = self._around(action)
            who, press = around[0]
            # Where there are others of a kind to choose from, one of them may be had.
            several = sum(kind_of(data) == kind_of(press.text) for data in who.buttons) > 1
            shown_to_all = press.pressed and all(one.group is None and press.text in one.buttons for one, _ in around)
            told = self._one_by_one(around)
            if len(told) < _PEOPLE or len(set(map(shape, told))) > 2:
                return
            if len(set(told)) > 1:
                break  # one that nobody gets (an hour that has passed) shows nothing
            # Others may have taken what somebody has made before it was asked for.
            if not (several or named) or not left:
                return
        # In a group nothing tells for sure which of those who ask at once an answer is for.
        limited = bounded([told]) is not None and around[0][0].group is None
        if not (limited or counts([told])):
            return

        def people() -> tuple[list[tuple[Speaker, Step]], tuple[str, ...]]:
            # What one choice counts another one does not.
            return self._pressing(action, press) if shown_to_all and not limited else self._around(action)

        def attempt() -> list[str]:
            around, near = people()
            # There may be nothing left that all are shown in private; a group is no place for it (see above).
            in_group = any(who.group is not None for who, _ in around)
            if self.voices.clock.over() or len(around) < 2 or (limited and in_group):
                return []
            heard = self.voices.contend(around, limited=limited, near=near)
            return [_unnamed(text, who) if limited else text for who, text in heard]

        trial, what = "one-thing-once" if limited else "one-thing", f"{action} by {_PEOPLE} users"
        # Others' doings may have been counted as well, as regularly; they are over when it is done alone once more.
        self.voices.tried(trial, what, [told], lambda: self._one_by_one(people()[0]), attempt)

    def _one_by_one(self, around: Sequence[tuple[Speaker, Step]]) -> list[str]:
        return [_unnamed(self.voices.ask(who, step).text, who) for who, step in around if not self.voices.clock.over()]

    def _pressing(self, action: Dialogue, press: Step) -> tuple[list[tuple[Speaker, Step]], tuple[str, ...]]:
        """Users who are all shown one button, and press it."""
        with ThreadPoolExecutor(_PEOPLE, "fuzz-state-people") as hands:
            people = list(hands.map(self.voices.ready, [action] * _PEOPLE))
        return [(who, press) for who in people if press.text in who.buttons], ()

    def _around(self, action: Dialogue, people: int = _PEOPLE) -> tuple[list[tuple[Speaker, Step]], tuple[str, ...]]:
        """Users who may all ask for one thing, and what each then says; and whose chats may be told of it besides.

        The thing is what one of them has begun, in their group or under the number that was told, or else a button that all are shown.
        """
        # What comes before may be its maker's doing (a note, then its code).
        named = [nth for nth, line in enumerate(action.lines) if "{n}" in line.text or line == ENTRY]
        nth = named[-1] if named else None
        if nth is not None and not action.group:
            # They mean somebody else's thing, whose maker may be told of it, and may do with it what others must not.
            made, as_far = replace(action, lines=action.lines[: nth + 1]), action.lines[nth] in self._as_far
            with ThreadPoolExecutor(1 + _PEOPLE, "fuzz-state-people") as hands:
                owner, *others = hands.map(self.voices.ready, [made] * (1 + people * as_far))
            others = others or [self.voices.new() for _ in range(people)]
            for who in others:
                who.entry = owner.entry
                if action.lines[nth] != ENTRY:
                    self._let_in(owner, who)
                for line in action.lines[nth:-1]:
                    self.voices.ask(who, line)
            return [(who, action.lines[-1]) for who in others], (str(owner.user),)
        action = self._chosen_otherwise(action)
        last, first = action.lines[-1], self.voices.ready(action)
        if first.group is not None:
            others = [replace(first, user=self.voices.new().user) for _ in range(people - 1)]
            return [(who, at_hand(last, first.buttons, first.told, first.choice)) for who in (first, *others)], ()
        with ThreadPoolExecutor(_PEOPLE, "fuzz-state-people") as hands:
            around = [first, *hands.map(partial(self.voices.ready, choice=first.choice), [action] * (people - 1))]
        meant = at_hand(last, first.buttons, first.told, first.choice)
        if last.pressed and chosen(last) and any(map(_made, action.lines[:-1])) and _own(meant, first, around[1:]):
            # What one has made others are shown by it, in whatever way.
            return [(who, meant) for who in around], ()
        shown = [data for data in first.buttons if all(data in who.buttons for who in around)]
        with self.voices.lock:
            alike = [data for data in shown if kind_of(data) == kind_of(last.text)]
            fresh = [data for data in alike if data not in self._taken] or alike
            self._taken.update(fresh[-1:])
        # The later ones are less often taken, or past.
        if last.pressed and chosen(last) and fresh:
            return [(who, replace(last, text=fresh[-1])) for who in around], ()
        if any(map(chosen, action.lines[:-1])):
            rows = [[data for data in who.buttons if kind_of(data) == kind_of(last.text)] for who in around]
            if last.pressed and chosen(last) and len(set(map(len, rows))) == 1 and len(rows[0]) > 1:
                # The data may name who presses as well: what stands in the same place is the same (an hour).
                place = -1 - next(self._turns) % len(rows[0])
                return [(who, replace(last, text=row[place])) for who, row in zip(around, rows, strict=True)], ()
            return [(who, last) for who in around], ()
        # What each is shown is their own; a group is shown what one of its members has begun.
        return self._around(replace(action, group=True), people)

    def _chosen_otherwise(self, action: Dialogue) -> Dialogue:
        """The same with other choices on the way to the last one (another day): there is only so much to be had at each place."""
        if not (action.lines[-1].pressed and any(line.pressed and chosen(line) for line in action.lines[:-1])):
            return action
        turn = next(self._turns)
        who, lines = self.voices.new(action), list[Step]()
        for line in action.lines[:-1]:
            lines.append(at_hand(line, who.buttons, who.told, turn, apart=line.pressed and chosen(line)))
            self.voices.ask(who, lines[-1])
        return replace(action, lines=(*lines, action.lines[-1]))


def _own(press: Step, maker: Speaker, others: Sequence[Speaker]) -> bool:
    """Whether a button is shown to one only."""
    return press.text in maker.buttons and not any(press.text in who.buttons for who in others)


def _head(answer: Answer) -> str:
    return shape(answer.text.partition("\n")[0])


def _made(line: Step) -> bool:
    """Whether somebody says something of their own, of which a thing may be made."""
    return line.ours and not line.shown


def _names(answer: Answer) -> list[str]:
    return names_in(answer.text, answer.buttons)


def _unnamed(text: str, who: Speaker) -> str:
    """What was told about a thing that has a drawn name, the same for every such thing."""
    name = who.number
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "{n}", text) if name and not name.isdigit() else text


def _scarce(dialogue: Dialogue) -> tuple[int, int, bool]:
    """How to sort dialogues so that what was chosen step by step comes first, at its end: of such a thing there is one (a day, then an hour)."""
    choices = sum(map(chosen, dialogue.lines))
    if choices > 1:
        return -choices, -len(dialogue.lines), not dialogue.group
    return 0, len(dialogue.lines), not dialogue.group
