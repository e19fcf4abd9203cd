"""What is done several times at once counts as often as when it is done one after another.

A bot that reads a value, waits for something and writes the value back loses what others wrote meanwhile: two orders get one number,
two points count as one, a limit of three lets six through. Telegram delivers up to 100 updates at the same time (`max_connections`, 40 by
default), those of one chat among them, and two users always write when they like. Compared are the same requests one after another: how the
numbers in the answers rise, and how many are let through. It is a race: the summary says in how many tries it was lost.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._cases import Violation
from chaosbot.checks._state import StateCheck, bounded, counts, limit, moves, numbers, shape
from chaosbot.core.event import StateTried
from chaosbot.core.verdict import RootCause, Severity, Threat

_COUNTS_LESS: Final = "what is asked for several times at once counts less often than one after another"


@dataclass(frozen=True)
class NoLostUpdate(StateCheck):
    """What happens at once all counts."""

    trials: ClassVar[frozenset[str]] = frozenset(
        {"at-once", "users-at-once", "one-thing", "one-thing-once", "gathered", "credited"}
    )

    def broken(self, tried: StateTried) -> Violation | None:
        """More is let through at once, or the last number is less far than it must be."""
        if tried.trial == "credited":
            return _uncredited(tried)
        if tried.trial == "one-thing-once":
            through, marks = bounded(tried.alone) or (None, frozenset[str]())
            # Each asks once: who is refused is not let through, whatever else comes late.
            refusal = shape(tried.alone[0][-1])
            heard = [[shape(text) for text in play if refusal not in shape(text)] for play in tried.seen]
            passed = [sum(marks <= set(text.split()) for text in play) for play in heard]
        else:
            through = limit(tried.alone)
            passed = [_let_through(play, tried.alone) for play in tried.seen]
        if through is not None:
            more = [count for count in passed if count > through]
            if more:
                said = f"one after another {through} of {len(tried.alone[0])} are let through, at once {max(more)}; "
                title = "lets more through when it is asked several times at once than one after another"
                return Violation(
                    RootCause("let-through"),
                    title,
                    Severity.HIGH,
                    Threat.USER,
                    f"{said}in {len(more)} of {len(tried.seen)} tries; {tried.what}",
                )
            return None
        if tried.trial == "gathered":
            return _missing(tried)
        if tried.trial == "users-at-once" and (violation := _same_number(tried)) is not None:
            return violation
        steps = counts(tried.alone)
        # Answers to several users come in any order; what one user was told first and last frames a burst.
        order = sorted if tried.trial == "users-at-once" else list
        # Of one thing a play holds what the first and the last were told, with the others between them.
        few = len(tried.alone[0]) - 1 if tried.trial == "one-thing" else 0
        lost = [play for play in tried.seen if steps and _lost(play, steps, tried.alone[0][0], order, few)]
        if not lost:
            return None
        rises = few or len(lost[0]) - 1
        place, step = next(iter(steps.items()))
        rising = [[numbers(text)[place] * step for text in play] for play in lost]
        # What began anew between two answers others may have put back (a pardon); it is no race where that was so once.
        if 2 * len(lost) <= len(tried.seen) and any(_begins_anew(play, step) for play in rising):
            return None
        told = [number // step for number in order(rising[0])]
        said = f"one after another the number changes by {step * rises}, at once by {told[-1] - told[0]} ({told}); "
        return _counts_less(f"{said}in {len(lost)} of {len(tried.seen)} tries; {tried.what}")


def _counts_less(summary: str) -> Violation:
    return Violation(RootCause("lost"), _COUNTS_LESS, Severity.HIGH, Threat.USER, summary)


def _let_through(play: Sequence[str], alone: Sequence[Sequence[str]]) -> int:
    """How often a play holds what only who is let through is told; an answer in several messages may come in parts, and one that names its own thing (an order's number) twice."""
    first, last = (Counter(filter(None, shape(text).split("\n"))) for text in (alone[0][0], alone[0][-1]))
    marks = first.keys() - last.keys()
    if not marks:
        return sum(shape(text) == shape(alone[0][0]) for text in play)
    named = len({one[0] for one in alone}) > 1
    lines: dict[str, list[str]] = defaultdict(list)
    for line in (line for text in play for line in text.split("\n")):
        lines[shape(line)].append(line)
    return max(len(set(lines[mark]) if named else lines[mark]) // first[mark] for mark in marks)


def _same_number(tried: StateTried) -> Violation | None:
    """Two of those who did something at once were told one number, where each is told another one, one after the other."""
    shared: list[int] = []
    steps = moves(tried.alone)
    for play in tried.seen:
        if len({shape(text) for text in (*play, tried.alone[0][0])}) == 1:
            columns = list(zip(*(numbers(text) for text in play), strict=True))
            shared += [
                max(columns[place], key=columns[place].count)
                for place, step in steps.items()
                if len(set(columns[place])) < len(play) and _falls_short(columns[place], step)
            ]
    # What there is less of may have been put back by others meanwhile.
    if all(step < 0 for step in steps.values()) and 2 * len(shared) <= len(tried.seen):
        return None
    if not shared:
        return None
    return _counts_less(
        f"one after another everybody is told another number, at once several are told {shared[0]}; {tried.what}"
    )


def _falls_short(told: Sequence[int], step: int) -> bool:
    """Whether who came last was told a number that is too near for as many as came before.

    What tells how many there are by now may tell two the same, and is right in the end; a place in a table goes up and down.
    """
    # What is numbered rises by one at least, whatever others do.
    least = step if step < 0 else 1
    far = [(number - told[0]) / least for number in told]
    return max(far) <= far[-1] < len(told) - 1


def _begins_anew(told: Sequence[int], step: int) -> bool:
    """Whether a number that had risen more than once is the first one again."""
    return any(
        later <= told[0] and max(told[:nth], default=0) > told[0] + step * step for nth, later in enumerate(told)
    )


def _uncredited(tried: StateTried) -> Violation | None:
    """Of what two give somebody at once only one's arrives, mostly, although both were told so; any other change is somebody else's doing, and so may one be."""
    one, due = tried.alone[0]
    lost = [play[0] for play in tried.seen if play[0] == one]
    if 2 * len(lost) <= len(tried.seen):
        return None
    return _counts_less(
        f"by two one after another the number changes by {due}, at once by {lost[0]}, in {len(lost)} of {len(tried.seen)} tries; {tried.what}"
    )


def _missing(tried: StateTried) -> Violation | None:
    """Some of what was made at once is not there afterwards, although all of it was acknowledged.

    Of updates that overwrite each other the last one stands; where nothing is shown at all, the list shows only so much.
    """
    made = set(tried.others)
    lacking = [made - set(play) for play in tried.seen if play and made - set(play)]
    if not lacking or any(made - set(play) for play in tried.alone):
        return None
    return Violation(
        RootCause("missing"),
        "of several things that are made at once some are gone afterwards",
        Severity.HIGH,
        Threat.USER,
        f"{len(lacking[0])} of {len(made)} are not shown, in {len(lacking)} of {len(tried.seen)} tries; one after another all are; {tried.what}",
    )


def _lost(
    play: tuple[str, ...], steps: dict[int, int], usual: str, order: Callable[[Iterable[int]], list[int]], rises: int
) -> bool:
    """Whether the last answer's numbers are less far than they must be, although every answer was the usual one."""
    if len({shape(text) for text in play} | {shape(usual)}) > 1:
        return False
    for place, step in steps.items():
        told = order(numbers(text)[place] * step for text in play)
        if told[-1] - told[0] < step * step * (rises or len(play) - 1):
            return True
    return False
