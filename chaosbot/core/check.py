"""What a check is: a rule over the events of a run, and the history that it reads them from.

Rules:

- `Check.judge` is pure: the same history gives the same judgement, live or refolded from a journal.
- A check that found nothing to look at is INCONCLUSIVE or says `judged=0`; it never passes by absence.
- A check that raises is recorded as INCONCLUSIVE with the reason (`judge_safely`), never as a pass.
- What an engine must know of a check is an attribute or a method here; engines name no check.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final, TypeVar

from chaosbot.core.case import Role
from chaosbot.core.event import (
    ApiCalled,
    CampaignStarted,
    CaseTried,
    Event,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Judged,
    PhaseChanged,
    ProbeSeen,
    RequestDone,
    RunEnded,
    RunStarted,
    Trouble,
)
from chaosbot.core.exchange import Direction
from chaosbot.core.registry import Registry, name_of
from chaosbot.core.verdict import Finding, Judgement, Verdict

R = TypeVar("R")
V = TypeVar("V")

ACCEPTED: Final = "accept_status"
"""The key of a run's settings with the statuses that count as acknowledged."""
ALONE_S: Final = 15.0
"""So long before and after it nothing else may have been sent in a request's chat, or whose reply a reply is cannot be told."""


@dataclass(frozen=True)
class History:
    """All events of a run in order, with the indexes that checks join on.

    Args:
        events: Everything that happened. They may be read from disk each time that they are walked through, so a fold walks once
            and keeps counts rather than events.
        torn: Whether the journal broke off.
        damage: What else it lacks; like `torn` it makes the run inconclusive.
        by_type: The events of each type, where what made the history knows them already.
    """

    events: Collection[Event]
    torn: bool = field(default=False)
    damage: tuple[str, ...] = ()
    by_type: Mapping[type, Sequence[Event]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, events: Iterable[Event], *, torn: bool = False) -> History:
        """Builds the history of a run; `torn` says that the journal broke off."""
        return cls(tuple(events), torn)

    def all(self, kind: type[V]) -> Sequence[V]:
        """The events of one type, in order."""
        found: Sequence[V] = self._by_type.get(kind, ())  # type: ignore[assignment]
        return found

    @cached_property
    def _by_type(self) -> Mapping[type, Sequence[Event]]:
        if self.by_type is not None:
            return self.by_type
        index: dict[type, list[Event]] = defaultdict(list)
        for event in self.events:
            index[type(event)].append(event)
        return {kind: tuple(found) for kind, found in index.items()}

    @cached_property
    def _worked_out(self) -> dict[object, Any]:
        return {}

    def worked_out(self, make: Callable[[History], R]) -> R:
        """What a function makes of this history, made once whichever checks ask for it."""
        if make not in self._worked_out:
            self._worked_out[make] = make(self)
        made: R = self._worked_out[make]
        return made

    @cached_property
    def last_s(self) -> float:
        """When the last event happened; 0 in an empty history."""
        return max((event.t for event in self.events), default=0.0)

    def exchanges_with_faults(self) -> Iterator[tuple[ExchangeSeen | None, Sequence[Injected]]]:
        """Each exchange with the faults that met it, and at last, with None, the faults of exchanges that nothing saw end.

        One walk over the events, which keeps only the faults of exchanges that have not ended yet.
        """
        waiting: dict[str, list[Injected]] = {}
        late: dict[str, list[Injected]] = {}
        if self.all(Injected):
            # An exchange's faults come before its end, but for a few that act on the connection later.
            for event in self.events:
                if isinstance(event, Injected):
                    late.setdefault(event.exchange, []).append(event)
                elif isinstance(event, ExchangeSeen):
                    late.pop(event.exchange, None)
        for event in self.events if late or self.all(Injected) else self.exchanges:
            if isinstance(event, Injected):
                waiting.setdefault(event.exchange, []).append(event)
            elif isinstance(event, ExchangeSeen):
                met = waiting.pop(event.exchange, [])
                yield event, [*met, *late.pop(event.exchange, ())] if late else met
        for faults in late.values():
            yield None, faults

    @property
    def start(self) -> RunStarted | None:
        """The run's first event; None in a journal that lost it."""
        return next(iter(self.all(RunStarted)), None)

    @cached_property
    def accepted_statuses(self) -> frozenset[int]:
        """The statuses beside 2xx that the run's person calls right (`--accept-status`)."""
        named = self.start.settings.get(ACCEPTED) if self.start is not None else None
        return frozenset(one for one in named if type(one) is int) if isinstance(named, (list, tuple)) else frozenset()

    @property
    def end(self) -> RunEnded | None:
        """The run's last event; None when it never ended."""
        return next(iter(self.all(RunEnded)), None)

    @cached_property
    def injections(self) -> dict[str, list[Injected]]:
        """Faults that met an exchange, by exchange id."""
        index: dict[str, list[Injected]] = defaultdict(list)
        for event in self.all(Injected):
            index[event.exchange].append(event)
        return index

    @cached_property
    def met_inbound(self) -> set[str]:
        """The exchanges of what was sent to the target that a fault met, so that it may have got something else than was sent."""
        return {
            exchange
            for exchange, faults in self.injections.items()
            if any(fault.direction is Direction.INBOUND and fault.stage != "missed" for fault in faults)
        }

    @cached_property
    def calls_by_chat(self) -> dict[str, list[ApiCalled]]:
        """The bot's calls by the chat that they went to."""
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for event in self.all(ApiCalled):
            index[str(event.chat)].append(event)
        return index

    @cached_property
    def calls_by_marker(self) -> dict[str, list[ApiCalled]]:
        """The bot's calls by each marker that their text carries; where it repeats none, by the chat that a request has to itself."""
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for event in self.all(ApiCalled):
            for marker in event.markers:
                index[marker].append(event)
        return index or self._calls_of_lone_requests

    @cached_property
    def repeats_markers(self) -> bool:
        """Whether the bot repeats what it is told, so that any of its calls can be joined to a request."""
        return any(call.markers for call in self.all(ApiCalled))

    def joins(self, request: RequestDone) -> bool:
        """Whether the calls that a request of a load run caused can be told from those of others."""
        if not self.all(ApiCalled) or self.repeats_markers:
            return True
        return request.marker in self._calls_of_lone_requests

    @cached_property
    def _calls_of_lone_requests(self) -> dict[str, list[ApiCalled]]:
        """The calls in its chat by the marker of each request (with its redeliveries) near which nothing else was sent there."""
        by_chat: dict[str, list[RequestDone]] = defaultdict(list)
        for request in self.requests:
            if request.chat is not None:
                by_chat[str(request.chat)].append(request)
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for chat, requests in by_chat.items():
            first: dict[str, float] = {}
            last: dict[str, float] = {}
            for request in sorted(requests, key=lambda one: one.started):
                one = request.marker or request.exchange  # a press carries no marker, and is answered in the same chat
                first.setdefault(one, request.started)
                last[one] = request.started
            before = -math.inf
            for (marker, start), after in zip(first.items(), [*first.values(), math.inf][1:], strict=True):
                if start - before >= ALONE_S and after - last[marker] >= ALONE_S:
                    index[marker] = [call for call in self.calls_by_chat.get(chat, ()) if start <= call.t < after]
                before = max(before, last[marker])
        return index

    @property
    def cases(self) -> Sequence[CaseTried]:
        """The fuzzer's cases."""
        return self.all(CaseTried)

    def case(self, name: str) -> CaseTried | None:
        """The first case of this name."""
        return self._cases_by_name.get(name)

    @cached_property
    def _cases_by_name(self) -> dict[str, CaseTried]:
        found: dict[str, CaseTried] = {}
        for tried in self.cases:  # forwards: a history that is read from a file can only be walked
            found.setdefault(tried.case, tried)
        return found

    @property
    def requests(self) -> Sequence[RequestDone]:
        """The load driver's requests, where they were recorded one by one."""
        return self.all(RequestDone)

    @property
    def exchanges(self) -> Sequence[ExchangeSeen]:
        """What proxy and mock saw."""
        return self.all(ExchangeSeen)

    @property
    def intervals(self) -> Sequence[IntervalMeasured]:
        """The seconds of load."""
        return self.all(IntervalMeasured)

    @property
    def probes(self) -> Sequence[ProbeSeen]:
        """The looks at the target from outside."""
        return self.all(ProbeSeen)

    @property
    def phases(self) -> Sequence[PhaseChanged]:
        """The phases, in order."""
        return self.all(PhaseChanged)

    @property
    def campaign(self) -> CampaignStarted | None:
        """What the fuzz campaign could see; of several, the last one's. None when there was none."""
        return next(iter(self.all(CampaignStarted)[-1:]), None)

    @cached_property
    def reproductions(self) -> dict[str, Finding]:
        """By finding id, the smallest case that a campaign worked out, with the lines that show it again."""
        return {one.id: one for event in self.all(Judged) for one in event.judgement.findings}

    @cached_property
    def accepted(self) -> frozenset[str]:
        """Ids of findings that are accepted (the campaign's baseline)."""
        return frozenset(one for event in self.all(CampaignStarted) for one in event.accepted)

    @property
    def troubles(self) -> Sequence[Trouble]:
        """What broke in chaosbot itself."""
        return self.all(Trouble)


Steps = tuple[tuple[str, ...], ...]
"""Names of cases to send, step by step; the cases of one step leave at the same time."""


class Check(ABC):
    """A rule that a resilient target keeps. Threat and severity are each finding's."""

    live: ClassVar[bool] = False
    """Whether a fuzz campaign asks for it."""
    needs_calls: ClassVar[bool] = False
    """Whether it looks at what the target called or replied, so that nothing can be judged where that is not seen."""
    judges_scenarios: ClassVar[bool] = False
    """Whether it is asked as soon as a scenario of deliveries is over, so that the scenario can be shrunk."""
    needs_isolation: ClassVar[bool] = False
    """Whether its cases are sent alone, with the target's memory measured before and after."""
    shrinkable: ClassVar[bool] = True
    """Whether a case may be sent many more times to make it smaller; not where each attempt costs a restart or a stall."""
    on_demand: ClassVar[bool] = False
    """Whether it judges only runs that name it: it is about a promise that not every target makes."""
    awaits_replies: ClassVar[bool] = False
    """Whether the replies to its cases are waited for at the end of a campaign, however long they take."""

    @property
    def name(self) -> str:
        """The check's name: its file's."""
        return name_of(type(self))

    @abstractmethod
    def judge(self, history: History) -> Judgement:
        """Looks at a whole run."""

    def reproducer(self, history: History, case: str) -> Steps:
        """The cases that show a finding of this check again, from the case that the finding names.

        By default that case alone; where it is compared with a control, the control and its background before it.
        """
        tried = history.case(case)
        if tried is None or not tried.control:
            return ((case,),)
        control = [one.case for one in history.cases if one.case == tried.control][:1]
        background = [one.case for one in history.cases if one.role is Role.BACKGROUND][:1]
        plain = [
            one.case
            for one in history.cases
            if one.role is Role.PLAIN and one.control == tried.control and one.case != case
        ][:1]
        return tuple((name,) for name in (*control, *background, *plain, case))

    def judge_safely(self, history: History) -> Judgement:
        """Like `judge`, without the findings that are accepted; a check that crashes is INCONCLUSIVE with the reason."""
        try:
            judgement = self.judge(history)
        except Exception as error:  # noqa: BLE001 - a crashed check must not look like a pass, nor end the report
            reason = f"the check crashed: {type(error).__name__}: {error}"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason, crashed=True)
        loud = tuple(finding for finding in judgement.findings if finding.id not in history.accepted)
        if len(loud) == len(judgement.findings):
            return judgement
        rest = Verdict.worst(one.verdict for one in judgement.assertions) if judgement.assertions else Verdict.PASS
        quiet = not loud and judgement.verdict is Verdict.FAIL
        return replace(judgement, findings=loud, verdict=rest if quiet else judgement.verdict)


CHECKS: Final[Registry[Check]] = Registry("chaosbot.checks", Check, "check")
