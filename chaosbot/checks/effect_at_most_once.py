"""Each update takes effect at most once, however often and however concurrently it is delivered.

Platforms redeliver whatever they saw no acknowledgement for, and two connections may carry the same update at the same time. What
counts is the effect: the same call, with the same words, to the same chat, made more often for an update that was delivered twice
than for one that was delivered once. Calls whose answer the bot never got are excused: it had to try again.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from chaosbot.checks._cases import MADE_UP_IDS, NEEDS_CALLS, NOT_ASKED, Violation, Violations, sight
from chaosbot.checks._join import SHRINKING, Join, parts
from chaosbot.checks._state import counts, numbers, rises, shape
from chaosbot.core.check import Check, History, Steps
from chaosbot.core.event import ApiCalled, CaseTried, ExchangeSeen, StateTried
from chaosbot.core.verdict import Judgement, RootCause, Severity, Threat, Verdict

_DIGITS: Final = re.compile(r"\d+")


def effects(calls: Iterable[ApiCalled], history: History) -> int:
    """How often the most frequent effect happened: equal calls that succeeded and whose answer reached the bot."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for call in calls:
        if call.in_answer:  # what comes again was not answered, as far as the platform knows, which reads one answer
            continue
        lost = call.status is None or not 200 <= call.status < 300 or bool(history.injections.get(call.exchange))
        if not lost:
            counts[call.method, str(call.chat), _DIGITS.sub("#", call.text)] += 1
    return max(counts.values(), default=0)


def _at_once(deliveries: Sequence[CaseTried]) -> bool:
    """Whether two of the deliveries were under way at the same time."""
    spans = sorted((tried.sent, tried.sent + tried.outcome.total_s) for tried in deliveries)
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def _twice(play: Sequence[str], steps: dict[int, int]) -> bool:
    """Whether the edit's answer, the second of three, took a number of its own."""
    if len({shape(text) for text in play}) > 1:
        return False
    rows = [numbers(text) for text in play]
    return any(
        rows[1][place] - rows[0][place] == step == rows[2][place] - rows[1][place] for place, step in steps.items()
    )


def _more(tried: StateTried) -> bool:
    """Whether more of a thing is shown each time that its making was delivered twice."""
    return all(play[0].isdigit() and int(play[0]) > int(tried.alone[0][0]) for play in tried.seen)


def _each_press(tried: StateTried) -> bool:
    """Whether each press of one button takes a number of its own, from the row in which others' things are numbered as well."""
    first, second = tried.alone[0], tried.seen[0]
    return any(
        numbers(second[0])[place] > numbers(first[-1])[place]
        for place in rises([first, second])
        if shape(first[0]) == shape(second[0])
    )


def _confirmed_again(tried: StateTried) -> Violation:
    title = "a button that confirms what was written does so once more each time that it is pressed"
    said = " · ".join(tried.alone[0][:2])
    summary = f"{tried.what}, pressed twice as by a double tap: {said}"
    return Violation(
        RootCause("confirmed"), title, Severity.MEDIUM, Threat.USER, summary, category="state", stateful=True
    )


def _made_again(tried: StateTried) -> Violation:
    title = "an update that is delivered again takes effect more than once"
    summary = f"{tried.what}: {tried.seen[0][0]}, and of one delivery {tried.alone[0][0]}"
    return Violation(
        RootCause("again"), title, Severity.HIGH, Threat.NETWORK, summary, category="sequence", stateful=True
    )


def _pressed_again(tried: StateTried) -> Violation:
    title = "a press that is delivered again takes effect more than once"
    summary = f"{tried.what}: afterwards everything is as after two presses"
    cause = RootCause("again", place="press")
    return Violation(cause, title, Severity.HIGH, Threat.NETWORK, summary, category="sequence", stateful=True)


@dataclass(frozen=True)
class EffectAtMostOnce(Check):
    """A repeated update does nothing more."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    judges_scenarios: ClassVar[bool] = True

    def judge(self, history: History) -> Judgement:
        """Joins deliveries by update id with the calls by marker, for cases and for requests under load."""
        seen = sight(history)
        if not seen.sees_calls:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        if seen.checks and self.name not in seen.checks:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NOT_ASKED)
        violations = Violations(self.name)
        for part in parts(history):
            self._cases(part, violations)
        self._edits(history, violations)
        self._requests(history, violations)
        return violations.judgement(nothing="no update was delivered twice and answered")

    def reproducer(self, history: History, case: str) -> Steps:
        """All deliveries of the update, in their order."""
        first = history.case(case)
        if first is None or first.update_id is None:
            return ((case,),)
        return tuple((one.case,) for one in history.cases if one.update_id == first.update_id) or ((case,),)

    def _cases(self, history: History, violations: Violations) -> None:
        join = Join.of(history)
        by_id: dict[tuple[str, str], list[CaseTried]] = defaultdict(list)
        for tried in history.cases:
            # An id that a case was given on purpose says nothing about redelivery.
            made_up = tried.change.place in MADE_UP_IDS
            if tried.update_id is not None and tried.stage != SHRINKING and not made_up:
                # Thousands of drawn ids hold two that are equal by chance, of updates that have nothing in common.
                by_id[str(tried.update_id), str(tried.chat)].append(tried)
        usual: Counter[str | None] = Counter()
        for deliveries in by_id.values():
            if len(deliveries) == 1 and deliveries[0].check != self.name:
                kind = deliveries[0].kind
                usual[kind] = max(usual[kind], effects(join.calls(deliveries[0]), history))
        for deliveries in by_id.values():
            first = deliveries[0]
            repeated = len(deliveries) > 1 or first.copies > 1
            if not repeated or not any(tried.outcome.ok for tried in deliveries):
                continue
            calls = {id(call): call for tried in deliveries for call in join.calls(tried)}.values()
            # Another body under the same id counts as well; where nothing repeats the markers, equal calls tell.
            marked = [[call for call in calls if mark in call.markers] for mark in {one.marker for one in deliveries}]
            happened = max(sum(effects(own, history) for own in marked), effects(calls, history))
            if happened == 0:
                if any(call.in_answer for call in calls):
                    violations.plan(f"a repeated {first.kind}")
                    violations.look(first, None)
                elif first.kind and usual[first.kind]:  # what never acts does not act twice
                    violations.plan(f"a repeated {first.kind}", "nothing was called because of it")
                continue
            violations.plan(f"a repeated {first.kind}")
            at_once = _at_once(deliveries)
            violation = None
            if happened > max(1, usual[first.kind]):
                how = "delivered several times at once" if at_once else "delivered again"
                came = f"{len(deliveries)} deliveries" if len(deliveries) > 1 else first.summary
                violation = Violation(
                    RootCause("at-once" if at_once else "again"),
                    f"an update that is {how} takes effect more than once",
                    Severity.HIGH,
                    Threat.NETWORK,
                    f"update {first.update_id}: {came}, {happened} equal calls",
                    category="sequence",
                    stateful=True,
                    instead=frozenset({RootCause("again")}),
                )
            violations.look(first, violation)

    def _edits(self, history: History, violations: Violations) -> None:
        """What was said and then edited counts once: the next one's number is the next; what came again made nothing more (stage state)."""
        for tried in history.all(StateTried):
            if tried.trial == "again":
                violations.judged += 1
                if _more(tried):
                    violations.add(_made_again(tried), tried.case)
                continue
            if tried.trial == "pressed-again":
                violations.judged += 1
                # Of two presses each counts, and of one that comes twice only the first.
                if all(play == tried.others for play in tried.seen) and tried.others not in tried.alone:
                    violations.add(_pressed_again(tried), tried.case)
                continue
            if tried.trial == "confirmed":
                violations.judged += 1
                if _each_press(tried):
                    violations.add(_confirmed_again(tried), tried.case)
                continue
            if tried.trial != "edited":
                continue
            violations.judged += 1
            steps = counts(tried.alone)
            again = [play for play in tried.seen if all(play) and steps and _twice(play, steps)]
            if len(again) == len(tried.seen):
                violation = Violation(
                    RootCause("edited"),
                    "an edit of what was said does it once more",
                    Severity.MEDIUM,
                    Threat.USER,
                    f"{tried.what}, then the same message as an edited one: {again[0]}",
                    category="state",
                    stateful=True,
                )
                violations.add(violation, tried.case)

    def _requests(self, history: History, violations: Violations) -> None:
        sent: Counter[str] = Counter()
        for request in history.requests:
            if request.marker:
                sent[request.marker] += 1
        for exchange in history.all(ExchangeSeen):
            # The proxy delivered it once more (duplicate, redeliver, replay).
            if exchange.marker and exchange.repeat_of:
                sent[exchange.marker] += 1
        usual = max(
            (effects(history.calls_by_marker.get(m, ()), history) for m, n in sent.items() if n == 1), default=1
        )
        for marker, times in sent.items():
            happened = effects(history.calls_by_marker.get(marker, ()), history)
            if times < 2 or not happened:
                continue
            violations.judged += 1
            if happened > max(1, usual):
                violations.add(
                    Violation(
                        RootCause("again", place="load"),
                        "updates that are delivered again under load take effect more than once",
                        Severity.HIGH,
                        Threat.NETWORK,
                        f"marker {marker}: {times} deliveries, {happened} equal calls",
                        category="sequence",
                        stateful=True,
                    ),
                    marker,
                )
