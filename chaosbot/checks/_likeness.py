"""What makes a privileged reply recognisable, and who got one: the difference between a control and its background."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from chaosbot.checks._cases import SHRINKING, Breach, Join, Tally, says, stem
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.marker import MARKER
from chaosbot.core.verdict import Severity

ALIKE: Final = 0.8
NOTHING: Final = "control/nothing"
"""Cases whose name begins so show what an unknown command gets."""
PLAIN: Final = re.compile(r"-by-(?:guest|user|developer)$")
"""Cases whose name ends so send a command without any trick, from a tier that should be refused."""
_WORD: Final = re.compile(r"[^\W\d_]+")


def words(calls: Iterable[ApiCalled]) -> set[str]:
    """The words of replies, in lower case, without markers and numbers."""
    return {word for call in calls for word in _WORD.findall(MARKER.sub(" ", call.text).lower())}


def telling(control: CaseTried, replies: Iterable[ApiCalled], nothing: set[str]) -> set[str]:
    """The words of a control's replies that nobody else gets.

    What an unknown command gets is taken away, and with it whatever the bot repeats of its users' words; so is the command's own
    name, which a refusal names too.
    """
    return words(replies) - nothing - {(control.command or "").lower()}


def resembles(calls: Iterable[ApiCalled], model: set[str]) -> bool:
    """Whether one of these replies has nearly all of the telling words."""
    return any(len(words([call]) & model) >= ALIKE * len(model) for call in calls)


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
    controls: dict[str, set[str]] = {}
    cases = [tried for tried in history.cases if tried.stage != SHRINKING]
    nothing = words(call for tried in cases if tried.case.startswith(NOTHING) for call in join.calls(tried))
    named = {tried.control for tried in cases if tried.control}
    plain: dict[str, list[CaseTried]] = defaultdict(list)
    for tried in cases:
        if PLAIN.search(tried.case):
            plain[tried.control].append(tried)
    for tried in cases:
        if tried.case in named:
            controls[tried.case] = controls.get(tried.case, set()) | telling(tried, join.calls(tried), nothing)
    for tried in controlled(history, tally.check):
        model = controls.get(tried.control)
        usual = plain[tried.control]
        # Where nobody is told apart from the admin, the target has another admin, or gives this to everybody.
        if not model or (usual and all(resembles(join.calls(other), model) for other in usual)):
            continue
        breach = None
        if resembles(join.calls(tried), model):
            title = f"{what}: {tried.summary or tried.case}"
            breach = Breach(stem(tried), title, severity, tried.threat, says(tried))
        tally.look(tried, breach)
    return tally
