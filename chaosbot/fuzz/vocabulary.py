"""The vocabulary stage: what the target itself names and shows, from its admin, from its users, and from people who must not.

Rules:

- Commands, keys and buttons come from the target's replies (help texts, keyboards, command menus, deep links), never from a list.
- Then come, each in a file of its own: where they lead (`exploring`), what belongs to one user in another one's hands (`belongings`), and
  what the admin alone gets, asked for by everybody else (`privileges`), and rights that the admin gives and takes again (`rights`).
- With what arguments commands are asked for besides is another stage's (`chaosbot.fuzz.arguments`), which reads their note.
- Nothing is judged here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import commands_in, words
from chaosbot.core.event import ApiCalled, CaseTried, Noted
from chaosbot.core.marker import plain_word
from chaosbot.fuzz.belongings import try_belongings
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.decisions import try_decisions
from chaosbot.fuzz.exploring import ASKED, Way, asked, explored, in_groups, kind_of, offers
from chaosbot.fuzz.forged import try_forged
from chaosbot.fuzz.moderation import try_fellows, try_moderation
from chaosbot.fuzz.privileges import try_privileges
from chaosbot.fuzz.replies import speaks, without_echo
from chaosbot.fuzz.rights import try_rights
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import build_ahead, observe
from chaosbot.fuzz.state import begin_state
from chaosbot.fuzz.talks import MEANT, Person, Step, Talks, relays
from chaosbot.fuzz.usages import TEXT, usages

_MOST: Final = 24
"""So many things that the target names to everybody, and to its admin only."""
_MOST_SHOWN: Final = 64
_MOST_NOTICES: Final = 6
_ASKED_S: Final = 0.3
"""Who has asked for something so shortly before, and as long as replies are waited for, may be answered."""
_LOOK_S: Final = 0.4
"""How often the target's health is looked at."""
_LONGER: Final = {False: 0.6, True: 2.2}
"""So much longer than its own time, in parts of it, the stage may go on beside the next ones, by whether the target is slow."""
_LEAST: Final = {"privileges": 0.12, "decisions": 0.08, "rights": 0.25}
"""The part of the campaign's time that a part of the stage may take at least, beside the next stages; rights come last, and few need them."""
_CALM: Final = 0.12
"""Such a part of the campaign's time the next stages wait, at most, until what belongs to people was looked at."""
_FIRST_MEANT: Final = MEANT + 500_000_000
_SLOW_S: Final = 1.5
"""A target whose replies are waited for longer than this is slow."""
_SHARES: Final = {
    "learn": 0.2,
    "explore": 0.55,
    "groups": 0.6,
    "belongings": 0.5,
    "privileges": 0.6,
    "decisions": 0.3,
    "rights": 0.8,
}
"""The part of the stage's time left that each part may take; of exploring groups, the part of the time for groups."""

_ALIKE: Final = 2
"""What so many commands are answered alike is a refusal, most often."""
_TOLD_S: Final = 0.3
"""So slow the calls are made that show whether a delivery is answered after them."""


def run_vocabulary(context: CampaignContext, clock: Clock) -> None:
    """Learns what the target offers, follows it, and asks for what must not be had.

    A target that replies late is not done in time; the rest goes on beside the next stage.
    """
    if context.store.seen.replies == "none" or not context.platform.tiers:
        return
    longer = _LONGER[_late(context)]
    talks = Talks(context, Clock(clock.until + clock.left() * longer, clock.should_stop), "vocabulary")
    context.target.watch.answers_last = last = _answers_last(context)
    _note(
        context, f"deliveries are answered {'after' if last else 'whatever becomes of'} the calls that come of them", {}
    )
    build_ahead(context)
    looked, patient = context.looked, Clock(clock.until + _CALM * context.spec.duration_s, clock.should_stop)
    context.shared.beside(talks, talks.admin_chat, partial(_work, talks))
    # What comes next sends hundreds of updates, behind which each step of a conversation would wait.
    while context.shared.busy and not (clock if looked.is_set() else patient).over():
        sleep(_LOOK_S)
        observe(context, context.shared.take())
        context.show("vocabulary", 0)


def _answers_last(context: CampaignContext) -> bool:
    """Whether a delivery is answered only when the calls that come of it are done: those are slow for a moment, and it is late as well."""
    talks = Talks(context, Clock(monotonic() + 10 * _TOLD_S, context.target.should_stop), "vocabulary", part="order")
    cases = [talks.case(talks.stranger(), Step(text)) for text in (context.target.ordinary, *ASKED[:2])]
    if context.disturbances is None:
        return False
    began = monotonic()
    with context.disturbances.slowed([str(case.chat) for case in cases], _TOLD_S):
        results = context.target.volley(cases, "vocabulary")
        context.target.watch.all_replied(cases, 2 * _TOLD_S)
    observe(context, results)
    told = [
        (result, [call for call in context.target.watch.replies(result.case, began) if speaks(call)])
        for result in results
    ]
    shown = [
        context.target.replies_in(result.outcome) or result.outcome.total_s >= _TOLD_S
        for result, calls in told
        if calls or context.target.replies_in(result.outcome)
    ]
    return bool(shown) and all(shown)


def _late(context: CampaignContext) -> bool:
    """Whether the target's replies are long in coming."""
    return context.store.seen.replies == "mock" and context.target.watch.patience_s > _SLOW_S


def _work(talks: Talks) -> None:
    """All parts, one after the other, each within its share of the time."""
    context, whole = talks.context, talks.clock

    def part(name: str) -> Talks:
        talks.clock = Clock(monotonic() + whole.left() * _SHARES[name], whole.should_stop)
        talks.at_least(_LEAST.get(name, 0.0) * context.spec.duration_s)
        return talks

    twin = talks.stranger()
    own, common = _learned(part("learn"), twin)
    if not own and not common:
        return
    admins = _note_offers(context, own, common)
    ways = context.ways
    privileges: list[str] = []
    objects: list[str] = []
    # What the admin does may end things that others have made; but what a slow target is asked late is not asked at all.
    late = _late(context)
    first = _early(part("privileges"), own, twin, privileges) if late else _nothing()
    announced = _explore(part("explore"), _commands(own), common, twin, first)
    # Who has come further (has joined, has put something into a cart) may be told of more.
    told = {name for way in ways for call in way.replies for name in commands_in(call.text)} & {*admins}
    if told:
        text = f"{len(told)} of them are told to people who have come further"
        _note(context, text, {"told": sorted(told)})
        own = [step for step in own if step.text.removeprefix("/") not in told]
        common += [Step(f"/{name}") for name in sorted(told)]
    # Groups are chats of their own: what goes on there need not wait for what goes on in private, nor that for this.
    groups = Talks(context, part("belongings").clock, "vocabulary", part="groups")
    groups.grouped = True
    beside = partial(context.shared.beside, groups, "groups")
    meanwhile = beside(lambda: objects.extend(_in_groups(groups, _commands(common), ways)))
    objects += try_belongings(talks, ways, _commands(common))
    context.looked.set()
    forging, forged = Talks(context, part("rights").clock, "vocabulary", part="forged"), list[str]()
    forgery = context.shared.beside(forging, "forged", lambda: forged.extend(try_forged(forging, ways)))
    meanwhile.result()
    announced()
    first.result()
    shown_unasked = _notices(talks, ways)
    if not late:
        shown_unasked += own
    groups.clock = part("privileges").clock
    meanwhile = beside(lambda: privileges.extend(try_moderation(groups, _commands(own), _commands(common))))
    if shown_unasked:
        privileges += try_privileges(talks, shown_unasked, ways, twin, own=True)
    meanwhile.result()
    written = _refused_first([step for step in common if not step.pressed], ways)
    privileges += try_privileges(part("privileges"), written, ways, twin, own=False)
    alone = [*context.privileges, *_commands(own)]
    privileges += try_decisions(part("decisions"), ways, [text for text in dict.fromkeys(alone) if " " not in text])
    shown = sorted({data for way in ways for data in way.buttons})[:_MOST_SHOWN]
    people, rights = Talks(context, part("rights").clock, "vocabulary", part="rights", first=_FIRST_MEANT), list[str]()
    context.shared.beside(people, "rights", lambda: rights.extend(try_rights(people, ways, _commands(own)))).result()
    forgery.result()
    text = f"{len(shown)} kinds of buttons, {len(objects)} ways to things of one user, {len(privileges)} requests of the admin's"
    _note(
        context,
        text,
        {"buttons": shown, "objects": objects, "privileges": privileges, "rights": rights, "forged": forged},
    )


def _nothing() -> Future[None]:
    done = Future[None]()
    done.set_result(None)
    return done


def _early(talks: Talks, own: Sequence[Step], twin: Person, found: list[str]) -> Future[None]:
    """Begins to try the admin's rights beside what is explored meanwhile: the admin has one chat, in which a slow target says one thing at a time."""
    desk = Talks(talks.context, talks.clock, "vocabulary", part="early")
    return talks.context.shared.beside(
        desk, "early", lambda: found.extend(try_privileges(desk, own, talks.context.ways, twin, own=True))
    )


def _note_offers(context: CampaignContext, own: list[Step], common: list[Step]) -> list[str]:
    """Notes the commands that the target names; those that it names to its admin only."""
    commands = [name.removeprefix("/") for name in _commands([*own, *common])]
    admins = sorted(name.removeprefix("/") for name in _commands(own))
    text = f"the target names {len(commands)} commands, {len(admins)} of them to its admin only"
    _note(context, text, {"commands": commands, "admin": admins})
    return admins


def _explore(
    talks: Talks, own: Sequence[str], common: Sequence[Step], twin: Person, before: Future[None]
) -> Callable[[], None]:
    """Follows what everybody is told of, and looks beside that, while few people are known, what the admin, whose chat is free after `before`, says to all of them.

    Returns:
        What waits until that is known, and notes it.
    """
    context = talks.context
    dice = context.dice.at("announced", context.spec.endpoint.started)
    said = {command: plain_word(dice.at(command)) for command in own}
    early = Talks(context, talks.clock, "vocabulary", part="announced")
    admin = partial(asked, early, Person(tier=context.platform.tiers[-1]))

    def say() -> None:
        before.result()
        sleep(within_s)
        early.run([partial(admin, [f"{command} {word}" for command, word in said.items()])])
        # The twin, who says what the admin has said, has kept still so far: whatever came there nobody had asked for.
        early.run([partial(asked, early, twin, [f"{command} {TEXT}" for command in own])])

    within_s = _ASKED_S + context.target.watch.patience_s
    saying = context.shared.beside(early, "announced", say)
    for way in explored(talks, common):
        context.ways.append(way)

    def note() -> None:
        saying.result()
        context.announcers = _announcers(context, str(talks.admin_chat), said, within_s)

    if saying.done():
        note()  # who tries the target's memory is not to write to everybody
    if context.ways and context.trials is None and "state" in context.spec.stages:
        context.trials = begin_state(context)
    return note


def _announcers(context: CampaignContext, home: str, said: Mapping[str, str], within_s: float) -> frozenset[str]:
    """The commands, without slash, whose word came to others than who said it, who had not asked for anything so shortly before."""

    def unasked(call: ApiCalled) -> bool:
        came = context.spec.started + call.t
        return (
            call.chat is not None
            and str(call.chat) != home
            and not context.target.watch.asked(call.chat, came, within_s)
        )

    return frozenset(
        command.removeprefix("/")
        for call in context.target.calls()
        for command, word in said.items()
        if word in call.text and unasked(call)
    )


def _in_groups(talks: Talks, commands: Sequence[str], ways: Sequence[Way]) -> list[str]:
    """Explores groups, then tries what belongs to one of their members; for the coverage of judgement, what was tried."""
    context, whole = talks.context, talks.clock
    first = [Step(name) for name in commands] + [Step(kind, joins=True) for kind in context.platform.joins]
    talks.clock = Clock(monotonic() + whole.left() * _SHARES["groups"], whole.should_stop)
    for way in in_groups(talks, first, ways):
        context.group_ways.append(way)
    talks.clock = whole
    found = try_fellows(talks, [*context.group_ways, *ways])
    return found + try_belongings(talks, context.group_ways, commands)


def _refused_first(steps: Sequence[Step], ways: Sequence[Way]) -> list[Step]:
    """First what strangers are told the same for as for another command: most often that it is not for them."""
    told = {way.steps[0]: frozenset(words(way.replies)) for way in ways if len(way.steps) == 1}
    times = Counter(told.values())
    return sorted(steps, key=lambda step: times[told.get(step, frozenset())] < _ALIKE or not told.get(step))


def _notices(talks: Talks, ways: Sequence[Way]) -> list[Step]:
    """A button of each kind that the admin was shown, most lately, and nobody who explored; each below a message of its own.

    What one button decides leaves those beside it nothing to decide, and the refusal is no control.
    """
    common = {kind_of(data) for way in (*ways, *talks.context.group_ways) for data in way.buttons}
    told = (call for call in talks.context.target.calls() if str(call.chat) == str(talks.admin_chat))
    latest: dict[str, str] = {}
    as_it_stands = {call.message or call.t: call for call in told}
    for call in sorted(as_it_stands.values(), key=lambda one: -one.t):
        shown = {kind_of(data): data for data in call.buttons}
        new = (kind for kind in shown if kind not in common and kind not in latest)
        latest.update((kind, shown[kind]) for kind in islice(new, 1))
    return [Step(data, pressed=True) for data in latest.values()][:_MOST_NOTICES]


def _note(context: CampaignContext, text: str, data: dict[str, list[str]]) -> None:
    context.recorder.emit(Noted(context.recorder.now(), "vocabulary", text, dict(data)))


def _commands(steps: list[Step]) -> list[str]:
    """The commands among what the target names, with their slash."""
    return [step.text for step in steps if not step.pressed and step.text.startswith("/") and " " not in step.text]


def _learned(talks: Talks, twin: Person) -> tuple[list[Step], list[Step]]:
    """What the admin alone is told of and shown, and what everybody is, in the order in which it comes."""
    context = talks.context
    top = context.platform.tiers[-1]
    admins = {str(talks.admin_chat)}

    # What follows from what was said before is no secret of the admin's: a stranger holds the same conversation.
    people = [Person(tier=top), twin]
    rows = [(text,) for text in ASKED] if _late(context) else [ASKED]
    conversations = [partial(asked, talks, person, texts) for person in people for texts in rows]
    conversations += [partial(asked, talks, talks.stranger(), (text,)) for text in ASKED]
    told = [call for replies in talks.run(conversations) for call in replies or ()]
    calls = [*told, *context.target.calls()]
    if relays(talks):
        # What the admin is shown of others' messages is their words, not the target's.
        calls = [call for call in calls if str(call.chat) not in admins or not (call.markers or call.origin)]
    calls = list(without_echo(calls, (one for one in context.recorder.events if isinstance(one, CaseTried))))
    # A command menu that is set for all has no chat.
    common = offers(call for call in calls if (str(call.chat) not in admins if call.chat is not None else call.keys))
    own = offers(call for call in calls if call.chat is not None and str(call.chat) in admins)
    known = {*common, *map(Step, ASKED)}
    own = [step for step in own if step not in known] + _own_forms(told, common, str(talks.admin_chat))
    return own[:_MOST], common[:_MOST]


def _own_forms(told: Iterable[ApiCalled], common: Sequence[Step], admin: str) -> list[Step]:
    """What only the admin is shown behind a command that everybody is told of: to see a rate is everybody's, to change it (``/rate 10``) is not."""
    texts = {True: "", False: ""}
    for call in told:
        texts[str(call.chat) == admin] += f"{call.text}\n"
    commands = [step.text for step in common if not step.pressed and step.text in texts[False]]
    return [
        Step(f"{command} {form}", ours=True)
        for command in commands
        if not usages(command, texts[False])
        for form in usages(command, texts[True])[:1]
    ]
