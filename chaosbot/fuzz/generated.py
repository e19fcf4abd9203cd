"""Generated updates: Hypothesis walks the platform's description, and shrinks every bug apart.

Rules:

- Each root cause raises an exception class of its own, so Hypothesis keeps them apart and shrinks each; what is known already
  is not raised again.
- Every execution is a delivery of its own (delivery id, chat and marker are drawn outside Hypothesis), or a target that
  recognises duplicates would hide what it did before.
- Seeded by the campaign's seed; no example database.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import count
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import errors as hypothesis_errors
from hypothesis import strategies as st

from chaosbot.core.case import Change, Expect, Reach
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.store import Key
from chaosbot.fuzz.strategies import strategy
from chaosbot.fuzz.target import CaseResult

ROUND: Final = 120
LOOK_EVERY: Final = 40
FEWEST: Final = 8
"""So many updates are sent however late it is: on a busy machine the strategy alone may take the stage's time to build."""
_VALID: Final = Expect(reach=Reach.AT_MOST_ONCE)
_GUESSED: Final = Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)


class Enough(BaseException):
    """The time is up; not an `Exception`, so that Hypothesis lets it pass."""


class Violated(Exception):
    """A case violated a check; each root cause has a class of its own below this one."""


def quiet_settings(examples: int, *, steps: int = 50) -> settings:
    """Hypothesis as an engine: silent, without database and deadline, shrinking every bug it finds."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=True,
    )


class CauseClasses:
    """One exception class for each root cause."""

    def __init__(self) -> None:
        self._classes: dict[Key, type[Violated]] = {}

    def of(self, key: Key) -> type[Violated]:
        """The class of a root cause, always the same one."""
        return self._classes.setdefault(key, type(f"Breached_{len(self._classes)}", (Violated,), {"key": key}))


def run_generated(context: CampaignContext, clock: Clock) -> None:
    """Rounds of generated updates until the time is up."""
    shape = context.platform.shape()
    if shape is None:
        return
    updates = strategy(shape)
    limit = context.spec.max_examples
    sent = 0
    for number in count():
        late = clock.over() and (number or clock.should_stop())
        if late or (limit is not None and sent >= limit):
            return
        examples = ROUND if limit is None else min(ROUND, limit - sent)
        sent += _round(context, clock, updates, number, examples)
        context.show("generated", limit or 0)


def _round(context: CampaignContext, clock: Clock, updates: st.SearchStrategy[Any], number: int, examples: int) -> int:
    place = context.dice.at("generated", number)
    executions = count()
    classes = CauseClasses()
    muted = set(context.store.found)
    unlooked: list[CaseResult] = []
    kinds = {name.split("/", 1)[0] for name in context.platform.golden(place)}

    def execute(update: Any) -> None:
        ordinal = next(executions)
        if clock.over() and (number or ordinal >= FEWEST or clock.should_stop()):
            raise Enough
        kind = next((key for key in update if key in kinds), "body") if isinstance(update, dict) else "body"
        case = as_case(
            context.platform,
            context.spec.endpoint,
            update,
            place.at(context.spec.endpoint.started, ordinal),
            f"generated/{kind}~{number}.{ordinal}",
            f"a generated {kind}",
            _VALID if context.platform.described else _GUESSED,
        )
        result = context.target.fire(
            replace(
                case,
                group="generated",
                threat=Threat.USER,
                change=Change(Mechanism.KIND, kind if kind in kinds else ""),
            ),
            "generated",
        )
        unlooked.append(result)
        if context.target.suspicious(result) or len(unlooked) >= LOOK_EVERY:
            context.attribution.after(unlooked)
            unlooked.clear()
        for check, violation in context.recorder.record(result):
            if (check, violation.cause) not in muted:
                raise classes.of((check, violation.cause))(violation.title)

    test = seed(place.number())(quiet_settings(examples)(given(updates)(execute)))
    with contextlib.suppress(Enough, Violated, hypothesis_errors.HypothesisException):
        try:
            test()
        except BaseExceptionGroup as group:
            _, rest = group.split((Violated, hypothesis_errors.HypothesisException))
            if rest is not None:
                raise rest from None
    if unlooked and not clock.over():
        context.attribution.after(unlooked)
    return next(executions)
