"""Joins: which request met which fault, and what became of each update that was sent.

Rules:

- Joins run over ids (exchange id, update id, marker), never over points in time.
- A call counts as made when it was answered with a 2xx: a call that a fault refused is the bot's to repeat.
- Whether an update is answered at all is learned from the run: only sorts (kind and command) of which most were answered can
  lose one. A bot that never answers reactions loses nothing by that.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from chaosbot.model.check import History
from chaosbot.model.event import ApiCalled, Injected, RequestDone, RuleTallied
from chaosbot.model.exchange import Lane
from chaosbot.model.outcome import Fate
from chaosbot.model.stats import Histogram, quantile
from chaosbot.report.frames import response_of
from chaosbot.report.values import Deliveries, Episode, Fates, FaultRow, Quantiles

# Updates acknowledged so shortly before the end may still be answered after it.
GRACE_S = 1.0
# A sort of update counts as answered when this share of its acknowledged updates was.
ANSWERED_SORT = 0.5

Fate_ = tuple[float, bool]


def _fates(rows: Sequence[Fate_]) -> Fates:
    times = [seconds for seconds, _ in rows]
    return Fates(len(rows), sum(bad for _, bad in rows), quantile(times, 0.5), quantile(times, 0.99))


def _timed_exchanges(history: History, lane: Lane) -> dict[str, tuple[float, Fate_]]:
    """When each exchange of a lane ended and how it fared; the driver's view where there is one, else the proxy's."""
    found: dict[str, tuple[float, Fate_]] = {}
    for seen in history.exchanges:
        if seen.lane is lane and seen.exchange:
            found[seen.exchange] = (seen.t, (seen.seconds, seen.status is None or seen.status >= 400))
    if lane is Lane.INBOUND:
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
    exchanges = {lane: _timed_exchanges(history, lane) for lane in Lane}
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
    exchanges: dict[Lane, dict[str, tuple[float, Fate_]]],
    faulted: set[str],
    episodes: Sequence[Episode],
) -> FaultRow:
    stages = Counter(injection.stage for injection in injected)
    lane = injected[0].lane if injected else Lane.INBOUND
    met = {injection.exchange for injection in injected if injection.stage == "applied" and injection.exchange}
    seen = exchanges[lane]
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


def deliveries_of(history: History, end_s: float) -> Deliveries | None:
    """The ledger of updates; None when no single update is known (frames only)."""
    attempts: dict[str, list[RequestDone]] = defaultdict(list)
    for request in history.requests:
        if request.update_id is not None or request.marker:
            attempts[f"{request.update_id}" if request.update_id is not None else f"m{request.marker}"].append(request)
    if not attempts:
        return None
    calls = history.all(ApiCalled)
    answered = {marker: list(filter(_made, made)) for marker, made in history.calls_by_marker.items()}
    watched = any(call.markers for call in calls)
    acknowledged = {key for key, tries in attempts.items() if any(one.outcome.ok for one in tries)}
    markers = {key: next((one.marker for one in tries if one.marker), None) for key, tries in attempts.items()}
    known = {marker for marker in markers.values() if marker} | {case.marker for case in history.cases}
    known |= {seen.marker for seen in history.exchanges if seen.marker}
    repeats = sum(seen.repeat_of is not None for seen in history.exchanges if seen.lane is Lane.INBOUND)
    replies: Counter[float] = Counter()
    for key, tries in attempts.items():
        made = answered.get(markers[key] or "")
        if made:
            sent = min(one.started for one in tries)
            replies[max(0.0, min(call.t for call in made) - sent)] += 1
    tried = sum(len(tries) for tries in attempts.values())
    return Deliveries(
        sent=len(attempts),
        acknowledged=len(acknowledged),
        lost=_lost(attempts, acknowledged, markers, answered, end_s) if watched else None,
        duplicated=sum(_repeated(answered.get(marker or "", ())) for marker in set(markers.values()))
        if watched
        else None,
        unexpected=sum(marker not in known for marker, made in answered.items() if made) if watched else None,
        redelivered=tried - len(attempts) + repeats,
        reply=Quantiles.of(Histogram.of(replies)) if replies else None,
        inbound_amplification=tried / len(attempts),
        outbound_amplification=_amplification(calls),
    )


def _repeated(made: Iterable[ApiCalled]) -> bool:
    """Whether one and the same call was made more than once."""
    counts = Counter((call.method, str(call.chat), call.text) for call in made if call.text)
    return any(count > 1 for count in counts.values())


def _lost(
    attempts: dict[str, list[RequestDone]],
    acknowledged: set[str],
    markers: dict[str, str | None],
    answered: dict[str, list[ApiCalled]],
    end_s: float,
) -> int:
    sorts: dict[tuple[str | None, str | None], list[bool]] = defaultdict(list)
    for key in acknowledged:
        first, marker = attempts[key][0], markers[key]
        if marker and first.t <= end_s - GRACE_S:
            sorts[first.kind, first.command].append(bool(answered.get(marker)))
    return sum(
        found.count(False) for found in sorts.values() if found.count(True) >= max(1.0, ANSWERED_SORT * len(found))
    )


def _amplification(calls: Sequence[ApiCalled]) -> float | None:
    """Calls per distinct call, over those whose text says which update they answer."""
    distinct = Counter((call.method, str(call.chat), call.text) for call in calls if call.markers)
    return sum(distinct.values()) / len(distinct) if distinct else None
