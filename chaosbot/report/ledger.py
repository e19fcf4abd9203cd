"""Joins: which request met which fault, and what became of each update that was sent.

Rules:

- Joins run over ids (exchange id, connection, update id, marker), never over points in time alone. A fault on a connection met the
  exchanges that ended on it from when it first did something, while its rule was active.
- A call counts as made when it was answered with a 2xx: a call that a fault refused is the bot's to repeat.
- A fast run writes single requests for failures only; a ledger of those would be a ledger of failures. The ledger then comes
  from what the proxy saw of every exchange, and where nobody did, there is none.
- Whether an update is answered at all is learned from the run: only sorts (kind and command) of which most were answered can
  lose one. A bot that never answers reactions loses nothing by that.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from tempfile import SpooledTemporaryFile

from chaosbot.checks._directions import outbound_trouble, settled
from chaosbot.core.check import History
from chaosbot.core.event import TRIALS, ApiCalled, Injected, RequestDone, RuleTallied
from chaosbot.core.exchange import Direction, connection_key
from chaosbot.core.outcome import Fate
from chaosbot.core.stats import Histogram, Sketch
from chaosbot.report.intervals import recorded_whole, response_of
from chaosbot.report.values import Deliveries, Episode, Fates, FaultRow, Quantiles

# Updates acknowledged so shortly before the end may still be answered after it.
GRACE_S = 1.0
# A sort of update counts as answered when this share of its acknowledged updates was.
ANSWERED_SORT = 0.5
ENOUGH_CALM = 5

# Files over which the updates of a run are spread, so that one of them at a time is counted in memory.
PARTS = 64


class _Fated:
    """How a group of requests fared, in bounded memory."""

    def __init__(self) -> None:
        self._times = Sketch()
        self._bad = 0

    def add(self, seconds: float, *, bad: bool) -> None:
        self._times.add(seconds)
        self._bad += bad

    def fates(self) -> Fates | None:
        """None when there were no requests."""
        times = self._times.histogram()
        return Fates(times.total, self._bad, times.quantile(0.5), times.quantile(0.99)) if times.total else None


class _Times:
    """When a fault was active."""

    def __init__(self, episodes: Iterable[Episode]) -> None:
        self._from: list[float] = []
        self._to: list[float] = []
        for start, end in sorted((one.from_s, math.inf if one.to_s is None else one.to_s) for one in episodes):
            if self._to and start <= self._to[-1]:
                self._to[-1] = max(self._to[-1], end)
            else:
                self._from.append(start)
                self._to.append(end)

    def active(self, start: float, end: float) -> bool:
        """Whether it was active at some moment of a span; always, where its times are not known."""
        last = bisect_right(self._from, end) - 1
        return not self._from or (last >= 0 and start <= self._to[last])


class _Rule:
    """What the run's injections and exchanges say of one rule."""

    def __init__(self, first: Injected, times: _Times) -> None:
        self.first = first
        self.times = times
        self.stages: Counter[str] = Counter()
        self.touched = _Fated()
        self.clean = _Fated()


def faults_of(history: History, episodes: Sequence[Episode]) -> tuple[FaultRow, ...]:
    """One row a rule, in the order of the plan's tallies; rules that only injections know come after.

    A campaign has hundreds of rules of its own, one for each of its trials: those have one row a fault.
    """
    tallies: dict[str, RuleTallied] = {}
    for tally in history.all(RuleTallied):
        name = _row_name(tally)
        before = tallies.get(name)
        tallies[name] = tally if before is None else _added(before, tally)
    rules: dict[str, _Rule] = {}
    for injection in history.all(Injected):
        name = _row_name(injection)
        if name not in rules:
            fault = tallies[name].fault if name in tallies else injection.fault
            rules[name] = _Rule(injection, _Times(episode for episode in episodes if episode.fault == fault))
        rules[name].stages[injection.stage] += 1
    if rules:
        _compare(history, rules)
    return tuple(_row(name, tallies.get(name), rules.get(name)) for name in dict.fromkeys([*tallies, *rules]))


def _row_name(one: RuleTallied | Injected) -> str:
    return f"{TRIALS}{one.fault}" if one.rule.startswith(TRIALS) else one.rule


def _compare(history: History, rules: Mapping[str, _Rule]) -> None:
    """Sorts every exchange to the rules that touched it, or to those that were active and did not.

    How an exchange fared is what the driver saw, where it recorded every request, else what the proxy saw.
    """
    driven = {
        request.exchange: request
        for request in history.requests
        if request.exchange and request.outcome.fate is not Fate.CANCELLED
    }
    inbound = any(seen.direction is Direction.INBOUND and seen.exchange for seen in history.exchanges)
    if inbound and not recorded_whole(history):
        driven = {}
    unseen: dict[str, Sequence[Injected]] = {}
    lasting: dict[str, list[Injected]] = defaultdict(list)
    for one in history.all(Injected):
        if one.stage == "applied" and one.exchange == connection_key(one.direction, one.connection):
            lasting[one.exchange].append(one)
    for seen, met in history.exchanges_with_faults():
        if seen is None:
            unseen[met[0].exchange] = met
        elif seen.exchange:
            on_it = lasting.get(connection_key(seen.direction, seen.connection), ()) if lasting else ()
            acting = [
                one
                for one in on_it
                if one.t <= seen.t and rules[_row_name(one)].times.active(seen.t - seen.seconds, seen.t)
            ]
            touched = [*met, *acting]
            request = driven.pop(seen.exchange, None) if seen.direction is Direction.INBOUND else None
            if request is None:
                bad = seen.status is None or seen.status >= 400 or not seen.whole
                _sort(rules, seen.direction, seen.t, seen.seconds, touched, bad=bad)
            else:
                _sort_request(rules, request, touched, history.accepted_statuses)
    for exchange, request in driven.items():
        _sort_request(rules, request, unseen.get(exchange, ()), history.accepted_statuses)


def _sort_request(
    rules: Mapping[str, _Rule], request: RequestDone, met: Sequence[Injected], accepted: frozenset[int]
) -> None:
    outcome = request.outcome
    declared = outcome.fate is Fate.ANSWERED and outcome.status in accepted
    bad = outcome.error_kind is not None and not declared
    _sort(rules, Direction.INBOUND, request.t, response_of(request), met, bad=bad)


def _sort(
    rules: Mapping[str, _Rule],
    direction: Direction,
    t: float,
    seconds: float,
    met: Sequence[Injected],
    *,
    bad: bool,
) -> None:
    touched = {_row_name(injection) for injection in met if injection.stage == "applied"}
    for name in touched:
        if rules[name].first.direction is direction:
            rules[name].touched.add(seconds, bad=bad)
    if touched:
        return
    # Clean are those of the same time that met no fault at all; without known times, those of the whole run.
    for rule in rules.values():
        if rule.first.direction is direction and rule.times.active(t, t):
            rule.clean.add(seconds, bad=bad)


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


def _row(name: str, tally: RuleTallied | None, rule: _Rule | None) -> FaultRow:
    known: RuleTallied | Injected | None = tally or (rule.first if rule is not None else None)
    assert known is not None  # noqa: S101 - a rule's name comes from one of them
    stages: Counter[str] = rule.stages if rule is not None else Counter()
    touched = rule.touched.fates() if rule is not None else None
    return FaultRow(
        rule=name,
        fault=known.fault,
        depth=str(known.depth),
        considered=tally.considered if tally is not None else stages.total(),
        # A worker that died left no tally behind, but its injections did arrive.
        decided=max(tally.decided if tally is not None else 0, stages.total()),
        applied=max(tally.applied if tally is not None else 0, stages["applied"]),
        failed=max(tally.failed if tally is not None else 0, stages["failed"]),
        missed=stages["missed"],
        touched=touched,
        clean=rule.clean.fates() if rule is not None and touched is not None else None,
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
    exchange: str
    sort: tuple[str | None, str | None]


def _attempts(history: History) -> Iterator[_Attempt]:
    if recorded_whole(history):
        for one in history.requests:
            if (update := _identity(one.update_id, one.marker)) and one.outcome.fate is not Fate.CANCELLED:
                sort = (one.kind, one.command)
                yield _Attempt(update, one.marker, one.started, one.t, one.outcome.ok, one.exchange, sort)
        return
    for seen in history.exchanges:
        # What the proxy itself repeated is counted as redelivered, not as the sender's attempt.
        if (
            seen.direction is Direction.INBOUND
            and seen.repeat_of is None
            and (update := _identity(seen.update_id, seen.marker))
        ):
            ok = seen.whole and seen.status is not None and 200 <= seen.status < 300
            sort = (seen.kind, seen.command)
            yield _Attempt(update, seen.marker, seen.t - seen.seconds, seen.t, ok, seen.exchange, sort)


def _identity(update_id: int | str | None, marker: str | None) -> str:
    return f"u{update_id}" if update_id is not None else f"m{marker}" if marker else ""


def deliveries_of(history: History, end_s: float) -> Deliveries | None:
    """The ledger of updates; None when no single update is known (intervals only)."""
    if not any(call.markers for call in history.all(ApiCalled)):
        return _deliveries_unwatched(history)
    attempts: dict[str, list[_Attempt]] = defaultdict(list)
    for attempt in _attempts(history):
        attempts[attempt.update].append(attempt)
    if not attempts:
        return None
    calls = history.all(ApiCalled)
    answered = {marker: list(filter(_made, made)) for marker, made in history.calls_by_marker.items()}
    acknowledged = {update for update, tries in attempts.items() if any(one.ok for one in tries)}
    markers = {update: next((one.marker for one in tries if one.marker), None) for update, tries in attempts.items()}
    known = {marker for marker in markers.values() if marker} | {case.marker for case in history.cases}
    known |= {seen.marker for seen in history.exchanges if seen.marker}
    known |= {request.marker for request in history.requests if request.marker}
    repeats = _repeats(history)
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
        lost=_lost(attempts, acknowledged, markers, history, end_s),
        duplicated=repeated,
        unexpected=_unexpected(answered, known, _load_ends(history)),
        redelivered=tried - len(attempts) + repeats,
        reply=Quantiles.of(Histogram.of(replies)) if replies else None,
        inbound_amplification=(tried + repeats) / len(attempts),
        outbound_amplification=_amplification(calls),
    )


def _repeats(history: History) -> int:
    """Deliveries that the proxy made once more."""
    return sum(seen.repeat_of is not None for seen in history.exchanges if seen.direction is Direction.INBOUND)


def _deliveries_unwatched(history: History) -> Deliveries | None:
    """The ledger of a run in which the bot's calls were not seen: only the deliveries are counted.

    Updates are told apart by eight bytes of a hash, which are spread over temporary files, so that memory does not grow with
    the run.
    """
    tried = sent = acknowledged = 0
    with ExitStack() as stack:
        parts = [stack.enter_context(SpooledTemporaryFile(max_size=1 << 15)) for _ in range(PARTS)]
        for attempt in _attempts(history):
            digest = blake2b(attempt.update.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            parts[digest[0] % PARTS].write(digest + (b"\1" if attempt.ok else b"\0"))
            tried += 1
        for part in parts:
            part.seek(0)
            fates: dict[bytes, bool] = {}
            while len(record := part.read(9)) == 9:
                fates[record[:8]] = fates.get(record[:8], False) or record[8] == 1
            sent += len(fates)
            acknowledged += sum(fates.values())
    if not sent:
        return None
    repeats = _repeats(history)
    amplification = _amplification(history.all(ApiCalled))
    redelivered = tried - sent + repeats
    return Deliveries(sent, acknowledged, None, None, None, redelivered, None, (tried + repeats) / sent, amplification)


def _load_ends(history: History) -> float:
    """When the load is over and a fuzz campaign begins, whose health requests are no updates of the load."""
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
    """How many acknowledged updates had no effect. What a fault changed on its way to the target is none that it owes."""
    sorts: dict[tuple[str | None, str | None], list[tuple[bool, bool]]] = defaultdict(list)
    trouble = min(outbound_trouble(history), default=math.inf) - GRACE_S
    for key in acknowledged:
        first, marker = attempts[key][0], markers[key]
        whole = any(one.ok and one.exchange not in history.met_inbound for one in attempts[key])
        if marker and whole and first.ended <= end_s - GRACE_S:
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
