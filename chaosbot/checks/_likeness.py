"""What makes a privileged reply recognisable, and who got one: the difference between a control and its background."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from chaosbot.checks._cases import SHRINKING, Violation, Violations, cause_of, says
from chaosbot.checks._join import Join, parts
from chaosbot.core.case import Role
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.marker import MARKER
from chaosbot.core.verdict import Severity

ALIKE: Final = 0.8
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


def compared(history: History, violations: Violations, severity: Severity, what: str) -> None:
    """Judges every case of a check that is compared with a control, each scenario by itself."""
    for part in parts(history):
        _compared(part, violations, severity, what)


def _compared(history: History, violations: Violations, severity: Severity, what: str) -> None:
    join = Join(history)
    controls: dict[str, set[str]] = {}
    cases = [tried for tried in history.cases if tried.stage != SHRINKING]
    nothing = words(call for tried in cases if tried.role is Role.BACKGROUND for call in join.calls(tried))
    named = {tried.control for tried in cases if tried.control}
    plain: dict[str, list[CaseTried]] = defaultdict(list)
    for tried in cases:
        if tried.role is Role.PLAIN:
            plain[tried.control].append(tried)
        if tried.case in named:
            controls[tried.case] = controls.get(tried.case, set()) | telling(tried, join.calls(tried), nothing)
    for tried in cases:
        if not tried.control or tried.check != violations.check:
            continue
        model = controls.get(tried.control)
        usual = plain[tried.control]
        # Where nobody is told apart from the admin, the target has another admin, or gives this to everybody.
        if not model or (usual and all(resembles(join.calls(other), model) for other in usual)):
            continue
        violation = None
        if resembles(join.calls(tried), model):
            title = f"{what}: {tried.summary or tried.case}"
            violation = Violation(cause_of(tried, "granted"), title, severity, tried.threat, says(tried))
        violations.look(tried, violation)
