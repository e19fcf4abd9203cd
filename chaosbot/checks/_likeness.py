"""How alike two replies are, whatever numbers, markers and names stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

from chaosbot.checks._cases import SHRINKING, Breach, Join, Tally, says, stem
from chaosbot.model.check import History
from chaosbot.model.event import ApiCalled, CaseTried
from chaosbot.model.marker import MARKER
from chaosbot.model.verdict import Severity

ALIKE: Final = 0.8
NOTHING: Final = "control/nothing"
"""Cases whose name begins so show what an unknown command gets."""
_WORD: Final = re.compile(r"[^\W\d_]+|#|[^\w\s]")
_NUMBER: Final = re.compile(r"-?\d[\d.,:_-]*")


def words(call: ApiCalled) -> tuple[str, ...]:
    """The words of a reply: lower case, without markers, every number the same."""
    text = _NUMBER.sub("#", MARKER.sub(" ", call.text))
    return (call.method.lower(), *_WORD.findall(text.lower()))


def likeness(one: Iterable[str], two: Iterable[str]) -> float:
    """0 (nothing in common) to 1 (the same)."""
    return SequenceMatcher(None, list(one), list(two), autojunk=False).ratio()


def resembles(calls: Iterable[ApiCalled], others: Iterable[ApiCalled]) -> bool:
    """Whether a reply among these is like one among the others."""
    models = [words(other) for other in others if other.text]
    return any(likeness(words(call), model) >= ALIKE for call in calls if call.text for model in models)


def controlled(history: History, check: str) -> list[CaseTried]:
    """The cases that are compared with a control and belong to this check."""
    own = "own_objects_only"
    return [
        tried
        for tried in history.cases
        if tried.control and tried.stage != SHRINKING and ((tried.check == own) if check == own else tried.check != own)
    ]


def compared(history: History, tally: Tally, severity: Severity, what: str) -> Tally:
    """Judges every controlled case of a check."""
    join = Join(history)
    by_name: dict[str, list[ApiCalled]] = {}
    for tried in history.cases:
        if tried.stage != SHRINKING:
            by_name.setdefault(tried.case, []).extend(join.calls(tried))
    nothing = [call for name, calls in by_name.items() if name.startswith(NOTHING) for call in calls]
    for tried in controlled(history, tally.check):
        control = by_name.get(tried.control, [])
        telling = [call for call in control if call.text and not resembles([call], nothing)]
        if not telling:
            continue
        breach = None
        if resembles(join.calls(tried), telling):
            title = f"{what}: {tried.summary or tried.case}"
            breach = Breach(stem(tried), title, severity, tried.threat, says(tried))
        tally.look(tried, breach)
    return tally
