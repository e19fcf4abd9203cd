"""What every stage of a campaign works with. A stage is a function of a `CampaignContext` and a `Clock`, in a file of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, Final

from chaosbot.core.case import Case, Expect
from chaosbot.core.dice import Dice
from chaosbot.core.event import TRIALS, ApiCalled
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.plan import Matcher, Rule, Scope
from chaosbot.core.platform import Platform
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.mutations import Product, as_case
from chaosbot.fuzz.recorder import CaseRecorder, FindingStore
from chaosbot.fuzz.shared_chats import SharedChats
from chaosbot.fuzz.slow_cases import SlowCases
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.target import CampaignTarget

if TYPE_CHECKING:
    from chaosbot.fuzz.exploring import Way
    from chaosbot.fuzz.making import Recipe
    from chaosbot.fuzz.numbered import Numbered
    from chaosbot.fuzz.state import StateTrials

_UNNAMED: Final = frozenset({"start", "help"})
"""What people write whether a target names it or not."""


class Disturbances:
    """The rules that are in force on the target's outbound calls, whichever stages and trials put them there. Thread-safe.

    Args:
        put: Puts rules in force, in place of those before.
    """

    def __init__(self, put: Callable[[tuple[Rule, ...]], None]) -> None:
        self._put = put
        self._rules: dict[str, Rule] = {}
        self._lock = threading.Lock()

    @contextmanager
    def during(self, rules: Sequence[Rule]) -> Iterator[None]:
        """While entered, these rules are in force beside all others; their names must be nobody else's."""
        self._change({rule.name: rule for rule in rules}, ())
        try:
            yield
        finally:
            self._change({}, [rule.name for rule in rules])

    def slowed(
        self, chats: Iterable[str], seconds: float, first: int | None = None, presses: Iterable[str] = ()
    ) -> AbstractContextManager[None]:
        """While entered, calls to these chats and answers to these presses, or so many of each, take so long, as calls do over a network."""
        fault = FAULTS.build("delay", {"time": f"{seconds}s"})
        places = [("chat_id", chat) for chat in chats] + [("callback_query_id", press) for press in presses]
        return self.during(
            [
                Rule(
                    f"{TRIALS}slowed-{value}",
                    fault,
                    Matcher(direction=Direction.OUTBOUND, body=((place, value),)),
                    scope=Scope.EXCHANGE,
                    first=first,
                )
                for place, value in places
            ]
        )

    def _change(self, more: dict[str, Rule], less: Sequence[str]) -> None:
        with self._lock:
            self._rules.update(more)
            for name in less:
                self._rules.pop(name, None)
            self._put(tuple(self._rules.values()))


@dataclass
class CampaignContext:
    """Everything that a stage works with.

    Args:
        spec: What the campaign was told.
        platform: How the target is spoken to.
        target: Sends cases.
        attribution: Charges deaths, stalls and lost health requests to cases.
        recorder: Turns results into events.
        store: What seems to be found so far.
        slow: Cases that take their time, beside everything else.
        shared: Cases in chats that they share, one at a time, beside everything else.
        show: Told the stage and the number of planned cases after each volley.
        disturbances: What the target's outbound calls meet; None where they cannot be disturbed.
        ways: Where the target's own words lead, as far as that is known.
        recipes: How people make things of their own, as far as that is known.
        recipes_known: Set when nobody looks for more of them.
        looked: Set when what belongs to people was looked at, which bears only few others beside it.
        group_ways: Where they lead in a group, as far as that is somewhere else.
        orders: What the admin writes in groups in answer to a member and no member gets; ``{member}`` stands for that one's id.
        privileges: What the admin alone gets, by what the admin writes for it.
        announcers: The admin's commands, without slash, by which the target writes to everybody: each time as many calls as there are people.
        usual: How many calls come of each way that was gone (whether in a group, and its steps), so that who goes on need not wait for more.
        choices: By kind of choice (an hour in a room) how often who explores may still make one; infinity where another one can choose the same.
        numbered: The commands by whose number one of several things is taken, by what they have in common (``/table #``).
        peer: The id of somebody who has said something plain, for what people do to each other; None where nobody has.
        explored: Whether ways were explored after the vocabulary stage had found none.
        later: Goes on with what a stage had no time for, beside the stages that disturb nobody by it.
        afterwards: What is still to be looked at when all stages are over, by whom a stage has left something under way.
        built: The catalogue's cases, made while another stage waits for the most part; None where they were not.
        product: What the mutations stage sends, made while another stage waits for the most part; None where it was not.
        trials: Who tries the target's memory beside other stages; None where nobody does.
        until: When the time of the stages is up (monotonic seconds).
        held_until: When a call that gets no answer has been held for long enough to be judged (monotonic seconds); 0 where none is.
    """

    spec: CampaignSpec
    platform: Platform
    target: CampaignTarget
    attribution: Attribution
    recorder: CaseRecorder
    store: FindingStore
    slow: SlowCases
    shared: SharedChats
    show: Callable[[str, int], None]
    disturbances: Disturbances | None = None
    ways: list[Way] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    recipes_known: threading.Event = field(default_factory=threading.Event)
    looked: threading.Event = field(default_factory=threading.Event)
    group_ways: list[Way] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    privileges: dict[str, tuple[ApiCalled, ...]] = field(default_factory=dict)
    announcers: frozenset[str] = frozenset()
    usual: dict[tuple[object, ...], int] = field(default_factory=dict)
    choices: dict[str, float] = field(default_factory=dict)
    numbered: dict[str, Numbered] = field(default_factory=dict)
    peer: int | None = None
    explored: bool = False
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    built: Future[tuple[Case, ...]] | None = None
    product: Future[Product] | None = None
    trials: StateTrials | None = None
    until: float = 0.0
    held_until: float = 0.0
    later: Callable[[], None] | None = None

    def is_scarce(self, kind: str) -> bool:
        """Whether what is chosen so is had once only, as far as that is known."""
        return self.choices.get(kind, inf) < inf

    @property
    def dice(self) -> Dice:
        """The campaign's chance."""
        return Dice(self.spec.seed).at("fuzz")

    @property
    def apart(self) -> int:
        """How far apart the ids of new people are, so that they differ in nothing else: what is said to them differs by what they did."""
        return self.platform.alike or 1

    def announces(self, command: str) -> bool:
        """Whether the target tells everybody what the admin says with this command, with its slash or without."""
        return command.removeprefix("/") in self.announcers

    def silent(self) -> AbstractContextManager[None]:
        """While entered, who tries the target's memory keeps still: the target has enough to do."""
        return self.trials.silent() if self.trials is not None else nullcontext()

    def resume(self) -> None:
        """Goes on with what a stage had no time for."""
        later, self.later = self.later, None
        if later is not None:
            later()

    def case(
        self, update: Any, place: Dice, name: str, summary: str, expect: Expect | None = None, secret: str | None = None
    ) -> Case:
        """An update as a case.

        Args:
            update: The update, as it is sent.
            place: Its random stream, from which it was made.
            name: The case's name.
            summary: What is special about it.
            expect: What a correct target answers; left out, that it acknowledges.
            secret: What it is signed with in place of the right secret.
        """
        endpoint = self.spec.endpoint if secret is None else replace(self.spec.endpoint, secret=secret)
        return as_case(self.platform, endpoint, update, place, name, summary, expect or Expect())

    def learned(self, which: str) -> list[str]:
        """The commands that the vocabulary stage noted, without slash: all ``commands``, or those that only the ``admin`` is told of."""
        notes = [one for one in list(self.recorder.notes) if one.area == "vocabulary"]
        told = {command for note in notes for command in note.data.get("told", ()) if which == "admin"}
        return [str(command) for note in notes for command in note.data.get(which, ()) if command not in told]

    def offers(self, *commands: str) -> bool:
        """Whether the platform's example commands may be the target's too: a target that names its own has no others."""
        learned = self.learned("commands")
        known = {*learned, *_UNNAMED} if learned else self.platform.commands
        return all(name in self.platform.commands and name in known for name in commands)

    def kind_of(self, case: Case) -> str | None:
        """The kind of update that a case carries; None where it is none that the platform knows."""
        return self.recorder.facts_of(case).kind
