"""Generated updates: Hypothesis walks the platform's description, and shrinks every bug apart.

Rules:

- A round sends its examples whatever they find, so they follow from the seed and the round's number alone: several processes share the
  rounds, and find together what one process finds.
- What a round found that is new is generated once more to be shrunk: each root cause then raises an exception class of its own, so
  Hypothesis keeps them apart.
- Every execution is a delivery of its own (delivery id, chat and marker are drawn outside Hypothesis), or a target that
  recognises duplicates would hide what it did before.
- Seeded by the campaign's seed; no example database.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import count
from typing import Any, Final, assert_never

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import errors as hypothesis_errors
from hypothesis import strategies as st

from chaosbot.core.case import Change, Expect, Reach
from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.patterns import by_seed_only
from chaosbot.fuzz.recorder import Key
from chaosbot.fuzz.spec import Clock
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
    """This process's rounds of generated updates, until all examples are sent or the time is up."""
    shape = context.platform.shape()
    if shape is None:
        return
    updates = strategy(shape)
    limit = context.spec.max_examples
    for number in count(context.spec.part, context.spec.workers):
        late = clock.over() and (number >= context.spec.workers or clock.should_stop())
        examples = ROUND if limit is None else min(ROUND, limit - number * ROUND)
        if late or examples <= 0:
            return
        _round(context, clock, updates, number, examples)
        context.show("generated", limit or 0)


def _round(context: CampaignContext, clock: Clock, updates: st.SearchStrategy[Any], number: int, examples: int) -> None:
    place = context.dice.at("generated", number)
    executions = count()
    classes = CauseClasses()
    known = set(context.store.found)
    fresh: set[Key] = set()
    shrinking = False
    unlooked: list[CaseResult] = []
    kinds = {name.split("/", 1)[0] for name in context.platform.golden(place)}

    def execute(update: Any) -> None:
        ordinal = next(executions)
        if clock.over() and (number or ordinal >= FEWEST or clock.should_stop()):
            raise Enough
        kind = next((key for key in update if key in kinds), "body") if isinstance(update, dict) else "body"
        own = place.at(context.spec.endpoint.started, ordinal)
        case = context.case(
            context.platform.fresh(update, own),
            own,
            f"generated/{kind}~{number}.{ordinal}",
            f"a generated {kind}",
            _VALID if context.platform.described else _GUESSED,
        )
        if context.shared.reserves(case.chat):
            return
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
        try:
            if context.target.suspicious(result) or len(unlooked) >= LOOK_EVERY:
                context.attribution.after(unlooked)
                unlooked.clear()
        finally:
            violations = context.recorder.record(result)
        for check, violation in violations:
            key = (check, violation.cause)
            if shrinking and key in fresh:
                raise classes.of(key)(violation.title)
            if not shrinking and key not in known:
                fresh.add(key)

    def generate() -> None:
        test = seed(place.number())(quiet_settings(examples)(given(updates)(execute)))
        with contextlib.suppress(Enough, Violated, hypothesis_errors.HypothesisException), by_seed_only():
            try:
                test()
            except BaseExceptionGroup as group:
                _, rest = group.split((Violated, hypothesis_errors.HypothesisException))
                if rest is not None:
                    raise rest from None
        if unlooked and not clock.over():
            context.attribution.after(unlooked)
            unlooked.clear()

    generate()
    if fresh and not clock.over():
        shrinking = True
        generate()


# What real people and real attackers write: directions, joiners, combining marks, astral characters, formats, spaces.
HOSTILE: Final = (
    "\u202eabc\u202c",
    "a\u200bb\u200cc\u200dd",
    "e" + "\u0301" * 40,
    "\U0001f3f3\ufe0f\u200d\U0001f308\U0001f642",
    "\ufdfd" * 8,
    "{0} {x.__class__} %s %n ${jndi:x} {{7*7}}",
    "'; DROP TABLE users; --",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    " " * 64,
    "\n" * 32,
    "\t\r\n\x0b\x0c",
    "null",
    "0",
    "-1",
    "1e309",
    "\ufb01\u0130\u0131\u00df\u1e9e",
    "\u05d0" * 16 + "1",
    "/",
    "//start",
    "/start@",
)

_PLAIN: Final = st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=["Cs", "Cc"])
_ANY: Final = st.characters(exclude_categories=["Cs"])


def strategy(shape: Shape, known: dict[int, st.SearchStrategy[Any]] | None = None) -> st.SearchStrategy[Any]:
    """The strategy that draws values of this shape.

    Args:
        shape: What is drawn.
        known: The strategies of shapes by identity: a description uses one (a user, a chat) in many places, and building it costs a while.
    """
    known = {} if known is None else known
    if (built := known.get(id(shape))) is None:
        built = known[id(shape)] = _built(shape, known)
    return built


def _built(shape: Shape, known: dict[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    match shape:
        case Text():
            return _text(shape)
        case Integer(low, high, examples):
            numbers = st.integers(low, high)
            return st.one_of(st.sampled_from(examples), numbers) if examples else numbers
        case Number(low, high):
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case Flag():
            return st.booleans()
        case Const(value):
            return st.just(value)
        case OneOf(options):
            return st.one_of([strategy(option, known) for option in options])
        case Array(item, low, high):
            return st.lists(strategy(item, known), min_size=low, max_size=high)
        case Object(required, optional):
            return st.fixed_dictionaries(
                {name: strategy(member, known) for name, member in required.items()},
                optional={name: strategy(member, known) for name, member in optional.items()},
            )
        case _:
            assert_never(shape)


def _text(shape: Text) -> st.SearchStrategy[str]:
    options: list[st.SearchStrategy[str]] = []
    if shape.examples:
        options.append(st.sampled_from(shape.examples))
    if shape.low <= 0 or not shape.examples:
        options.append(st.text(_PLAIN, min_size=shape.low, max_size=shape.high))
    if shape.hostile:
        fitting = tuple(text for text in HOSTILE if shape.low <= len(text) <= shape.high)
        options += [st.sampled_from(fitting)] if fitting else []
        options.append(st.text(_ANY, min_size=shape.low, max_size=shape.high))
        if shape.high >= 512:
            # Long runs of one character: what quadratic parsers choke on, and what no random text contains.
            runs = st.tuples(st.sampled_from(" a/*_`[\n.@"), st.integers(max(1, shape.low), shape.high))
            options.append(runs.map(lambda run: run[0] * run[1]))
    return st.one_of(options)
