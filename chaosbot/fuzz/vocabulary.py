"""The vocabulary stage: what the target itself names and shows, from its admin, from its users, and from people who must not.

Rules:

- Commands, keys and buttons come from the target's replies (help texts, keyboards, command menus, deep links), never from a list.
- Then come, each in a file of its own: where they lead (`exploring`), what belongs to one user in another one's hands (`belongings`), and
  what the admin alone gets, asked for by everybody else (`privileges`).
- Arguments are tried on each command: none, ordinary ones, and every degenerate text.
- Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from time import monotonic, sleep
from typing import Final

from chaosbot.core.case import Case, Change, Expect, Reach
from chaosbot.core.event import ApiCalled, Noted
from chaosbot.core.values import BACKTRACKING, TEXTS, TextValue
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.belongings import try_belongings
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import Way, explored, offers
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.privileges import try_privileges
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.talks import Person, Step, Talks

_ASKED: Final = ("/start", "/help", "what can you do?")
_MOST: Final = 24
"""So many things that the target names to everybody, and to its admin only."""
_FIRST_USER: Final = 4_503_550_000_000_000
_ORDINARY: Final = ("chaosbot", "2000001", "2000001 user", "7", "tomorrow 10:00 tea")
"""Arguments that most commands can do something with; a command that answers one of them answers."""
_LOOK_S: Final = 0.4
"""How often the target's health is looked at."""
_LONGER: Final = {False: 0.3, True: 2.2}
"""So much longer than its own time, in parts of it, the stage may go on beside the next ones, by whether the target is slow."""
_SLOW_S: Final = 1.5
"""A target whose replies are waited for longer than this is slow."""
_SHARES: Final = {"learn": 0.2, "explore": 0.35, "belongings": 0.6, "privileges": 0.6}
"""The part of the stage's time left that each part may take; arguments get the rest."""


def run_vocabulary(context: CampaignContext, clock: Clock) -> None:
    """Learns what the target offers, follows it, and asks for what must not be had.

    A target that replies late is not done in time; the rest goes on beside the next stage.
    """
    if context.store.seen.replies == "none" or not context.platform.tiers:
        return
    longer = _LONGER[_late(context)]
    talks = Talks(context, Clock(clock.until + clock.left() * longer, clock.should_stop), "vocabulary")
    context.shared.beside(talks, talks.admin_chat, partial(_work, talks))
    while context.shared.busy and not clock.over():
        sleep(_LOOK_S)
        observe(context, context.shared.take())
        context.show("vocabulary", 0)


def _late(context: CampaignContext) -> bool:
    """Whether the target's replies are long in coming."""
    return context.store.seen.replies == "mock" and context.target.watch.patience_s > _SLOW_S


def _work(talks: Talks) -> None:
    """All parts, one after the other, each within its share of the time."""
    context, whole = talks.context, talks.clock

    def part(name: str) -> Talks:
        talks.clock = Clock(monotonic() + whole.left() * _SHARES[name], whole.should_stop)
        return talks

    own, common = _learned(part("learn"))
    if not own and not common:
        return
    ways: list[Way] = []
    privileges: list[str] = []
    objects: list[str] = []
    # What the admin does may end things that others have made; but what a slow target is asked late is not asked at all.
    late = _late(context)
    if late:
        privileges += try_privileges(part("privileges"), own, ways, own=True)
    ways += explored(part("explore"), common)
    objects += try_belongings(part("belongings"), ways, _commands(common))
    if not late:
        privileges += try_privileges(part("privileges"), own, ways, own=True)
    written = [step for step in common if not step.pressed]
    privileges += try_privileges(part("privileges"), written, ways, own=False)
    commands, admins = _commands([*own, *common]), _commands(own)
    text = f"the target names {len(commands)} commands, {len(admins)} of them to its admin only"
    data = {
        "commands": [name.removeprefix("/") for name in commands],
        "admin": sorted(name.removeprefix("/") for name in admins),
        "buttons": sorted({data for way in ways for data in way.buttons})[:64],
        "objects": objects,
        "privileges": privileges,
    }
    context.recorder.emit(Noted(context.recorder.now(), "vocabulary", text, data))
    talks.clock = whole
    talks.volley(_arguments(context, tuple(name.removeprefix("/") for name in commands)))


def _commands(steps: list[Step]) -> list[str]:
    """The commands among what the target names, with their slash."""
    return [step.text for step in steps if not step.pressed and step.text.startswith("/") and " " not in step.text]


def _learned(talks: Talks) -> tuple[list[Step], list[Step]]:
    """What the admin alone is told of and shown, and what everybody is, in the order in which it comes."""
    context = talks.context
    top = context.platform.tiers[-1]
    admins = {str(talks.admin_chat)}

    people: list[Callable[[], list[ApiCalled]]] = []
    for text in _ASKED:
        people += [partial(talks.say, Person(tier=top), Step(text)), partial(talks.say, talks.stranger(), Step(text))]
    told = [call for replies in talks.run(people) for call in replies or ()]
    calls = [*told, *context.target.calls()]
    # A command menu that is set for all has no chat.
    common = offers(call for call in calls if (str(call.chat) not in admins if call.chat is not None else call.keys))
    own = offers(call for call in calls if call.chat is not None and str(call.chat) in admins)
    return [step for step in own if step not in common][:_MOST], common[:_MOST]


def _arguments(context: CampaignContext, commands: tuple[str, ...]) -> Iterator[Case]:
    """Each command with ordinary arguments, none, and every degenerate text; the values take turns over the commands."""
    ordinary = [TextValue(f"ordinary-{number}", text, f"'{text}'") for number, text in enumerate(_ORDINARY)]
    bare = TextValue("none", "", "no argument")
    number = 0
    for value in (bare, *ordinary, *TEXTS, *BACKTRACKING):
        for command in commands:
            number += 1
            text = f"/{command} {value.text}".rstrip(" ") if value.text.strip() else f"/{command}{value.text}"
            case = _case(context, f"argument/{command}-{value.word}", text, number=1000 + number)
            if case is not None:
                place = "argument/ordinary" if value.word.startswith("ordinary") else f"argument/{value.word}"
                yield replace(
                    case,
                    group="argument",
                    threat=Threat.USER if value.valid else Threat.NETWORK,
                    summary=f"/{command} with {value.what}",
                    expect=case.expect if value.valid else Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE),
                    change=Change(Mechanism.TECHNIQUE, place, command),
                )


def _case(context: CampaignContext, name: str, text: str, *, number: int) -> Case | None:
    dice = context.dice.at("vocabulary", name, context.spec.endpoint.started)
    user = _FIRST_USER + context.dice.at("vocabulary").integer(0, 10**9) + number
    update = context.platform.say(text, dice, user=user)
    if update is None:
        return None
    case = as_case(context.platform, context.spec.endpoint, update, dice, name, text[:80], Expect(), fresh=False)
    return replace(case, threat=Threat.USER, change=Change(Mechanism.TECHNIQUE, name.partition("/")[0]))
