"""Conversations with the target, many side by side: each step is sent when the target is done with the one before.

Rules:

- A person talks in a chat of their own, so whatever comes there belongs to what they said last.
- Conversations run in threads; what they sent is charged and recorded by the campaign's own thread, which takes it now and then.
- When the time is up, conversations end at their next step and have no result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from chaosbot.checks.canary_answered import WAITING
from chaosbot.core.case import Case, Change, Role
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.spec import Clock, TimeIsUp
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.threads import ThreadPool
from chaosbot.fuzz.usages import TEXT

T = TypeVar("T")

_WIDTH: Final = 40
_FEW: Final = 20
"""So many long conversations are held at once: of a slow target the first ones come to their end in time, and a quick one is kept busy."""
_LATE_S: Final = 0.5
"""A target whose quickest replies take as long as this is waited for, and not busy, most of the time: more of them take no longer."""
_GONE_S: Final = 0.5
"""The pause of a conversation that finds the target gone, before it ends."""
_CALM_S: Final = 30.0
"""The longest that a conversation waits while it is looked who ended the target."""
MEANT: Final = 6_300_000_000
"""About where the ids begin of people who are meant in arguments: such as people have who came lately. One of more digits may be taken for none."""
_FIRST_USER: Final = FRESH + 12 * IDS
_FIRST_GROUP: Final = -4_700_000_000


@dataclass(frozen=True)
class Step:
    """What is written, or the data of the button that is pressed.

    Args:
        text: The text or the data.
        pressed: Whether it is a button.
        ours: Whether the words are ours, and not what the target offered.
        shown: Whether they are an answer that the target showed beside its question.
        joins: Whether it is no text but one of the platform's kinds in which somebody joins their group.
    """

    text: str
    pressed: bool = False
    ours: bool = False
    shown: bool = False
    joins: bool = False

    def of(self, number: str) -> Step:
        """The step about the thing of this number, where ``{n}`` stands for one."""
        return replace(self, text=self.text.replace("{n}", number or "7")) if "{n}" in self.text else self

    @property
    def kind(self) -> str:
        """The kind of update; empty for a plain message."""
        return "callback_query" if self.pressed else self.text if self.joins else ""

    def __str__(self) -> str:
        """As people would say it."""
        return f"the button {self.text}" if self.pressed else f"joins ({self.text})" if self.joins else self.text


@dataclass
class Person:
    """Somebody who talks to the target.

    Args:
        tier: Their tier, where they are no stranger.
        user: Their id, where they are one.
        buttons: The data of the buttons that they were shown, with the number of the message below which each stands.
        told: What they were told last.
        chat: Where they said something last.
        group: The group in which they talk; None for their private chat.
        answers: Whose message they answer when they write; None where they answer none.
        number: The number of what they have made last.
        choices: How many ways there were to choose so far: who chooses a room and then an hour takes each hour in each room, not the third hour in the third.
    """

    tier: str = ""
    user: int | None = None
    buttons: dict[str, int | None] = field(default_factory=dict)
    told: str = ""
    chat: int | str | None = None
    group: int | None = None
    answers: int | None = None
    number: str = ""
    choices: int = 1


class Talks:
    """The conversations of one stage.

    Args:
        context: The campaign.
        clock: Until when they may go on.
        stage: The stage's name.
        part: What tells these conversations apart from others of the stage: their cases, people and ids are other ones.
        width: So many conversations go on at once.
        first: About where the ids of strangers begin.
    """

    def __init__(
        self,
        context: CampaignContext,
        clock: Clock,
        stage: str,
        part: str = "",
        *,
        width: int = _WIDTH,
        first: int = _FIRST_USER,
    ) -> None:
        self.context = context
        self.clock = clock
        self.stage = stage
        self.grouped = False
        """Whether strangers talk in groups, each in one of their own."""
        self._begin = "/".join(filter(None, (stage, part)))
        self._dice = context.dice.at(self._begin, context.spec.endpoint.started)
        first += self._dice.integer(0, IDS)
        self._users = count(first - first % context.apart, context.apart)
        self._names = count(1)
        self._pool = ThreadPool(width, f"fuzz-{stage}")
        self._lock = threading.Lock()
        self._done: list[CaseResult] = []
        self._stopped = False

    def stranger(self) -> Person:
        """Somebody new."""
        with self._lock:
            user = next(self._users)
        return Person(user=user, group=_FIRST_GROUP - user % 10**9 if self.grouped else None)

    def peer(self) -> Person:
        """Somebody new whom the target may name to others: with an id of no more digits than people have."""
        person = self.stranger()
        return Person(user=MEANT + (person.user or 0) % IDS, group=person.group)

    @property
    def admin_chat(self) -> int | str | None:
        """The admin's private chat, in which one conversation goes on at a time."""
        return self.case(Person(tier=self.context.platform.tiers[-1]), Step("x")).chat

    def run(self, conversations: Iterable[Callable[[], T]], *, long: bool = False) -> list[T | None]:
        """Holds conversations side by side; their results in their order, None where the time was up before the end.

        Args:
            conversations: What people say and do, in the order in which it tells most.
            long: Whether each takes many steps. A busy target would be at the end of none of them when the time is up, were all begun at once.
        """
        few = long and self.context.target.watch.quick_s < _LATE_S
        pool = ThreadPool(_FEW, f"fuzz-{self.stage}") if few else self._pool
        # A pool that is closed runs nothing any more.
        futures = [pool.submit(conversation) if not self._over() else None for conversation in conversations]
        try:
            return [_result(future) if future is not None else None for future in futures]
        finally:
            if pool is not self._pool:
                pool.close()

    def begin(self, conversation: Callable[[], object]) -> None:
        """Holds a conversation beside all others, whose end nobody waits for."""
        if not self._over():
            self._pool.submit(conversation)

    def volley(self, cases: Iterable[Case]) -> None:
        """Sends cases side by side without waiting for replies."""
        self.run(partial(self.fire, case) for case in cases)

    def fire(self, case: Case) -> None:
        """Sends a case and waits for its answer alone."""
        self._await_calm()
        self.note(self.context.target.fire(case, self.stage))

    def note(self, result: CaseResult) -> None:
        """Hands over what came back to the campaign's thread, and ends the conversation where the target is gone."""
        with self._lock:
            self._done.append(result)
        if result.outcome.fate is Fate.REFUSED:
            sleep(_GONE_S)  # the campaign waits for it as well
            raise TimeIsUp
        if result.outcome.fate is Fate.CANCELLED:
            self._stopped = True
            raise TimeIsUp

    def _await_calm(self) -> None:
        """Waits while it is looked who ended the target, or holds it up.

        Raises:
            TimeIsUp: The stage is over.
        """
        if self._over() or not self.context.target.calm.wait(_CALM_S) or self._over():
            raise TimeIsUp

    def take(self) -> list[CaseResult]:
        """What has come back since the last time."""
        with self._lock:
            done, self._done = self._done, []
        return done

    def at_least(self, seconds: float) -> None:
        """Gives the conversations that come next so long, whatever was left."""
        self.clock = Clock(max(self.clock.until, monotonic() + seconds), self.clock.should_stop)

    def stop(self) -> None:
        """Holds no more; those that are going on end at their next step."""
        self._stopped = True
        self._pool.close()

    def _over(self) -> bool:
        return self._stopped or self.clock.over()

    def case(
        self,
        person: Person,
        step: Step,
        what: str = "",
        *,
        name: str = "",
        make: Callable[[Dice, int], Any] | None = None,
        secret: str | None = None,
        **how: Any,
    ) -> Case:
        """A step as a case.

        Args:
            person: Who takes it.
            step: What they say or press.
            what: Who they are, for people; the case's summary begins with it.
            name: The case's name; numbered where there is none.
            make: Makes the update, by its dice and who takes the step (no tier's person), where the step's usual one is not meant.
            secret: What it is signed with in place of the right secret.
            how: Members of the case.

        Raises:
            TimeIsUp: The stage is over, or the platform's people do not talk.
        """
        with self._lock:
            name = name or f"{self._begin}/{next(self._names)}"
        place = self._dice.at(name)
        if make is not None and person.user is not None:
            update = make(place, person.user)
        else:
            update = self.context.platform.say(
                step.text,
                place,
                tier=person.tier,
                user=person.user,
                kind=step.kind,
                chat=person.group,
                message=person.buttons.get(step.text) if step.pressed else None,
                answers=None if step.kind else person.answers,
            )
        if update is None:
            raise TimeIsUp
        does = "presses" if step.pressed else "joins:" if step.joins else "writes"
        summary = f"{what or 'a guest'} {does} {step.text[:80]!r}"
        case = self.context.case(update, place, name, summary, secret=secret)
        change = Change(Mechanism.TECHNIQUE, self.stage)
        made = replace(case, group=self.stage, threat=Threat.USER, role=Role.SETUP, change=change)
        return replace(made, **how)

    def say(self, person: Person, step: Step, what: str = "", usual: int = 0, **how: Any) -> list[ApiCalled]:
        """Takes a step and waits until the target is done with it.

        Args:
            person: Who takes it.
            step: The step.
            what: Who they are, for people.
            usual: So many calls are all that comes of it, where that is known.
            how: Members of the case.

        Returns:
            What the target said because of it.
        """
        case = self.case(person, step, what, **how)
        person.chat = case.chat
        replies = self.send(case, usual)
        if step.joins and (welcome := self._welcomed(person)):
            # Who has only asked to join is written to where they are; the rest happens there.
            person.group, person.chat, replies = None, person.user, [*replies, *welcome]
        for call in replies:
            person.buttons.update(dict.fromkeys(call.buttons, call.message))
        person.told = "\n".join(call.text for call in replies)
        return replies

    def _welcomed(self, person: Person) -> list[ApiCalled]:
        """What somebody was told in private who has only joined a group."""
        return [call for call in self.context.target.calls() if str(call.chat) == str(person.user)]

    def answered(self, person: Person, step: Step) -> bool:
        """Whether the person gets an answer to a step, if need be the second time; what everybody is told meanwhile is none."""
        announced = self.context.target.watch.announced
        return any(
            any(speaks(call) and not announced(call) for call in self.say(person, step, usual=1)) for _ in range(2)
        )

    def held(self, person: Person) -> bool:
        """Whether the target's API has made it wait in the person's chat, whose order it does well to keep."""
        calls = (call for call in self.context.target.calls() if str(call.chat) == str(person.chat))
        return any((call.status or 0) in WAITING for call in calls)

    def send(self, case: Case, usual: int = 0) -> list[ApiCalled]:
        """Sends a case and waits until the target is done with it."""
        result, replies = self.sent(case, usual=usual)
        self.note(result)
        return replies

    def sent(self, case: Case, *, quietly: bool = True, usual: int = 0) -> tuple[CaseResult, list[ApiCalled]]:
        """Sends a case, whose result the caller must `note`.

        Args:
            case: The case.
            quietly: Whether to wait until the target is done with it.
            usual: So many calls are all that comes of it, where that is known.
        """
        self._await_calm()
        began = monotonic()
        target = self.context.target
        result = target.fire_quietly(case, self.stage, usual) if quietly else target.fire(case, self.stage)
        _, replies = self.context.recorder.tried(result)
        return result, [*replies, *target.watch.replies(case, began)]


def _result(future: Future[T]) -> T | None:
    try:
        return future.result()
    except (TimeIsUp, CancelledError):
        return None


def relays(talks: Talks) -> bool:
    """Whether the target passes on to its admin what others write."""
    cases = {case.marker: str(case.chat) for case in list(talks.context.recorder.cases.values()) if case.marker}
    admin = str(talks.admin_chat)
    return any(map(partial(_passed_on, cases, admin), talks.context.target.calls()))


def mixes(context: CampaignContext) -> bool:
    """Whether the target passes on what people write, word by word, to others who have not written it: what comes to somebody's chat may be anybody's."""
    wrote = {(str(case.chat), case.summary.partition(" writes ")[2]) for case in list(context.recorder.cases.values())}
    return any(
        call.text == TEXT and (str(call.chat), repr(TEXT)) not in wrote and call.origin is None
        for call in context.target.calls()
    )


def _passed_on(homes: Mapping[str, str], admin: str, call: ApiCalled) -> bool:
    if str(call.chat) != admin:
        return False
    return call.origin is not None or any(homes.get(mark, admin) != admin for mark in call.markers)
