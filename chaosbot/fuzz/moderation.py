"""What happens between people in a group: what its admin does about a member, and what is shown to one member among others.

Rules:

- Each try has a group of its own, so all go on side by side.
- The admin gives commands in answer to a member's message: bare, with the member's id, with more behind it. What the target names to its admin
  only, a plain member writes as well, with the admin's as the control. What it names to everybody is the admin's where a member gets less.
- A button below the admin's answer may be meant for all (a vote), so others press it only where the admin's press did what a moderator does: it
  changed another one's rights, took back what the command had done, or was answered as another command of the admin's is.
- A button by which somebody changed their own rights (a newcomer who shows that they are human) is pressed by another member of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from chaosbot.checks._likeness import ALIKE, deeds, words
from chaosbot.core.case import Change, Role
from chaosbot.core.event import ApiCalled
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.catalogue.scenarios import check_of
from chaosbot.fuzz.exploring import Way, at_hand, kind_of, walk
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.talks import Person, Step, Talks

_FORMS: Final = ("{command}", "{command} {member}", "{command} {member} 7", "{command} {member} 7 green tea")
_UNKNOWN: Final = ("/chaosbotx0", "/chaosbotx1 {member}", "green tea")
_MOST_COMMANDS: Final = 12
_MOST_BUTTONS: Final = 8
_MOST_PRESSES: Final = 6
CROWD: Final = 8
"""Who writes to more chats than this writes to everybody."""


@dataclass(frozen=True)
class _Scene:
    """A group: its admin, a member whom the admin answers, and another member, who answers the same."""

    admin: Person
    member: Person
    other: Person

    def step(self, form: str) -> Step:
        """A command about the member."""
        return Step(form.replace("{member}", str(self.member.user)))

    def told(self, calls: Sequence[ApiCalled]) -> str:
        """What the target said, the same in every group where it says the same."""
        return "\n".join(call.text for call in calls).replace(str(self.member.user), "{member}")


@dataclass(frozen=True)
class _Order:
    """The admin's command about a member: how it is written, the name of the case, what the target did, and who the member is."""

    form: str
    control: str
    replies: tuple[ApiCalled, ...]
    member: int | None

    @property
    def command(self) -> str:
        """The command."""
        return self.form.partition(" ")[0]

    def lacks(self, order: _Order) -> bool:
        """Whether another one is answered with words that this is not, or changed rights where this did not."""
        return bool(deeds(order.replies) - deeds(self.replies))

    @property
    def carried_out(self) -> bool:
        """Whether it did something, and was not answered by how it is to be written."""
        text = "\n".join(call.text for call in self.replies)
        shows = any(call.buttons or call.member is not None for call in self.replies)
        return shows or (bool(text) and self.command not in text and "?" not in text)


def try_moderation(talks: Talks, own: Sequence[str], common: Sequence[str]) -> list[str]:
    """Gives the admin's commands in groups, and lets members do what only the admin may.

    Args:
        talks: Conversations in groups.
        own: The commands that the target names to its admin only.
        common: Those that it names to everybody.

    Returns:
        What was found, for the coverage of judgement.
    """
    forms = [
        form.replace("{command}", command)
        for command in own[:_MOST_COMMANDS]
        for form in (_FORMS[:1] if talks.context.announces(command) else _FORMS)
    ]
    shared = [form.replace("{command}", command) for command in common[:_MOST_COMMANDS] for form in _FORMS[:2]]
    meaningless = [partial(_ordered, talks, form, role=Role.BACKGROUND) for form in _UNKNOWN]
    given = talks.run([*meaningless, *(partial(_ordered, talks, form) for form in (*forms, *shared))])
    unknown = {word for one in given[: len(_UNKNOWN)] if one for word in deeds(one.replies)}
    known = [one for one in given[len(_UNKNOWN) :] if one and one.carried_out and deeds(one.replies) - unknown]
    # What several forms get is asked for once, in the first of them.
    first = {(one.command, frozenset(deeds(one.replies))): one for one in reversed(known)}
    orders = [one for one in reversed(first.values()) if one.form in forms]
    # What a thing is called that is made each time, or how often it was, differs in numbers only.
    doubtful = [one for one in reversed(first.values()) if one.form not in forms]
    members = talks.run(partial(_ordered, talks, one.form, admin=False) for one in doubtful)
    tries = [partial(_written, talks, one) for one in orders]
    orders += [one for one, less in zip(doubtful, members, strict=True) if less and less.lacks(one)]
    spread = _spread(talks, orders)
    talks.context.orders.extend(one.form for one in orders if one.command not in spread)
    buttons = {kind_of(data): (one, data) for one in reversed(orders) for call in one.replies for data in call.buttons}
    pressed = list(buttons.values())[:_MOST_BUTTONS]
    presses = [partial(_pressed, talks, order, data, orders) for order, data in pressed]
    return [note for note in talks.run([*presses, *tries]) if note]


def try_fellows(talks: Talks, ways: Sequence[Way]) -> list[str]:
    """Lets another member of the group press what changed the rights of whoever pressed it.

    Args:
        talks: Conversations in groups.
        ways: What strangers have explored.

    Returns:
        What was tried, for the coverage of judgement.
    """
    pressed = {kind_of(way.steps[-1].text): way for way in reversed(ways) if way.steps[-1].pressed and way.rights}
    found = talks.run(partial(_shared, talks, way) for way in list(pressed.values())[:_MOST_PRESSES])
    return [note for note in found if note]


def _spread(talks: Talks, orders: Sequence[_Order]) -> set[str]:
    """The commands by which the target writes to many: repeated, each of them would take as many calls as there are people."""
    chats: dict[str, set[str]] = {order.command: set() for order in orders}
    for call in talks.context.target.calls():
        for order in orders:
            if order.member is not None and str(order.member) in call.text:
                chats[order.command].add(str(call.chat))
    return {command for command, told in chats.items() if len(told) > CROWD}


def _scene(talks: Talks) -> _Scene:
    member = talks.stranger()
    admin = Person(tier=talks.context.platform.tiers[-1], group=member.group, answers=member.user)
    return _Scene(admin, member, Person(user=talks.stranger().user, group=member.group, answers=member.user))


def _ordered(talks: Talks, form: str, *, admin: bool = True, role: Role = Role.SETUP) -> _Order:
    """The admin gives a command, or a plain member does."""
    scene = _scene(talks)
    who, what = (scene.admin, "the admin") if admin else (scene.other, "a guest")
    case = talks.case(who, scene.step(form), f"{what}, in answer to a member in a group,", role=role)
    return _Order(form, case.name, tuple(talks.send(case)), scene.member.user)


def _written(talks: Talks, order: _Order) -> str:
    """A plain member gives it."""
    scene = _scene(talks)
    asks = "a guest, in answer to a member in a group,"
    talks.say(scene.other, scene.step(order.form), asks, **_attempt("demoted", order.control, "escalation/command"))
    return f"{order.form} in a group: tried"


def _pressed(talks: Talks, order: _Order, data: str, orders: Sequence[_Order]) -> str:
    """Members press a button below the admin's command, where it is a moderator's."""
    scene = _scene(talks)
    before = _again(talks, order, scene)
    step = at_hand(Step(data, pressed=True), scene.admin.buttons, "", 0)
    case = talks.case(scene.admin, step, "the admin, in a group,")
    calls = talks.send(case)
    subject = f"{kind_of(str(step))} below {order.form}"
    theirs = any(call.member not in (None, case.user) for call in calls)
    if not (theirs or _another(calls, order, orders) or _taken_back(talks, order, scene, before)):
        return f"{subject}: not tried, nothing shows that it is a moderator's"
    for what in ("the member concerned", "another member"):
        scene = _scene(talks)
        _again(talks, order, scene)
        who = scene.member if what == "the member concerned" else scene.other
        step = at_hand(Step(data, pressed=True), scene.admin.buttons, "", 0)
        who.buttons.update(scene.admin.buttons)
        talks.say(who, step, what, **_attempt("demoted", case.name, "escalation/button"))
    return f"{subject}: tried"


def _again(talks: Talks, order: _Order, scene: _Scene) -> list[ApiCalled]:
    """The admin gives a command in another group; no more is waited for than what came of it the first time."""
    return talks.say(scene.admin, scene.step(order.form), "the admin", sum(map(speaks, order.replies)))


def _another(calls: Sequence[ApiCalled], order: _Order, orders: Sequence[_Order]) -> bool:
    """Whether one of a press's replies says what another command of the admin's gets."""
    others = [words([call]) for one in orders if one.command != order.command for call in one.replies]
    told = [words([call]) for call in calls]
    return any(len(one) > 1 and len(one & other) >= ALIKE * len(one | other) for one in told for other in others)


def _taken_back(talks: Talks, order: _Order, scene: _Scene, before: Sequence[ApiCalled]) -> bool:
    """Whether the command, after the press, gets again what it got first, and without a press something else."""
    after = scene.told(talks.say(scene.admin, scene.step(order.form), "the admin"))
    if after != scene.told(before):
        return False
    scene = _scene(talks)
    first, second = (scene.told(talks.say(scene.admin, scene.step(order.form), "the admin")) for _ in range(2))
    return first == after != second


def _shared(talks: Talks, way: Way) -> str:
    """Somebody presses what they were shown in a group, then another member presses what somebody was shown."""
    *before, last = way.steps
    owner = _shown(talks, before)
    control = talks.case(owner, at_hand(last, owner.buttons, owner.told, 0), f"who was shown it: {kind_of(last.text)};")
    subject = f"{kind_of(str(last))} in a group"
    own = {call.member for call in talks.send(control)}
    if owner.user not in own:
        return f"{subject}: not tried, it does not change its owner's rights there"
    owner = _shown(talks, before)
    fellow = replace(owner, user=talks.stranger().user)
    step = at_hand(last, owner.buttons, owner.told, 0)
    talks.say(fellow, step, "another member", **_attempt("foreign", control.name, "objects/button"))
    return f"{subject}: tried"


def _shown(talks: Talks, steps: Sequence[Step]) -> Person:
    """Somebody in a group who was shown what these steps lead to."""
    return walk(talks, steps)[0]


def _attempt(scenario: str, control: str, place: str) -> dict[str, Any]:
    """The members of a case that is compared with the rightful one's."""
    change = Change(Mechanism.TECHNIQUE, place)
    return {"role": Role.ATTEMPT, "check": check_of(scenario), "control": control, "change": change}
