"""What the checks over calls of language models share: each call with what became of it, and the update that it was made for.

A call is joined to its update by the marker in what the user said last, to its exchange and faults by the exchange's id, and to what the
user got by the marks in the answer's text, by the update's marker, or by the chat (an apology repeats neither).
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Final

from chaosbot.checks._cases import Violation, Violations
from chaosbot.checks._outbound import reached
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled, ExchangeSeen, ModelCalled
from chaosbot.core.exchange import Direction
from chaosbot.core.prices import prices_in
from chaosbot.core.verdict import Judgement, RootCause, Severity, Threat, Verdict

NO_CALLS: Final = "no language model was called (--llm mock)"
PATIENCE_S: Final = 15.0
"""So long a user waits for a word when a call has failed."""
_GENERATING: Final = frozenset({"messages", "chat", "responses", "generate"})
_UNSEEN: Final = frozenset({"llm_drop_event", "llm_double_event", "llm_split", "llm_keepalive"})
"""Faults that no caller can notice, or that harm none."""
_MOMENT: Final = attrgetter("t")


@dataclass(frozen=True)
class Call:
    """One call of a model.

    Args:
        called: The call as the mock saw it.
        seen: Its exchange; None where nothing saw it end.
        faults: The faults that acted on it.
    """

    called: ModelCalled
    seen: ExchangeSeen | None
    faults: tuple[str, ...]

    @property
    def start(self) -> float:
        """When it began."""
        return self.called.t if self.seen is None else self.seen.t - self.seen.seconds

    @property
    def end(self) -> float:
        """When its answer had come, or its caller had left."""
        return self.called.t if self.seen is None else self.seen.t

    @property
    def first_s(self) -> float | None:
        """After how many seconds its answer began; None where none came."""
        if self.seen is None or self.seen.status != 200:
            return None
        return self.seen.seconds if self.seen.began_s is None else self.seen.began_s

    @property
    def incomplete(self) -> bool:
        """Whether only a part of the answer came, so that the caller can know it."""
        return self.seen is not None and not self.seen.whole and any(name not in _UNSEEN for name in self.faults)

    @property
    def left(self) -> bool:
        """Whether its caller had left before the answer's end."""
        return self.seen is not None and self.seen.status is None and self.called.status is not None

    @property
    def refused(self) -> bool:
        """Whether an error was answered; a refusal keeps nobody waiting, whatever else does."""
        return self.called.status is not None and self.called.status >= 400

    @property
    def paid(self) -> bool:
        """Whether the model wrote an answer and it came whole."""
        return self.called.status is not None and self.called.status < 300 and not self.incomplete

    @property
    def good(self) -> bool:
        """Whether it brought an answer that a user can be given, or calls of tools that can be carried out."""
        usable = bool(self.called.text.strip()) if not self.called.tools else "llm_bad_tool" not in self.faults
        return self.paid and not self.left and self.called.stop in ("end", "tool") and usable


@dataclass
class Asked:
    """An update that calls were made for.

    Args:
        start: When it was first sent.
        chat: Its chat, as text.
        user: Its sender, as text.
        tier: The sender's tier.
        deliveries: How often it was delivered.
        answered: When the webhook had answered its first delivery; None when it did not.
        took_s: How long that took.
        load: Whether a load driver sent it.
    """

    start: float
    chat: str
    user: str
    tier: str
    deliveries: int = 0
    answered: float | None = None
    took_s: float = 0.0
    load: bool = False


class Models:
    """A run's calls of language models."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.prices = prices_in(history.start.settings if history.start is not None else {})
        self.end_s = history.last_s
        seen = {one.exchange: one for one in history.exchanges if one.direction is Direction.OUTBOUND}
        met = history.injections
        self.calls = [
            Call(
                called,
                seen.get(called.exchange) if called.exchange else None,
                tuple(one.fault for one in met.get(called.exchange, ()) if one.stage == "applied")
                if called.exchange
                else (),
            )
            for called in history.all(ModelCalled)
            if called.api in _GENERATING
        ]
        self.calls.sort(key=lambda call: call.start)

    @cached_property
    def by_marker(self) -> dict[str, list[Call]]:
        """The calls by the update's marker, in order."""
        index: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            for marker in call.called.markers[:1]:
                index[marker].append(call)
        return index

    @cached_property
    def same(self) -> list[list[Call]]:
        """Calls that ask for the same, in order."""
        index: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            index[call.called.call].append(call)
        return list(index.values())

    @cached_property
    def by_mark(self) -> dict[str, Call]:
        """The calls by the mark of their answer."""
        return {call.called.answer: call for call in self.calls if call.called.answer}

    @cached_property
    def asked(self) -> dict[str, Asked]:
        """The updates by their marker, as drivers sent them or the proxy saw them."""
        found: dict[str, Asked] = {}

        def add(
            marker: str | None, start: float, chat: object, user: object, tier: str, ok: bool, took_s: float
        ) -> None:
            if marker:
                known = found.setdefault(marker, Asked(start, str(chat), str(user), tier))
                known.deliveries += 1
                if known.answered is None and ok:
                    known.answered, known.took_s = start + took_s, took_s

        for request in self._history.requests:
            outcome = request.outcome
            add(request.marker, request.started, request.chat, request.user, request.tier, outcome.ok, outcome.total_s)
            if request.marker:
                found[request.marker].load = True
        for tried in self._history.cases:
            outcome = tried.outcome
            add(tried.marker, tried.sent or tried.t, tried.chat, tried.user, "", outcome.ok, outcome.total_s)
        inbound = [one for one in self._history.exchanges if one.direction is Direction.INBOUND and one.marker]
        times: dict[str, int] = defaultdict(int)
        for one in inbound:
            times[one.marker or ""] += 1
            if one.marker not in found:
                ok = one.status is not None and 200 <= one.status < 300
                add(one.marker, one.t - one.seconds, one.chat, one.user, "", ok, one.seconds)
        for marker, count in times.items():
            found[marker].deliveries = max(found[marker].deliveries, count)
        return found

    def replies(self, marker: str, since: float = 0.0) -> list[ApiCalled]:
        """What the user of an update saw from a moment on: what repeats its marker, and what repeats none in its chat."""
        asked = self.asked.get(marker)
        found = [call for call in self._history.calls_by_marker.get(marker, ()) if call.t >= since and reached(call)]
        if asked is not None:
            calls = self._unmarked[asked.chat]
            found += calls[bisect_left(calls, max(since, asked.start), key=_MOMENT) :]
        return found

    @cached_property
    def _unmarked(self) -> dict[str, list[ApiCalled]]:
        """What users saw that repeats no marker, by chat, in order."""
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for chat, calls in self._history.calls_by_chat.items():
            index[chat] = sorted((call for call in calls if not call.markers and reached(call)), key=_MOMENT)
        return index

    @cached_property
    def said(self) -> dict[str, list[ApiCalled]]:
        """The calls to users by the marks of the answers that they hold, whatever came of them."""
        index: dict[str, list[ApiCalled]] = defaultdict(list)
        for call in self._history.all(ApiCalled):
            for mark in dict.fromkeys(mark[4:] for mark in call.answers):
                index[mark].append(call)
        return index

    def shown(self, mark: str) -> list[ApiCalled]:
        """The messages with an answer, as they stood in the end, in the order in which they came."""
        last: dict[tuple[object, object], ApiCalled] = {}
        for number, call in enumerate(call for call in self.said.get(mark, ()) if reached(call)):
            last[call.chat, call.message if call.message is not None else -number] = call
        return list(last.values())


@dataclass(frozen=True)
class Broken:
    """A call, or an update, that broke the rule of a check."""

    cause: RootCause
    title: str
    severity: Severity
    case: str
    summary: str
    threat: Threat = Threat.NETWORK


class ModelCheck(Check):
    """A check that goes through a run's calls of language models."""

    nothing: str = "no call of a language model met what this is about"

    @abstractmethod
    def looks(self, models: Models) -> Iterator[Broken | None]:
        """What was looked at: each time None, or how it broke the rule."""

    def judge(self, history: History) -> Judgement:
        """Counts what was looked at; violations with one cause are one finding."""
        if not history.all(ModelCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NO_CALLS)
        models = history.worked_out(Models)
        violations = Violations(self.name)
        for broken in self.looks(models):
            violations.judged += 1
            if broken is not None:
                one = Violation(
                    broken.cause, broken.title, broken.severity, broken.threat, broken.summary, stateful=True
                )
                violations.add(one, broken.case, "models")
        return violations.judgement(nothing=self.nothing)
