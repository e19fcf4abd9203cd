"""The stages of a campaign, each a function of the campaign's context and a clock; catalogue and mutations stand here.

The catalogue and the mutations are lists of bytes and go out in volleys; generated updates and sequences are Hypothesis'.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import islice
from time import monotonic
from typing import Final, TypeVar

from chaosbot.core.case import Case, Change, Role
from chaosbot.core.check import CHECKS
from chaosbot.core.dice import Dice
from chaosbot.core.event import PRODUCT, CaseTried, Noted, ProbeSeen
from chaosbot.core.marker import marker
from chaosbot.core.observation import Grew, Quiet
from chaosbot.core.platform import Platform
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz import findings, process
from chaosbot.fuzz.catalogue import stranger_flood
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.mutations import Product, mutations, product, written_first
from chaosbot.fuzz.requests import slow
from chaosbot.fuzz.shared_chats import compared, divided
from chaosbot.fuzz.spec import CampaignSpec, Clock
from chaosbot.fuzz.target import CaseResult

T = TypeVar("T")

VOLLEY: Final = 48
"""Cases between two looks at the target."""

GOLDEN: Final = "golden/"
_BULKY: Final = 1_800
_HEAVY: Final = 200_000
_LOOKS: Final = 3  # at what a case costs in memory
_UNKNOWN: Final = (
    ("command", "/chaosbot_unknown 2000001 user {m}", "", "an unknown command"),
    ("button", "chaosbot:unknown", "callback_query", "a button that nobody knows"),
)


@dataclass(frozen=True, slots=True)
class CampaignStage:
    """One stage of a campaign: a function of the campaign's context and a clock, in a file of its own where it is more than a list.

    Args:
        module: The module of the function, loaded when the stage's turn has come (Hypothesis takes a second on a busy machine).
        function: Its name.
        share: The part of the time left that it may take.
        whole: Whether it runs to its end where the campaign may take longer (`CampaignSpec.longest_s`).
        divisible: Whether its cases are independent, so that several processes may share them.
        alone: Whether it sends in chats that cases before it share, so that those must be done.
        guided: Whether it needs the agent inside the target (`CampaignSpec.guide`).
        still: Whether who tries the target's memory keeps still meanwhile (`CampaignContext.silent`).
    """

    module: str
    function: str
    share: float
    whole: bool = False
    divisible: bool = False
    alone: bool = False
    guided: bool = False
    still: bool = False

    def load(self) -> Callable[[CampaignContext, Clock], None]:
        """The function that runs the stage until it is done or its time is up."""
        function: Callable[[CampaignContext, Clock], None] = getattr(import_module(self.module), self.function)
        return function


TABLE: Final = {
    "served": CampaignStage("chaosbot.fuzz.served", "run_served", 0.15),
    "vocabulary": CampaignStage("chaosbot.fuzz.vocabulary", "run_vocabulary", 0.27),
    "guided": CampaignStage("chaosbot.fuzz.guided", "run_guided", 0.35, guided=True, still=True),
    "growth": CampaignStage("chaosbot.fuzz.growth", "run_growth", 0.03, still=True),
    "urls": CampaignStage("chaosbot.fuzz.urls", "run_urls", 0.05),
    "catalogue": CampaignStage("chaosbot.fuzz.stages", "run_catalogue", 0.5, whole=True),
    "state": CampaignStage("chaosbot.fuzz.state", "run_state", 0.25),
    "trust": CampaignStage("chaosbot.fuzz.trust", "run_trust", 0.5),
    "outbound": CampaignStage("chaosbot.fuzz.outbound", "run_outbound", 0.75),
    "forms": CampaignStage("chaosbot.fuzz.forms", "run_forms", 0.4),
    "mutations": CampaignStage("chaosbot.fuzz.stages", "run_mutations", 0.2, divisible=True),
    "arguments": CampaignStage("chaosbot.fuzz.arguments", "run_arguments", 0.4),
    "generated": CampaignStage("chaosbot.fuzz.generated", "run_generated", 0.3, divisible=True),
    "sequences": CampaignStage("chaosbot.fuzz.sequences", "run_sequences", 1.0, alone=True),
}
"""The stages by name, in the order of `chaosbot.fuzz.spec.STAGES`."""


_LEAST_S: Final = 0.5
"""So long cases of the product are sent, however long it took to make it."""


def build_ahead(context: CampaignContext) -> None:
    """Begins to build the catalogue, which takes seconds of a processor, while another stage mostly waits for replies."""
    if "catalogue" in context.spec.stages and context.built is None:
        context.built = _beside("fuzz-catalogue", partial(_built, context))


def _built(context: CampaignContext) -> tuple[Case, ...]:
    return catalogue(context.spec, context.platform, context.target.answered)


def make_ahead(context: CampaignContext) -> None:
    """Begins to make the product: it takes seconds of a processor, which a stage that waits for replies leaves idle."""
    if "mutations" in context.spec.stages:
        context.product = _beside("fuzz-product", partial(_product, context))


def _beside(name: str, make: Callable[[], T]) -> Future[T]:
    hands = ThreadPoolExecutor(1, name)
    future = hands.submit(make)
    hands.shutdown(wait=False)
    return future


def _product(context: CampaignContext) -> Product:
    return product(context.platform, context.dice.at("mutations"), broken_goldens(context))


def run_mutations(context: CampaignContext, clock: Clock) -> None:
    """Operators times places, of every valid update that the target does not break on anyway."""
    context.resume()
    limit = context.spec.max_examples
    pairs = context.product.result() if context.product is not None else _product(context)
    if context.spec.part == 0:
        text = f"{len(pairs.pairs)} pairs of an operator and a place are to be tried"
        context.recorder.emit(Noted(context.recorder.now(), PRODUCT, text, pairs.planned()))
    cases = mutations(
        context.platform,
        context.spec.endpoint,
        context.dice.at("mutations"),
        written_first(context.platform, pairs, _answered_kinds(context)),
    )
    # Making the product may take longer than a short campaign's share of time, and none of it is the target's.
    clock = Clock(max(clock.until, monotonic() + _LEAST_S), clock.should_stop)
    cases = islice(cases, context.spec.part, None, context.spec.workers)
    run_cases(context, islice(cases, limit) if limit is not None else cases, "mutations", clock)


def _answered_kinds(context: CampaignContext) -> frozenset[str]:
    """The kinds of update that the API has an answer of its own for, which the target was seen to give: ``inline_query`` by answerInlineQuery."""
    methods = {call.method.lower() for call in context.target.calls()}
    kinds = {place.partition("/")[0] for place in context.platform.golden(context.dice)}
    return frozenset(kind for kind in kinds if f"answer{kind.replace('_', '')}" in methods)


def catalogue(spec: CampaignSpec, platform: Platform, ordinary: str = "") -> tuple[Case, ...]:
    """All catalogue cases of this campaign: the platform-neutral ones and the platform's, in their order."""
    from chaosbot.fuzz.catalogue import cases as build  # noqa: PLC0415 - large tables, loaded when they are needed

    cases = build(platform, spec.endpoint, Dice(spec.seed), ordinary)
    names: set[str] = set()
    unique = [case for case in cases if not (case.name in names or names.add(case.name))]  # type: ignore[func-returns-value]
    if spec.only:
        unique = [case for case in unique if any(fnmatch.fnmatch(case.name, pattern) for pattern in spec.only)]
    return tuple(unique)


def run_catalogue(context: CampaignContext, clock: Clock) -> None:
    """Known findings first, then the whole catalogue: slow cases beside, heavy ones alone, the others in volleys."""
    with context.silent():
        heavy, bulky = _light(context, clock)
    for case in heavy:
        if clock.over():
            return
        run_measured(context, case, "catalogue")
    for case in bulky:
        # One at a time: a text that stalls the target would otherwise be waited for once for each of its neighbours.
        if clock.over():
            return
        if not context.attribution.stalls(case.change):
            run_cases(context, [case], "catalogue", clock)


def _light(context: CampaignContext, clock: Clock) -> tuple[list[Case], list[Case]]:
    """Sends what may go side by side; the heavy and the bulky ones, which are left."""
    known = findings.known_cases(context.spec)
    built = context.built.result() if context.built is not None else _built(context)
    cases = _meant(context, built)
    slow_ones = [case for case in cases if slow(case)]
    heavy = [case for case in cases if not slow(case) and _is_heavy(case)]
    light = [case for case in cases if not slow(case) and not _is_heavy(case)]
    # Where any update is large, none of that size stalls anybody.
    size = max(_BULKY, 2 * len(context.target.health_case().request))
    bulky = [case for case in light if len(case.request) > size]
    context.slow.add(slow_ones, "catalogue")
    # What must be answered while its sender waits comes first: where it is late, little else will be reached.
    valid = goldens(context)
    urgent = [case for case in valid if case.expect.within_s is not None]
    run_cases(context, urgent, "catalogue", clock)
    small = [*known, *unknown_commands(context), *(case for case in light if len(case.request) <= size)]
    if context.store.seen.replies == "mock":
        shared, small = divided(small)
        context.shared.add(shared, "catalogue")
    names = {case.name for case in known}
    run_cases(context, [case for case in small if case.name in names], "catalogue", clock)
    # Any stranger can send it, and cases that stall the target may take all of the stage's time.
    flood = stranger_flood(context.platform, context.spec.endpoint, context.dice) if context.store.seen.memory else None
    if flood is not None and not clock.over():
        run_measured(context, flood, "catalogue")
    small = [case for case in small if case.name not in names]
    run_cases(context, small, "catalogue", clock, planned=len(known) + len(cases))
    valid = [case for case in valid if case not in urgent]
    held = [case for case in valid if context.shared.reserves(case.chat)]
    context.shared.add(held, "catalogue")
    run_cases(context, [case for case in valid if case not in held], "catalogue", clock)
    from chaosbot.fuzz.served import still_served  # noqa: PLC0415 - it builds on this file

    still_served(context, clock)
    return heavy, bulky


def _meant(context: CampaignContext, cases: Sequence[Case]) -> Sequence[Case]:
    """The cases without those that ask a target that names its own commands for rights to the platform's examples.

    What it names is asked for by other stages; the examples, in the admin's chat one after the other, would keep that chat for nothing.
    """
    if context.spec.only:
        return cases
    matter = compared(cases)

    def meant(case: Case) -> bool:
        facts = context.platform.read(case.request) if case.name in matter else None
        command = facts.command if facts is not None else None
        return command is None or command not in context.platform.commands or context.offers(command)

    kept = [case for case in cases if meant(case)]
    names = {case.name for case in kept}
    return [case for case in kept if not case.control or case.control in names]


def broken_goldens(context: CampaignContext) -> frozenset[str]:
    """The valid updates that the target already breaks on: their mutations would only say the same."""
    return frozenset(
        event.case.removeprefix(GOLDEN)
        for event in context.recorder.events
        if isinstance(event, CaseTried) and event.case.startswith(GOLDEN) and _broke(event)
    )


def _broke(event: CaseTried) -> bool:
    return bool(event.violations) or any(not isinstance(one, Quiet) for one in event.observations)


def goldens(context: CampaignContext) -> list[Case]:
    """Every valid update as it is: all must be acknowledged, and mutations start from those that are."""
    found = []
    for name, update in context.platform.golden(context.dice).items():
        place = context.dice.at("golden", name, context.spec.endpoint.started)
        case = context.case(
            context.platform.fresh(update, place),
            place,
            f"{GOLDEN}{name}",
            f"a valid update: {name}",
            context.platform.expected(name),
        )
        kind = context.kind_of(case) or ""
        found.append(replace(case, group="kinds", threat=Threat.USER, change=Change(Mechanism.KIND, kind)))
    return found


def unknown_commands(context: CampaignContext) -> list[Case]:
    """What each tier gets for a command that nobody knows: the background against which privileged replies stand out."""
    found = []
    for tier in context.platform.tiers:
        for name, text, kind, summary in _UNKNOWN:
            place = context.dice.at("nothing", tier, name, context.spec.endpoint.started)
            update = context.platform.say(text.replace("{m}", marker(place)), place, tier=tier, kind=kind)
            if update is not None:
                full = f"control/nothing-{name}-{tier}"
                case = context.case(update, place, full, summary)
                found.append(replace(case, group="control", threat=Threat.USER, role=Role.BACKGROUND))
    return found


def _is_heavy(case: Case) -> bool:
    return (
        (case.check in CHECKS.names() and CHECKS.get(case.check).needs_isolation)
        or len(case.request) > _HEAVY
        or b"content-encoding" in case.segments[0].data[:2048].lower()
    )


def run_measured(context: CampaignContext, case: Case, stage: str) -> None:
    """Sends one case alone and measures what it costs the target in memory; what seems to cost much up to three times, since others may be served beside it."""
    result, growth = _measured(context, case, stage)
    results = [result]
    while growth is not None and growth > len(case.request) // 4 and len(results) < _LOOKS:
        again = context.target.renewed(case, context.dice.at("measured", case.name, len(results)))
        more, less = _measured(context, replace(again, name=f"{case.name}-again-{len(results)}"), stage)
        results.append(more)
        if less is None:
            break
        growth = min(growth, less)
    if growth is not None:
        result.observations.append(Grew(growth))
        context.recorder.emit(ProbeSeen(context.recorder.now(), "case-memory", ok=True, value=growth, detail=case.name))
    observe(context, results)


def _measured(context: CampaignContext, case: Case, stage: str) -> tuple[CaseResult, int | None]:
    """The case's result, and by how many bytes the target grew for it; None where that cannot be seen."""
    target = context.target
    process.forget_peaks(target.pids)
    before = target.vitals()
    result = target.fire(case, stage)
    after = target.vitals() if target.lives else None
    return result, max(0, after.peak - before.resident) if before is not None and after is not None else None


def run_cases(context: CampaignContext, cases: Iterable[Case], stage: str, clock: Clock, *, planned: int = 0) -> None:
    """Sends cases in volleys, looks at the target after each, records."""
    # What would disturb a chat in which one case at a time is awaited is left out until that is over.
    for volley in _volleys(case for case in cases if not context.shared.reserves(case.chat)):
        if clock.over():
            return
        results = [*context.target.volley(volley, stage), *context.shared.take()]
        observe(context, results)
        context.show(stage, planned)


def observe(context: CampaignContext, results: Sequence[CaseResult]) -> None:
    """Charges what went wrong to the case that did it, and records all of them, also when the target is gone."""
    try:
        context.attribution.after(results)
    finally:
        for result in results:
            context.recorder.record(result)


def take_shared(context: CampaignContext, clock: Clock) -> None:
    """Takes in the cases of shared chats; waits for those that are still under way."""
    observe(context, context.shared.finish(clock))


def _volleys(cases: Iterable[Case]) -> Iterator[list[Case]]:
    iterator = iter(cases)
    while volley := list(islice(iterator, VOLLEY)):
        yield volley
