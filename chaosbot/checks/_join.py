"""Joins cases with the calls that the target made because of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event, Injected

_FEW_OWNERS: Final = 2
QUIET_S: Final = 3.0
"""After its last step a scenario is waited for this long, in seconds, until the target is quiet."""


class Join:
    """Finds the calls that a case made the target do.

    By the marker first; by the chat where that is the case's own (or, when nothing carries the marker, shared with one other case
    only).

    Args:
        history: The run, or one scenario of it.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        owners: dict[str, set[str]] = defaultdict(set)
        for tried in history.cases:
            if tried.chat is not None:
                owners[str(tried.chat)].add(tried.marker)
        self._own = {chat for chat, markers in owners.items() if len(markers) == 1}
        self._narrow = {chat for chat, markers in owners.items() if len(markers) <= _FEW_OWNERS}

    def calls(self, tried: CaseTried) -> list[ApiCalled]:
        """The calls that belong to a case."""
        marked = self._history.calls_by_marker.get(tried.marker, []) if tried.marker else []
        if tried.chat is None or str(tried.chat) not in (self._own if marked else self._narrow):
            return marked
        # A call with another case's marker in this chat belongs to that case.
        placed = [call for call in self._history.calls_by_chat.get(str(tried.chat), ()) if not call.markers]
        return [*marked, *placed] if placed else marked


def parts(history: History) -> Iterator[History]:
    """The history in the parts that are judged by themselves: the cases that stand alone, and each scenario.

    Scenarios are sent one after the other, each awaited until the target is quiet, so a call belongs to the scenario during which it
    was made. Chats that several scenarios and cases share therefore do not mix.
    """
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
    starts = [spans[name][0] for name in order]
    for call in history.all(ApiCalled):
        name = order[max(0, bisect_right(starts, call.t) - 1)]
        inside = spans[name][0] <= call.t < spans[name][1]
        if inside:
            during[name].append(call)
        if not inside or call.markers:
            rest.append(call)
    if alone:
        yield History.of([*others, *alone, *rest])
    for name in order:
        yield History.of([*others, *cases[name], *during[name]])
