"""What the checks over a target's memory share: answers without their variable parts, and what repeated answers count.

A play is the answers to one line that is said several times. What is the same in every control is the target's habit; a trial is
compared with the habit alone, never with what a reader of the words would expect.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar, Final

from chaosbot.checks._cases import NEEDS_CALLS, NOT_ASKED, Violation, Violations, sight
from chaosbot.core.check import Check, History, Steps
from chaosbot.core.event import StateTried
from chaosbot.core.marker import MARKER
from chaosbot.core.verdict import Judgement, Verdict

_NUMBER: Final = re.compile(r"\d+")
_CODE: Final = re.compile(r"(?<!\w)(?=\w*\d)(?=\w*[^\W\d])\w{6,}(?!\w)")
"""A word of letters and digits that is drawn each time (``ea11528c``); it counts nothing."""
_LEAST: Final = 3
"""So many answers in a row must count evenly before they count as counting."""
_HIGHER: Final = 30

NO_TRIAL: Final = "no answer of the target depended on what came before (stage state)"

Plays = Sequence[Sequence[str]]


def shape(text: str) -> str:
    """An answer without markers, codes and numbers."""
    return _NUMBER.sub("#", _named(text))


def _named(text: str) -> str:
    return _CODE.sub("~", MARKER.sub("~", text))


def numbers(text: str) -> list[int]:
    """The numbers in an answer, in order, without those in markers and codes; very long ones are ids."""
    return [int(found) for found in _NUMBER.findall(_named(text)) if len(found) < 13]


def views(text: str) -> dict[str, str]:
    """What an answer shows, by what it is about: each line that is the only one of its shape, and the whole without its numbers (the empty name)."""
    lines = text.split("\n")
    kinds = Counter(map(shape, lines))
    return {"": shape(text), **{shape(line): line for line in lines if line and kinds[shape(line)] == 1}}


def counts(plays: Plays) -> dict[int, int]:
    """By the place of a number in the answers, by how much it changes each time, the same in every play."""
    if any(len(play) < _LEAST or len({shape(text) for text in play}) > 1 for play in plays):
        return {}
    found: list[dict[int, int]] = []
    for play in plays:
        rows = [numbers(text) for text in play]
        steps: dict[int, int] = {}
        for place in range(min(map(len, rows))):
            changes = {later[place] - earlier[place] for earlier, later in pairwise(rows)}
            if len(changes) == 1 and changes != {0}:
                steps[place] = changes.pop()
        found.append(steps)
    return {place: step for place, step in found[0].items() if all(one.get(place) == step for one in found)}


def moves(plays: Plays) -> dict[int, int]:
    """The places of numbers in the answers that number what is done, or tell what is left, whoever does it, by the least that each differs from the one before.

    Others may do the same meanwhile, so that some are left out; what tells the time changes by more, or stays the same for a while.
    """
    found: list[dict[int, int]] = []
    for play in plays:
        if len(play) < _LEAST or len({shape(text) for text in play}) > 1:
            return {}
        columns = enumerate(zip(*(numbers(text) for text in play), strict=True))
        steps = {place: [later - earlier for earlier, later in pairwise(column)] for place, column in columns}
        found.append(
            {
                place: min(row, key=abs)
                for place, row in steps.items()
                if min(row) * max(row) > 0 and max(map(abs, row)) <= _HIGHER
            }
        )
    least = {place: [one[place] for one in found] for place in set.intersection(*map(set, found))} if found else {}
    return {place: min(row, key=abs) for place, row in least.items() if min(row) * max(row) > 0}


def rises(plays: Plays) -> frozenset[int]:
    """The places of numbers that number what is done: each is a little higher than the one before (`moves`)."""
    return frozenset(place for place, step in moves(plays).items() if step > 0)


def limit(plays: Plays) -> int | None:
    """How often something is let through before it is refused for good, the same in every play; None where that is not its habit."""
    patterns = set()
    for play in plays:
        told = [shape(text) for text in play]
        through = next((number for number, text in enumerate(told) if text != told[0]), len(told))
        if not told or not told[0] or through == len(told) or len(set(told[through:])) > 1:
            return None
        patterns.add((through, told[0], told[-1]))
    return patterns.pop()[0] if len(patterns) == 1 else None


def bounded(plays: Plays) -> tuple[int, frozenset[str]] | None:
    """How many people get a thing that there are only so many of, and the words that only they are told.

    Args:
        plays: What people are told who ask for one thing, one after another; each play is about another thing, so that its words may differ.

    Returns:
        None where the first ones are not told one thing and all who come later another, the same number of them in every play.
    """
    through: set[int] = set()
    given: list[set[str]] = []
    refused: set[str] = set()
    for play in plays:
        told = [shape(text) for text in play]
        first = next((number for number, text in enumerate(told) if text != told[0]), len(told))
        if first == len(told) or not all(told) or len(set(told[first:])) > 1:
            return None
        through.add(first)
        given.append(set(told[0].split()))
        refused.update(told[-1].split())
    marks = frozenset(set.intersection(*given) - refused) if given else frozenset[str]()
    return (through.pop(), marks) if len(through) == 1 and marks else None


class StateCheck(Check):
    """A check over the trials of the state stage; those that broke the rule for one reason are one finding."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False
    trials: ClassVar[frozenset[str]]

    @abstractmethod
    def broken(self, tried: StateTried) -> Violation | None:
        """How a trial broke the rule; None when it kept it."""

    def judge(self, history: History) -> Judgement:
        """Asks `broken` for every trial of its kinds."""
        seen = sight(history)
        if seen.checks and self.name not in seen.checks:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NOT_ASKED)
        if not seen.sees_calls:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        tried = [event for event in history.all(StateTried) if event.trial in self.trials]
        if not tried:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NO_TRIAL)
        violations = Violations(self.name, judged=len(tried))
        for event in tried:
            one = self.broken(event)
            if one is not None:
                violations.add(replace(one, stateful=True), event.case, "state")
        return violations.judgement()

    def reproducer(self, history: History, case: str) -> Steps:  # noqa: ARG002 - the checks share one signature
        """None: who else talks meanwhile is not part of a case; the stage shows it again."""
        return ()
