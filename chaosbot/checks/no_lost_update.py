"""What is done several times at once counts as often as when it is done one after another.

A bot that reads a value, waits for something and writes the value back loses what others wrote meanwhile: two orders get one number,
two points count as one, a limit of three lets six through. Telegram delivers up to 100 updates at the same time (`max_connections`, 40 by
default), those of one chat among them, and two users always write when they like. Compared are the same requests one after another: how the
numbers in the answers rise, and how many are let through. It is a race: the summary says in how many tries it was lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._state import StateCheck, counts, limit, numbers, shape
from chaosbot.core.event import StateTried
from chaosbot.core.verdict import RootCause, Severity, Threat


@dataclass(frozen=True)
class NoLostUpdate(StateCheck):
    """What happens at once all counts."""

    trials: ClassVar[frozenset[str]] = frozenset({"at-once", "users-at-once"})

    def broken(self, tried: StateTried) -> Violation | None:
        """More is let through at once, or the last number is less far than it must be."""
        through = limit(tried.alone)
        if through is not None:
            passed = [sum(shape(text) == shape(tried.alone[0][0]) for text in play) for play in tried.seen]
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
        steps = counts(tried.alone)
        lost = [play for play in tried.seen if steps and _lost(play, steps, tried.alone[0][0])]
        if not lost:
            return None
        rises = len(lost[0]) - 1
        place = next(iter(steps))
        told = [numbers(text)[place] for text in lost[0]]
        said = f"one after another the number changes by {steps[place] * rises}, at once by {told[-1] - told[0]} ({told}); "
        title = "what is asked for several times at once counts less often than one after another"
        return Violation(
            RootCause("lost"),
            title,
            Severity.HIGH,
            Threat.USER,
            f"{said}in {len(lost)} of {len(tried.seen)} tries; {tried.what}",
        )


def _lost(play: tuple[str, ...], steps: dict[int, int], usual: str) -> bool:
    """Whether the last answer's numbers are less far than they must be, although every answer was the usual one."""
    if len({shape(text) for text in play} | {shape(usual)}) > 1:
        return False
    first, last = numbers(play[0]), numbers(play[-1])
    return any((last[place] - first[place]) * step < step * step * (len(play) - 1) for place, step in steps.items())
