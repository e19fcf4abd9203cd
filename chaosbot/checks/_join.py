"""Joins cases with the calls that the target made because of them, whether or not the target repeats what it is told.

A call belongs to a case by the strongest evidence that there is, in this order:

1. the exchange: the call stands in the webhook's own answer to the case;
2. the chat, where it belongs to this case (and its redeliveries) alone, also that from which a message is passed on;
3. the message that the call quotes or passes on;
4. the button press that it answers (callback id);
5. the message that it edits: the one below which the button stood, or one that an earlier call of the case had made;
6. the chat, where cases were sent one at a time and each was awaited until the target was quiet (`Quiet`);
7. the marker that its text repeats.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event, Injected
from chaosbot.core.observation import Quiet, observed

SHRINKING: Final = "shrink"
"""The stage of attempts at a smaller case: they show what is known already."""
QUIET_S: Final = 8.0
"""The longest, in seconds, that a scenario is waited for after its last step, until the target is quiet."""
_AROUND_S: Final = 3.0
"""An announcement comes to all who are told within so many seconds of each other."""
SEVERAL: Final = 3
"""What came unasked to so many chats is told to everybody."""


class Join:
    """Finds the calls that a case made the target do.

    Args:
        history: The run, or one part of it.
    """

    def __init__(self, history: History) -> None:
        self._by_marker = history.calls_by_marker
        self._by_chat: dict[str, list[ApiCalled]] = defaultdict(list)
        self._by_exchange: dict[str, list[ApiCalled]] = defaultdict(list)
        self._by_callback: dict[str, list[ApiCalled]] = defaultdict(list)
        shrinking: dict[str, float] = {}
        for tried in history.cases:
            if tried.stage == SHRINKING and tried.chat is not None:
                shrinking.setdefault(str(tried.chat), tried.sent)
        for call in history.all(ApiCalled):
            if call.chat is not None and call.t >= shrinking.get(str(call.chat), float("inf")):
                continue  # an attempt at a smaller case uses the chat from here on
            if call.in_answer:
                self._by_exchange[call.exchange].append(call)
            else:
                for chat in chats_of(call):
                    self._by_chat[chat].append(call)
            if call.callback:
                self._by_callback[call.callback].append(call)
        self._in_chat: dict[str, list[CaseTried]] = defaultdict(list)
        for tried in history.cases:
            if tried.chat is not None and tried.stage != SHRINKING:
                self._in_chat[str(tried.chat)].append(tried)
        deliveries = {chat: {_delivery(one) for one in cases} for chat, cases in self._in_chat.items()}
        self._own = {chat for chat, found in deliveries.items() if len(found) == 1}
        for cases in self._in_chat.values():
            cases.sort(key=lambda one: one.sent)
        self._starts = {chat: [one.sent for one in cases] for chat, cases in self._in_chat.items()}
        # The admin's chat has thousands of cases and of calls: each case looks its own up.
        self._deliveries: dict[tuple[str, object], set[object]] = defaultdict(set)
        for chat, cases in self._in_chat.items():
            for one in cases:
                self._deliveries[chat, one.message].add(_delivery(one))
        self._times: dict[str, list[float]] = {}
        self._quoting: dict[tuple[str, object], list[ApiCalled]] = defaultdict(list)
        self._editing: dict[tuple[str, object], list[ApiCalled]] = defaultdict(list)
        for chat, calls in self._by_chat.items():
            calls.sort(key=lambda call: call.t)
            self._times[chat] = [call.t for call in calls]
            for call in calls:
                for message in {call.reply_to, call.original}:
                    self._quoting[chat, message].append(call)
                if call.method.startswith(("edit", "delete")):
                    self._editing[chat, call.message].append(call)
        self._found: dict[tuple[str, float, str], list[ApiCalled]] = {}

    @classmethod
    def of(cls, history: History) -> Join:
        """The join of a history; all checks share one."""
        return history.worked_out(cls)

    def calls(self, tried: CaseTried) -> list[ApiCalled]:
        """The calls that belong to a case, in the order in which they were made."""
        key = (tried.case, tried.sent, tried.exchange)
        if key not in self._found:
            self._found[key] = self._find(tried)
        return self._found[key]

    def _find(self, tried: CaseTried) -> list[ApiCalled]:
        found: dict[int, ApiCalled] = {}

        def add(calls: list[ApiCalled]) -> None:
            found.update((id(call), call) for call in calls)

        add(self._by_exchange.get(tried.exchange, []) if tried.exchange else [])
        if tried.callback:
            add(self._by_callback.get(tried.callback, []))
        if tried.chat is not None:
            add(self._placed(tried, str(tried.chat)))
            add(self._edits(tried, {call.message for call in found.values()}))
        if tried.marker:
            add(self._by_marker.get(tried.marker, []))
        return sorted(found.values(), key=lambda call: call.t)

    def _placed(self, tried: CaseTried, chat: str) -> list[ApiCalled]:
        """The calls in the case's chat that are its own."""
        calls = self._by_chat.get(chat, [])
        if chat in self._own:
            return calls
        alone = tried.message is not None and len(self._deliveries[chat, tried.message]) == 1
        found = [*self._quoting[chat, tried.message]] if alone else []
        if observed(tried.observations, Quiet) is not None:
            # A call that quotes another message, or repeats another case's marker, belongs there.
            found += [
                call
                for call in self._between(chat, tried.sent, self._until(tried))
                if call.reply_to in (None, tried.message)
                and call.original in (None, tried.message)
                and (not call.markers or tried.marker in call.markers)
            ]
        return found

    def _between(self, chat: str, since: float, until: float) -> list[ApiCalled]:
        """The calls in a chat from one moment on, before another one."""
        times = self._times.get(chat, [])
        return self._by_chat.get(chat, [])[bisect_left(times, since) : bisect_left(times, until)]

    def _until(self, tried: CaseTried) -> float:
        """When the next case in the chat left."""
        starts = self._starts[str(tried.chat)]
        following = bisect_right(starts, tried.sent)
        return starts[following] if following < len(starts) else float("inf")

    def _edits(self, tried: CaseTried, made: set[int | None]) -> list[ApiCalled]:
        """The edits of messages that the case made, or below which it pressed a button."""
        # Where each case was awaited, one message may be edited for all of them in turn.
        until = self._until(tried) if observed(tried.observations, Quiet) is not None else float("inf")
        known = {number for number in made if number is not None}
        if tried.callback and isinstance(tried.message, int):
            known.add(tried.message)
        return [
            call
            for number in sorted(known)
            for call in self._editing.get((str(tried.chat), number), ())
            if tried.sent <= call.t < until
        ]


class Announced:
    """Tells what comes to several chats in which nobody has asked for anything: no answer to what somebody says meanwhile.

    Args:
        history: The run.
    """

    def __init__(self, history: History) -> None:
        asked: dict[str, list[float]] = defaultdict(list)
        for sent, chat in sorted((one.sent, str(one.chat)) for one in history.cases if one.chat is not None):
            asked[chat].append(sent)
        self._unasked: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for call in history.all(ApiCalled):
            if call.text and call.chat is not None and not call.in_answer:
                before = asked[str(call.chat)]
                nth = bisect_right(before, call.t)
                if not nth or call.t - before[nth - 1] >= QUIET_S:
                    self._unasked[call.text].append((call.t, str(call.chat)))

    def __call__(self, call: ApiCalled) -> bool:
        """Whether a call belongs to an announcement."""
        near = {chat for at, chat in self._unasked.get(call.text, ()) if abs(at - call.t) <= _AROUND_S}
        return len(near - {str(call.chat)}) >= SEVERAL


def chats_of(call: ApiCalled) -> set[str]:
    """The chats that a call has to do with: the one that it goes to, and the one from which it passes a message on."""
    return {str(chat) for chat in (call.chat, call.origin) if chat is not None}


def _delivery(tried: CaseTried) -> object:
    """What redeliveries of one update have in common."""
    return tried.update_id if tried.update_id is not None else tried.marker or tried.exchange or tried.case


def parts(history: History) -> tuple[History, ...]:
    """The history in the parts that are judged by themselves: the cases that stand alone, and each scenario.

    Scenarios are sent one after the other, each awaited until the target is quiet, so a call belongs to the scenario during which it
    was made. Chats that several scenarios and cases share therefore do not mix.
    """
    return history.worked_out(_divided)


def _divided(history: History) -> tuple[History, ...]:
    return tuple(_parts(history))


def _parts(history: History) -> Iterator[History]:
    cases: dict[str, list[CaseTried]] = defaultdict(list)
    for tried in history.cases:
        cases[tried.scenario].append(tried)
    alone = cases.pop("", [])
    if len(cases) + bool(alone) <= 1:
        yield history
        return
    spans = {
        name: [min(one.sent for one in steps), max(one.t for one in steps) + QUIET_S] for name, steps in cases.items()
    }
    order = sorted(spans, key=spans.__getitem__)
    for name, following in pairwise(order):
        spans[name][1] = min(spans[name][1], spans[following][0])
    others: list[Event] = [*history.all(CampaignStarted), *history.all(Injected)]
    during: dict[str, list[ApiCalled]] = defaultdict(list)
    rest: list[ApiCalled] = []
    exchanges = {one.exchange: name for name, steps in cases.items() for one in steps if one.exchange}
    chats = {name: {str(one.chat) for one in steps} for name, steps in cases.items()}
    # The answer to a press names no chat: it is its own case's, whoever speaks meanwhile.
    pressed = {one.callback: one.scenario for one in history.cases if one.callback}
    starts = [spans[name][0] for name in order]
    for call in history.all(ApiCalled):
        owner = pressed.get(call.callback)
        name = exchanges.get(call.exchange, "") or owner or order[max(0, bisect_right(starts, call.t) - 1)]
        here = not chats_of(call) or bool(chats_of(call) & chats[name])
        inside = bool(owner) if owner is not None else here and spans[name][0] <= call.t < spans[name][1]
        if inside:
            during[name].append(call)
        if not inside or call.markers:
            rest.append(call)
    if alone:
        yield History.of([*others, *alone, *rest])
    for name in order:
        yield History.of([*others, *cases[name], *during[name]])
