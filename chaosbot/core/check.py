"""What a check is: a rule over the events of a run, and the history that it reads them from.

Rules:

- `Check.judge` is pure: the same history gives the same judgement, live or refolded from a journal.
- A check that found nothing to look at is INCONCLUSIVE or says `judged=0`; it never passes by absence.
- A check that raises is recorded as INCONCLUSIVE with the reason by whoever runs it (`judge_safely`), never as a pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, Final, TypeVar

from chaosbot.core.event import (
    ApiCalled,
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
from chaosbot.core.registry import Registry, name_of
from chaosbot.core.verdict import Judgement, Verdict

V = TypeVar("V")


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
    def calls_by_chat(self) -> dict[str, list[ApiCalled]]:
        """The bot's calls by the chat that they went to."""
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for event in self.all(ApiCalled):
            index[str(event.chat)].append(event)
        return index

    @cached_property
    def calls_by_marker(self) -> dict[str, list[ApiCalled]]:
        """The bot's calls by each marker that their text carries."""
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for event in self.all(ApiCalled):
            for marker in event.markers:
                index[marker].append(event)
        return index

    @property
    def cases(self) -> Sequence[CaseTried]:
        """The fuzzer's cases."""
        return self.all(CaseTried)

    @property
    def requests(self) -> Sequence[RequestDone]:
        """The load driver's requests, where they were recorded one by one."""
        return self.all(RequestDone)

    @property
    def exchanges(self) -> Sequence[ExchangeSeen]:
        """What proxy and mock saw."""
        return self.all(ExchangeSeen)

    @property
    def frames(self) -> Sequence[IntervalMeasured]:
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
    def judgements(self) -> tuple[Judgement, ...]:
        """What checks said while the run was going on."""
        return tuple(event.judgement for event in self.all(Judged))

    @property
    def troubles(self) -> Sequence[Trouble]:
        """What broke in chaosbot itself."""
        return self.all(Trouble)


class Check(ABC):
    """A rule that a resilient target keeps.

    `threat` and `severity` are per finding; `live` says whether the fuzz engine judges it case by case (and shrinks by it)
    while the campaign runs, instead of over the history at the end.
    """

    live: ClassVar[bool] = False
    implied: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Buckets that follow from another one: where both are found there is one root cause, the other one."""

    @property
    def name(self) -> str:
        """The check's name: its file's."""
        return name_of(type(self))

    @abstractmethod
    def judge(self, history: History) -> Judgement:
        """Looks at a whole run."""

    def judge_safely(self, history: History) -> Judgement:
        """Like `judge`, but a check that crashes is INCONCLUSIVE with the reason."""
        try:
            return self.judge(history)
        except Exception as error:  # noqa: BLE001 - a crashed check must not look like a pass, nor end the report
            reason = f"the check crashed: {type(error).__name__}: {error}"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason, crashed=True)


CHECKS: Final[Registry[Check]] = Registry("chaosbot.checks", Check, "check")
