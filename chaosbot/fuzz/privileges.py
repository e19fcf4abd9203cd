"""What the admin gets and nobody else: found by asking as both, then asked for by everybody else in every way that there is.

Rules:

- The admin's private chat is one conversation, one step at a time, so each reply there belongs to one request.
- What the target tells or shows to its admin only is privileged by its own word; anything else is where the admin's reply says
  something that no stranger's does: neither of one who asks for just that, nor of one who says all that the admin says, in the same order
  (the twin). Without the twin, what follows from a conversation would look like a right.
- Rights are only ever given to test ids.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice, zip_longest
from typing import Final

from chaosbot.checks._likeness import brought_about, deeds, words, words_in
from chaosbot.checks._state import shape
from chaosbot.core.case import Case, Change, Role
from chaosbot.core.event import TRIALS, ApiCalled
from chaosbot.core.fault import FAULTS
from chaosbot.core.plan import Matcher, Rule, Scope
from chaosbot.core.platform import Privilege
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.catalogue.scenarios import check_of
from chaosbot.fuzz.exploring import ASKED, Way, kind_of, offers
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.talks import Person, Step, Talks, relays
from chaosbot.fuzz.usages import NUMBER, Usage, usages

_MOST: Final = 12
"""So many privileges are asked for."""
_WHOLE: Final = 4
_PART: Final = 16
"""The first few are asked for in every way; of the ways to the others, these are tried that matter most."""
_MOST_SHOWN: Final = 8
_FIRST_THING: Final = "1"
_PATIENCE_S: Final = 6.0
"""How long a reply to the admin is waited for where a stranger asks in the same chat next."""
_TRYING_S: Final = 3.0
"""So long what was found is tried, however late it is."""
_LAST: Final = 24
"""A target that has replied to so many of the last requests is not busy with the others any more."""
_WORD: Final = re.compile(r"\w+")
_UNKNOWN: Final = (Step("/chaosbotx0"), Step("/chaosbotx1 7"), Step("chaosbot:unknown", pressed=True))


def try_privileges(talks: Talks, asked: Sequence[Step], ways: Sequence[Way], twin: Person, *, own: bool) -> list[str]:
    """Finds what the admin alone gets, and asks for it as everybody else.

    Args:
        talks: The stage's conversations.
        asked: What the admin asks for.
        ways: What strangers have explored.
        twin: A stranger who has said all that the admin has said so far, and nothing else.
        own: Whether the target told or showed that to its admin only.

    Returns:
        What was found, for the coverage of judgement: each request of the admin's, and whether it is privileged.
    """
    context = talks.context
    known = {way.steps[0]: way.replies for way in ways if len(way.steps) == 1}
    admin_chat = str(talks.admin_chat)
    told = [call for call in context.target.calls() if str(call.chat) == admin_chat]
    admin = Person(
        tier=context.platform.tiers[-1], buttons={data: call.message for call in told for data in call.buttons}
    )
    desk = _Desk(talks, admin, twin, asked if own else (), known)
    shown = {kind_of(data) for way in ways for data in way.buttons}
    alone = relays(talks)

    def ask(steps: Sequence[Step]) -> None:
        guests = [partial(desk.ask_guest, step) for step in steps if step not in known]
        admin, others = [partial(desk.ask_all, steps, shown)], [partial(desk.ask_twin, steps, shown), *guests]
        # What others write may come to the admin's chat, and is no reply to the admin.
        for conversations in (admin, others) if alone else ([*admin, *others],):
            talks.run(conversations)

    # What the admin was shown unasked (what to do with what others have made) nobody else is shown.
    talks.run([partial(desk.ask_all, [step for step in asked if own and step.pressed], shown)])
    ask([step for step in asked if not (own and step.pressed)])
    commands = [step for step in asked if own and desk.repeatable(step) and not desk.apart(step)]
    if commands:
        subject = _subject(talks)
        ask(
            [
                Step(step.text + more)
                for more in (f" {subject}", f" {subject} user", f" {subject} {NUMBER}", " green tea")
                for step in commands
            ]
        )
    if own:
        # What its own usage says: it may make a thing, and what is done to that may be asked about first, by buttons.
        ask(desk.as_shown(asked))
        ask(desk.on_things(asked))
        if any(desk.effects.values()):  # what has been done cannot be done again: another thing, for others to press
            ask(desk.as_shown(asked))
            ask([step for step in desk.on_things(asked) if step.text.partition(" ")[0] in desk.openers])
    talks.run([desk.ask_nothing, desk.twin_asks_nothing])
    found = desk.privileges()
    written = {step.text: replies for step, (_, replies) in desk.gets.items() if not step.pressed}
    context.privileges.update((one.text, written[one.text]) for one in found if not one.pressed)
    if found:
        talks.at_least(_TRYING_S)  # all before was for this
    dice = context.dice.at("privileges", own, context.spec.endpoint.started)
    ways_in = [
        list(islice(context.platform.escalations(context.spec.endpoint, dice, one), None if nth < _WHOLE else _PART))
        for nth, one in enumerate(found[:_MOST])
    ]
    turns = [steps for turn in zip_longest(*ways_in) for steps in turn if steps is not None]
    _sent(talks, turns)
    _unanswered(talks, found)
    return desk.notes()


def _command(step: Step) -> bool:
    return not step.pressed and step.text.startswith("/") and " " not in step.text


def _subject(talks: Talks) -> str:
    """The id of somebody whom rights may be given to and taken from, and whom the target knows."""
    tiers = talks.context.platform.tiers
    somebody = Person(tier=tiers[1] if len(tiers) > 2 else tiers[0])
    talks.say(somebody, Step(ASKED[0]))
    return str(talks.case(somebody, Step("x")).user)


@dataclass
class _Desk:
    """Compares what the admin gets with what a stranger gets.

    Args:
        talks: The stage's conversations.
        admin: The admin.
        twin: A stranger who says what the admin says.
        own: What only the admin was told of or shown.
        guests: What a stranger gets, by request.
        gets: What the admin gets, by request, with the name of the case.
        twins: What the twin gets, by request.
    """

    talks: Talks
    admin: Person
    twin: Person
    own: Sequence[Step]
    guests: dict[Step, tuple[ApiCalled, ...]]
    gets: dict[Step, tuple[str, tuple[ApiCalled, ...]]] = field(default_factory=dict)
    twins: dict[Step, tuple[ApiCalled, ...]] = field(default_factory=dict)
    nothing: set[str] = field(default_factory=set)
    latest: dict[str, str] = field(default_factory=dict)
    """The button of each kind that the admin was shown last, and the first of those below one message."""
    opened: dict[str, Step] = field(default_factory=dict)
    """What was asked when each kind of button was shown."""
    effects: dict[str, bool] = field(default_factory=dict)
    """By kind of button, whether the admin was told something else for that afterwards."""
    heard: defaultdict[frozenset[str], set[Step]] = field(default_factory=lambda: defaultdict(set))
    """By the words of a reply to the admin, what was asked when it came."""
    told: dict[Step, set[str]] = field(default_factory=dict)
    """By request, what others were told who have asked for the same."""

    @property
    def openers(self) -> set[str]:
        """The commands that are answered by buttons which change something."""
        return {self.opened[kind].text.partition(" ")[0] for kind, changed in self.effects.items() if changed}

    @property
    def names(self) -> set[str]:
        """The words of the admin's name."""
        platform = self.talks.context.platform
        return words_in(platform.called(platform.administrator)) if platform.administrator is not None else set()

    @cached_property
    def _offered(self) -> frozenset[str]:
        """The kinds of buttons that others than the admin were shown in private, who had pressed none of them."""
        context, cases = self.talks.context, list(self.talks.context.recorder.cases.values())
        homes = {str(case.chat) for case in cases if case.chat == case.user} - {str(self.talks.admin_chat)}
        pressed: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            if case.callback:
                pressed[str(case.chat)].add(kind_of(case.summary.rpartition(" presses ")[2].strip("'")))
        return frozenset(
            kind
            for call in context.target.calls()
            if str(call.chat) in homes
            for kind in map(kind_of, call.buttons)
            if kind not in pressed[str(call.chat)]
        )

    def _told_others(self, step: Step) -> set[str]:
        """All that others than the admin were told in private who said the same."""
        context, admin = self.talks.context, str(self.talks.admin_chat)
        said = f" {'presses' if step.pressed else 'writes'} {step.text[:80]!r}"
        theirs = [case for case in list(context.recorder.cases.values()) if case.summary.endswith(said)]
        homes = {str(case.chat) for case in theirs if case.chat == case.user} - {admin}
        return {shape(call.text) for call in context.target.calls() if str(call.chat) in homes}

    def ask_guest(self, step: Step) -> None:
        """A stranger asks."""
        self.guests[step] = tuple(self.talks.say(self.talks.stranger(), step))

    def ask_all(self, steps: Sequence[Step], shown: set[str]) -> None:
        """The admin asks for everything, and presses each kind of button that is shown then and that no stranger was shown."""

        def ask(step: Step) -> list[ApiCalled]:
            # What one button has done to a thing leaves nothing for the others below it: there is a newer one.
            step = replace(step, text=self.latest.get(kind_of(step.text), step.text)) if step.pressed else step
            control = self.talks.case(self.admin, step, "the admin")
            gets = self.talks.send(control)
            self.gets[step] = control.name, tuple(gets)
            for call in gets:
                self.heard[frozenset(words([call]))].add(step)
            kind = kind_of(step.text)
            if step.pressed and kind in self.opened and kind not in self.effects:
                again = self.talks.say(self.admin, self.opened[kind], "the admin")
                self.effects[kind] = deeds(again) != deeds(self.gets[self.opened[kind]][1])
                gets = [*gets, *again]
            for call in gets:
                self.admin.buttons.update(dict.fromkeys(call.buttons, call.message))
                self.latest.update((kind_of(data), data) for data in reversed(call.buttons))
                for data in () if step.pressed else call.buttons:
                    self.opened.setdefault(kind_of(data), step)
            return gets

        self._followed(ask, steps, shown | {kind_of(step.text) for step in self.gets if step.pressed})

    def ask_twin(self, steps: Sequence[Step], shown: set[str]) -> None:
        """A stranger does the same."""

        def ask(step: Step) -> list[ApiCalled]:
            self.twins[step] = tuple(gets := self.talks.say(self.twin, step))
            return gets

        self._followed(ask, steps, shown | {kind_of(step.text) for step in self.twins if step.pressed})

    @staticmethod
    def _followed(ask: Callable[[Step], list[ApiCalled]], steps: Sequence[Step], known: set[str]) -> None:
        """Asks for everything, and presses each kind of button that is not known when it is shown."""
        queue = list(steps)
        kinds = known | {kind_of(step.text) for step in queue if step.pressed}
        while queue:
            for new in offers(ask(queue.pop(0))):
                if new.pressed and kind_of(new.text) not in kinds:
                    kinds.add(kind_of(new.text))
                    queue.insert(0, new)

    def as_shown(self, steps: Sequence[Step]) -> list[Step]:
        """The admin's commands with the arguments that the target's texts show."""
        return [Step(f"{step.text} {usage}") for step, usage in self._used(steps)][:_MOST_SHOWN]

    def on_things(self, steps: Sequence[Step]) -> list[Step]:
        """Those that take one argument with the number of what the admin has made last."""
        made = (Way((step,), gets).ids for step, (_, gets) in reversed(self.gets.items()) if " " in step.text)
        number = next((name for ids in made for name in ids if name.isdigit()), _FIRST_THING)
        return [Step(f"{step.text} {number}") for step, usage in self._used(steps) if len(usage.places) == 1]

    def _used(self, steps: Sequence[Step]) -> Iterator[tuple[Step, Usage]]:
        """The commands whose usage stands in what the admin was told, with the first that does."""
        texts = "\n".join(call.text for _, gets in self.gets.values() for call in gets)
        for step in filter(self.repeatable, steps):
            yield from ((step, usage) for usage in usages(step.text, texts)[:1])

    def repeatable(self, step: Step) -> bool:
        """Whether it is a command that is not told to everybody each time."""
        return _command(step) and not self.talks.context.announces(step.text)

    def ask_nothing(self) -> None:
        """The admin asks for what no bot knows."""
        for step in self._unknown():
            self.nothing |= deeds(self.talks.say(self.admin, step, "the admin", role=Role.BACKGROUND))

    def twin_asks_nothing(self) -> None:
        """So does the twin, so that both have said the same."""
        for step in self._unknown():
            self.talks.say(self.twin, step)

    def _unknown(self) -> Sequence[Step]:
        return _UNKNOWN if any(step.pressed for step in self.gets) else _UNKNOWN[:2]

    def telling(self, step: Step) -> set[str]:
        """The words of the admin's reply that no meaningless request gets, without the admin's name."""
        if step not in self.gets:
            return set()
        return deeds(self._answers(step)) - self.nothing - self.names

    def _answers(self, step: Step) -> list[ApiCalled]:
        """What the admin was told for it; what comes after many different requests tells of what others do meanwhile."""
        return brought_about(self.gets[step][1], lambda call: len(self.heard[frozenset(words([call]))]))

    def apart(self, step: Step) -> bool:
        """Whether the admin is told something for it that a stranger is not."""
        if not (step in self.gets and step in self.guests and step in self.twins):
            return False  # there was no time to ask
        # What people are told now and then (who is brought together with somebody) is no right.
        texts = {shape(call.text) for call in self._answers(step) if call.text}
        if step not in self.told:
            self.told[step] = self._told_others(step)
        if texts <= self.told[step]:
            return False
        return bool(self.telling(step) - deeds(self.guests[step]) - deeds(self.twins[step]))

    def private(self, step: Step) -> bool:
        """Whether the target told or showed it to its admin only."""
        if step.pressed:
            kind = kind_of(step.text)
            return kind not in self._offered and all(
                kind != kind_of(shown.text) for shown in self.twins if shown.pressed
            )
        return Step(step.text.split(" ")[0]) in self.own or step in self.own

    def _served(self, step: Step) -> bool:
        """Whether the admin got what the target keeps private, and no question or hint how to ask for it."""
        replies = "\n".join(call.text for call in self.gets[step][1])
        asks_back = "?" in replies or "？" in replies or step.text.split(" ")[0] in replies
        return self.private(step) and (step.pressed or not asks_back)

    def privileges(self) -> list[Privilege]:
        """What the admin alone gets; of several requests with one command the first that tells, or else any that the target keeps private."""
        best: dict[str, Step] = {}
        # Of the buttons below one message those that change nothing, while others do, only take a question back.
        vain = {kind for kind, changed in self.effects.items() if not changed and self._decides(self.opened[kind])}
        for step in sorted(self.gets, key=lambda step: not self.apart(step)):
            if step.pressed and kind_of(step.text) in vain:
                continue
            if self.telling(step) and (self._served(step) or self.apart(step)):
                best.setdefault(step.text if step.pressed else step.text.split(" ")[0], step)
        chosen = sorted(best.values(), key=lambda step: not self.private(step))
        return [
            Privilege(
                f"{'-'.join(_WORD.findall(kind_of(step.text)))[:40]}-{nth}",
                self._another(step).text,
                self.gets[step][0],
                pressed=step.pressed,
                own=self.private(step),
            )
            for nth, step in enumerate(chosen)
        ]

    def _decides(self, asked: Step) -> bool:
        """Whether one of the buttons that were shown for what was asked changes something."""
        return any(changed and self.opened[kind] == asked for kind, changed in self.effects.items())

    def _another(self, step: Step) -> Step:
        """A button like it that the admin was shown last and has not pressed: what one press does, the next one may find done."""
        shown = sorted(self.admin.buttons.items(), key=lambda pair: pair[1] or 0)
        alike = [Step(data, pressed=True) for data, _ in shown if kind_of(data) == kind_of(step.text)]
        return next((one for one in reversed(alike) if one not in self.gets), step) if step.pressed else step

    def notes(self) -> list[str]:
        """For each request of the admin's whether it is privileged, or why that is not known."""
        return [f"{kind_of(str(step))}: {self._known_of(step)}" for step in self.gets]

    def _known_of(self, step: Step) -> str:
        if not self.telling(step):
            return "it gets no reply of its own"
        return "only the admin gets it" if self.apart(step) or self._served(step) else "a stranger gets the same"


def _sent(talks: Talks, turns: Sequence[tuple[Case, ...]]) -> None:
    """Sends the attempts: those in chats of their own in volleys, the others step by step."""
    uses: dict[object, int] = defaultdict(int)
    for case in chain.from_iterable(turns):
        uses[case.chat] += 1
    alone = [steps[0] for steps in turns if len(steps) == 1 and uses[steps[0].chat] == 1]
    chats: dict[object, list[Case]] = defaultdict(list)
    for steps in turns:
        if len(steps) > 1 or uses[steps[0].chat] > 1:
            chats[steps[-1].chat].extend(steps)
    conversations = [partial(_one_by_one, talks, cases) for cases in chats.values()]
    talks.volley(alone[: len(alone) // 2])
    talks.context.target.watch.all_replied(alone[: len(alone) // 2][-_LAST:])
    talks.run(conversations)
    talks.volley(alone[len(alone) // 2 :])


def _one_by_one(talks: Talks, cases: Sequence[Case]) -> None:
    """Sends cases in their order; of those that only prepare something, the last one alone is waited for."""
    for case, following in zip_longest(cases, cases[1:]):
        if case.role is Role.SETUP and following is not None and following.role is Role.SETUP:
            talks.fire(case)
            continue
        replied = any(map(speaks, talks.send(case)))
        admin = case.role is Role.SETUP and case.user == talks.admin_chat
        if admin and not replied and not talks.context.target.watch.replied(case, _PATIENCE_S):
            return  # what the admin gets here later would be taken for the next one's


def _unanswered(talks: Talks, found: Sequence[Privilege]) -> None:
    """Asks in groups while the calls by which the target asks who somebody is there fail: who cannot be asked about has no rights."""
    context = talks.context
    methods = {call.method for call in context.target.calls() if call.method.startswith("getChat")}
    asked = [one for one in found if not one.pressed]
    if context.disturbances is None or not methods or not asked:
        return
    rules = tuple(
        Rule(
            f"{TRIALS}vocabulary-{method}",
            FAULTS.build("abort", {"status": 500}),
            Matcher(path=f"*/{method}"),
            scope=Scope.EXCHANGE,
        )
        for method in sorted(methods)
    )
    with context.disturbances.during(rules):
        talks.run(partial(_one_by_one, talks, [case]) for case in _in_groups(talks, asked))


def _in_groups(talks: Talks, asked: Sequence[Privilege]) -> Iterator[Case]:
    for nth, one in enumerate(asked):
        case = talks.case(talks.stranger(), Step(one.text), chat=-4_500_000_000 - nth)
        yield replace(
            case,
            role=Role.ATTEMPT,
            check=check_of("demoted"),
            control=one.control,
            change=Change(Mechanism.TECHNIQUE, "escalation/unanswered"),
            summary=f"a guest in a group, while the target cannot ask who that is, writes {one.text}",
        )
