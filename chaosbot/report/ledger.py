"""Joins: which request met which fault, and what became of each update that was sent.

Rules:

- Joins run over ids (exchange id, update id, marker), never over points in time.
- A call counts as made when it was answered with a 2xx: a call that a fault refused is the bot's to repeat.
- A fast run writes single requests for failures only; a ledger of those would be a ledger of failures. The ledger then comes
  from what the proxy saw of every exchange, and where nobody did, there is none.
- Whether an update is answered at all is learned from the run: only sorts (kind and command) of which most were answered can
  lose one. A bot that never answers reactions loses nothing by that.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaosbot.checks._directions import outbound_trouble, settled
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, Injected, RuleTallied
from chaosbot.core.exchange import Direction
from chaosbot.core.outcome import Fate
from chaosbot.core.stats import Histogram, quantile
from chaosbot.report.frames import response_of
from chaosbot.report.values import Deliveries, Episode, Fates, FaultRow, Quantiles

# Updates acknowledged so shortly before the end may still be answered after it.
GRACE_S = 1.0
# Requests that were cut off at the end are counted in frames and written by nobody.
WHOLE = 0.9
# A sort of update counts as answered when this share of its acknowledged updates was.
ANSWERED_SORT = 0.5
ENOUGH_CALM = 5

Fate_ = tuple[float, bool]


def _fates(rows: Sequence[Fate_]) -> Fates:
    times = [seconds for seconds, _ in rows]
    return Fates(len(rows), sum(bad for _, bad in rows), quantile(times, 0.5), quantile(times, 0.99))


def recorded_whole(history: History) -> bool:
    """Whether the single requests are all of the run's, and not just its failures."""
    finished = sum(frame.completed + frame.failed + frame.timed_out for frame in history.frames)
    return bool(history.requests) and len(history.requests) >= WHOLE * finished


def _timed_exchanges(history: History, direction: Direction) -> dict[str, tuple[float, Fate_]]:
    """When each exchange of a direction ended and how it fared; the driver's view where there is one, else the proxy's."""
    found: dict[str, tuple[float, Fate_]] = {}
    for seen in history.exchanges:
        if seen.direction is direction and seen.exchange:
            found[seen.exchange] = (seen.t, (seen.seconds, seen.status is None or seen.status >= 400))
    if direction is Direction.INBOUND and (recorded_whole(history) or not found):
        for request in history.requests:
            if request.exchange and request.outcome.fate is not Fate.CANCELLED:
                fate = (response_of(request), request.outcome.error_kind is not None)
                found[request.exchange] = (request.t, fate)
    return found


def faults_of(history: History, episodes: Sequence[Episode]) -> tuple[FaultRow, ...]:
    """One row a rule, in the order of the plan's tallies; rules that only injections know come after."""
    tallies: dict[str, RuleTallied] = {}
    for tally in history.all(RuleTallied):
        before = tallies.get(tally.rule)
        tallies[tally.rule] = tally if before is None else _added(before, tally)
    injected: dict[str, list[Injected]] = defaultdict(list)
    for injection in history.all(Injected):
        injected[injection.rule].append(injection)
    exchanges = {direction: _timed_exchanges(history, direction) for direction in Direction}
    faulted = {exchange for exchange, met in history.injections.items() if any(one.stage == "applied" for one in met)}
    return tuple(
        _row(rule, tallies.get(rule), injected.get(rule, []), exchanges, faulted, episodes)
        for rule in dict.fromkeys([*tallies, *injected])
    )


def _added(one: RuleTallied, two: RuleTallied) -> RuleTallied:
    """Tallies of two workers of one proxy."""
    return RuleTallied(
        max(one.t, two.t),
        one.rule,
        one.fault,
        one.depth,
        one.considered + two.considered,
        one.decided + two.decided,
        one.applied + two.applied,
        one.failed + two.failed,
    )


def _row(
    rule: str,
    tally: RuleTallied | None,
    injected: Sequence[Injected],
    exchanges: dict[Direction, dict[str, tuple[float, Fate_]]],
    faulted: set[str],
    episodes: Sequence[Episode],
) -> FaultRow:
    stages = Counter(injection.stage for injection in injected)
    direction = injected[0].direction if injected else Direction.INBOUND
    met = {injection.exchange for injection in injected if injection.stage == "applied" and injection.exchange}
    seen = exchanges[direction]
    fault = tally.fault if tally is not None else injected[0].fault
    touched = [seen[exchange][1] for exchange in sorted(met) if exchange in seen]
    # Clean are those of the same time that met no fault at all; without known times, those of the whole run.
    times = [episode for episode in episodes if episode.fault == fault]
    clean = [
        fate
        for exchange, (t, fate) in seen.items()
        if exchange not in faulted
        and (not times or any(one.from_s <= t and (one.to_s is None or t <= one.to_s) for one in times))
    ]
    return FaultRow(
        rule=rule,
        fault=fault,
        depth=str(tally.depth if tally is not None else injected[0].depth),
        considered=tally.considered if tally is not None else len(injected),
        # A worker that died left no tally behind, but its injections did arrive.
        decided=max(tally.decided if tally is not None else 0, len(injected)),
        applied=max(tally.applied if tally is not None else 0, stages["applied"]),
        failed=max(tally.failed if tally is not None else 0, stages["failed"]),
        missed=stages["missed"],
        touched=_fates(touched) if touched else None,
        clean=_fates(clean) if touched and clean else None,
    )


def _made(call: ApiCalled) -> bool:
    return call.status is not None and 200 <= call.status < 300


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One delivery of an update, as its driver or the proxy saw it."""

    update: str
    marker: str | None
    sent: float
    ended: float
    ok: bool
    sort: tuple[str | None, str | None]


def _attempts(history: History) -> list[_Attempt]:
    found = []
    if recorded_whole(history):
        for one in history.requests:
            if (update := _identity(one.update_id, one.marker)) and one.outcome.fate is not Fate.CANCELLED:
                sort = (one.kind, one.command)
                found.append(_Attempt(update, one.marker, one.started, one.t, one.outcome.ok, sort))
        return found
    for seen in history.exchanges:
        # What the proxy itself repeated is counted as redelivered, not as the sender's attempt.
        if (
            seen.direction is Direction.INBOUND
            and seen.repeat_of is None
            and (update := _identity(seen.update_id, seen.marker))
        ):
            ok = seen.status is not None and 200 <= seen.status < 300
            sort = (seen.kind, seen.command)
            found.append(_Attempt(update, seen.marker, seen.t - seen.seconds, seen.t, ok, sort))
    return found


def _identity(update_id: int | str | None, marker: str | None) -> str:
    return f"u{update_id}" if update_id is not None else f"m{marker}" if marker else ""


def deliveries_of(history: History, end_s: float) -> Deliveries | None:
    """The ledger of updates; None when no single update is known (frames only)."""
    attempts: dict[str, list[_Attempt]] = defaultdict(list)
    for attempt in _attempts(history):
        attempts[attempt.update].append(attempt)
    if not attempts:
        return None
    calls = history.all(ApiCalled)
    answered = {marker: list(filter(_made, made)) for marker, made in history.calls_by_marker.items()}
    watched = any(call.markers for call in calls)
    acknowledged = {update for update, tries in attempts.items() if any(one.ok for one in tries)}
    markers = {update: next((one.marker for one in tries if one.marker), None) for update, tries in attempts.items()}
    known = {marker for marker in markers.values() if marker} | {case.marker for case in history.cases}
    known |= {seen.marker for seen in history.exchanges if seen.marker}
    known |= {request.marker for request in history.requests if request.marker}
    repeats = sum(seen.repeat_of is not None for seen in history.exchanges if seen.direction is Direction.INBOUND)
    replies: Counter[float] = Counter()
    for update, tries in attempts.items():
        if made := answered.get(markers[update] or ""):
            replies[max(0.0, min(call.t for call in made) - min(one.sent for one in tries))] += 1
    tried = sum(len(tries) for tries in attempts.values())
    heard = {marker: [call for call in made if not _unheard(history, call)] for marker, made in answered.items()}
    repeated = sum(_repeated(heard.get(marker, ())) for marker in set(markers.values()) if marker)
    return Deliveries(
        sent=len(attempts),
        acknowledged=len(acknowledged),
        lost=_lost(attempts, acknowledged, markers, history, end_s) if watched else None,
        duplicated=repeated if watched else None,
        unexpected=_unexpected(answered, known, _load_ends(history)) if watched else None,
        redelivered=tried - len(attempts) + repeats,
        reply=Quantiles.of(Histogram.of(replies)) if replies else None,
        inbound_amplification=(tried + repeats) / len(attempts),
        outbound_amplification=_amplification(calls),
    )


def _load_ends(history: History) -> float:
    """When the load is over and a fuzz campaign begins, whose canaries are no updates of the load."""
    return min((phase.t for phase in history.phases if phase.phase == "fuzz"), default=math.inf)


def _unexpected(answered: dict[str, list[ApiCalled]], known: set[str], before_s: float) -> int:
    return sum(marker not in known and any(call.t < before_s for call in made) for marker, made in answered.items())


def _unheard(history: History, call: ApiCalled) -> bool:
    """Whether a fault met the call, so that the bot may not know that it succeeded and has to make it again."""
    return any(met.stage == "applied" for met in history.injections.get(call.exchange, ())) if call.exchange else False


def _repeated(made: Iterable[ApiCalled]) -> bool:
    """Whether one and the same call was made more than once."""
    counts = Counter((call.method, str(call.chat), call.text) for call in made if call.text)
    return any(count > 1 for count in counts.values())


def _lost(
    attempts: dict[str, list[_Attempt]],
    acknowledged: set[str],
    markers: dict[str, str | None],
    history: History,
    end_s: float,
) -> int:
    sorts: dict[tuple[str | None, str | None], list[tuple[bool, bool]]] = defaultdict(list)
    trouble = min(outbound_trouble(history), default=math.inf) - GRACE_S
    for key in acknowledged:
        first, marker = attempts[key][0], markers[key]
        if marker and first.ended <= end_s - GRACE_S:
            done = settled(history.calls_by_marker.get(marker, ()))
            sorts[first.sort].append((first.ended < trouble, done))
    return sum(sum(not done for _, done in found) for found in sorts.values() if _is_answered(found))


def _is_answered(found: Sequence[tuple[bool, bool]]) -> bool:
    """Whether updates of this sort get an answer by nature: in the calm before the first fault, where enough came then."""
    calm = [done for before, done in found if before]
    judged = calm if len(calm) >= ENOUGH_CALM else [done for _, done in found]
    return judged.count(True) >= max(1.0, ANSWERED_SORT * len(judged))


def _amplification(calls: Sequence[ApiCalled]) -> float | None:
    """Calls per distinct call, over those whose text says which update they answer."""
    distinct = Counter((call.method, str(call.chat), call.text) for call in calls if call.markers)
    return sum(distinct.values()) / len(distinct) if distinct else None
