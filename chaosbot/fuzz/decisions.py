"""What the admin alone decides, by buttons, about what others have made: a request is granted, a complaint is dropped.

Rules:

- The admin is asked when somebody does something (a notice with buttons), or sees by a command of the admin's what is to be decided.
- Each press is about another thing, since what is decided cannot be decided again. Two of the admin's that bring the same are a control;
  then somebody else presses, and whose thing it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import sleep
from typing import Final

from chaosbot.checks._likeness import ALIKE, words
from chaosbot.core.case import Change, Role
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.catalogue.scenarios import check_of
from chaosbot.fuzz.exploring import Way, kind_of, walk
from chaosbot.fuzz.making import NUMBERS, notified
from chaosbot.fuzz.talks import Person, Step, Talks

_MOST: Final = 4
"""So many kinds of decisions are tried."""
_LISTS: Final = 8
"""So many of the admin's own commands are asked what is to be decided."""
_NOTICES: Final = 6
_CAUSES: Final = 3
_EACH: Final = 3
_SOON_S: Final = 1.5
"""Who did something so shortly before a notice may have brought it about."""
_ABSENT: Final = "9700001"


@dataclass
class _Decision:
    """Buttons of one kind by which the admin decides.

    Args:
        kind: The kind.
        causes: What others did when the admin was asked.
        listed: The buttons that the admin's own commands show, the latest first.
    """

    kind: str
    causes: list[Way] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)


def try_decisions(talks: Talks, ways: Sequence[Way], own: Sequence[str]) -> list[str]:
    """Tries what only the admin was shown buttons for, as others.

    Args:
        talks: The stage's conversations, with the admin's chat.
        ways: What strangers have explored.
        own: The commands that the admin alone gets an answer to, with their slash.

    Returns:
        For the coverage of judgement, each kind of decision and whether others tried it.
    """
    admin = Person(tier=talks.context.platform.tiers[-1])
    (decisions,) = talks.run([partial(_decisions, talks, admin, ways, own)])
    notes = []
    for decision in (decisions or [])[:_MOST]:
        (done,) = talks.run([partial(_tried, talks, admin, decision)])
        why = (
            "tried" if done else "not tried, there were not three of them, or two of the admin's did not bring the same"
        )
        notes.append(f"the button {decision.kind}: {why}")
    return notes


def _decisions(talks: Talks, admin: Person, ways: Sequence[Way], own: Sequence[str]) -> list[_Decision]:
    """What the admin is asked, or shown, to decide, and nobody else is shown."""
    common = {kind_of(data) for way in (*ways, *talks.context.group_ways) for data in way.buttons}
    found: dict[str, _Decision] = {}

    def decisions(calls: Iterable[ApiCalled]) -> Iterator[tuple[ApiCalled, str, _Decision]]:
        for call in calls:
            for data in call.buttons:
                if NUMBERS.search(data) and kind_of(data) not in common:
                    yield call, data, found.setdefault(kind_of(data), _Decision(kind_of(data)))

    told = [call for call in talks.context.target.calls() if str(call.chat) == str(talks.admin_chat)]
    notices: dict[str, list[ApiCalled]] = {}
    for call, _, decision in decisions(told):
        notices.setdefault(decision.kind, []).append(call)
    for kind, calls in notices.items():
        found[kind].causes += _causes(talks, calls, ways)
    for command in own[:_LISTS]:
        for _, data, decision in decisions(talks.say(admin, Step(command), "the admin")):
            decision.listed.insert(0, data)
    return sorted(found.values(), key=lambda one: not one.causes)


def _causes(talks: Talks, notices: Sequence[ApiCalled], ways: Sequence[Way]) -> list[Way]:
    """The ways whose last steps were taken just before the admin was told something; the one first that was most often, and last, before it."""
    home, there = str(talks.admin_chat), {str(way.who.chat): way for way in ways if way.taken}
    score: Counter[Way] = Counter()
    for notice in notices[:_NOTICES]:
        before = [
            event
            for event in talks.context.recorder.events
            if isinstance(event, CaseTried)
            and event.stage == talks.stage
            and str(event.chat) != home
            and 0.0 <= notice.t - event.sent <= _SOON_S
        ]
        latest = [there.get(str(event.chat)) for event in sorted(before, key=lambda one: -one.sent)]
        for rank, way in enumerate(dict.fromkeys(filter(None, latest))):
            score[way] += max(1, _NOTICES - rank)
    return [way for way, _ in score.most_common(_CAUSES)]


def _made(talks: Talks, decision: _Decision) -> tuple[Person, list[str]] | None:
    """Somebody new does what makes the admin be asked; who, and the buttons. What does not is forgotten."""
    while decision.causes:
        known = len(talks.context.target.calls())
        maker, _ = walk(talks, decision.causes[0].steps, apart=True)
        asked = notified(talks, {str(talks.admin_chat)}, known, decision.kind)
        if asked is not None:
            return maker, [data for data in asked.buttons if kind_of(data) == decision.kind]
        decision.causes.pop(0)
    return None


def _fresh(talks: Talks, decision: _Decision) -> list[str]:
    """Buttons about things that nobody has decided yet."""
    made = _made(talks, decision)
    if made is None:
        return decision.listed
    known = len(talks.context.target.calls())
    talks.run(partial(walk, talks, decision.causes[0].steps, apart=True) for _ in range(_EACH))
    sleep(talks.context.target.watch.gap_s)
    home = str(talks.admin_chat)
    new = [call for call in list(talks.context.target.calls())[known:] if str(call.chat) == home]
    return [*made[1], *(data for call in new for data in call.buttons if kind_of(data) == decision.kind)]


def _tried(talks: Talks, admin: Person, decision: _Decision) -> bool:
    """The admin decides twice, then others do; whether they did."""
    first, second, third, *_ = *dict.fromkeys(_fresh(talks, decision)), "", "", ""
    if not third:
        return False
    case = talks.case(admin, Step(first, pressed=True), "the admin")
    told = words(talks.send(case))
    agrees = words(talks.say(admin, Step(second, pressed=True), "the admin"))
    absent = Step(re.sub(r"\d+", _ABSENT, second), pressed=True)
    nothing = words(talks.say(admin, absent, "the admin", role=Role.BACKGROUND, control=case.name))
    if not told - nothing or len(told & agrees - nothing) < ALIKE * len(told - nothing):
        return False

    def decides(person: Person, data: str, who: str) -> None:
        talks.say(
            person,
            Step(data, pressed=True),
            check=check_of("demoted"),
            role=Role.ATTEMPT,
            control=case.name,
            change=Change(Mechanism.TECHNIQUE, "escalation/button", "decision"),
            summary=f"{who} decides what only the admin is asked: {decision.kind}",
        )

    decides(talks.stranger(), third, "a stranger")
    if made := _made(talks, decision):
        decides(made[0], made[1][0], "whose thing it is")
    return True
