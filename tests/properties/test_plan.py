"""Plans survive the way through a file, whatever is in them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaosbot.config.plan import plan_from, plan_to_mapping
from chaosbot.core.errors import ConfigError
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.plan import FaultPlan, Matcher, Rule, Scope, Window
from chaosbot.faults.abort import Abort
from chaosbot.faults.delay import Delay
from chaosbot.faults.header_edit import HeaderEdit
from chaosbot.faults.huge_body import HugeBody

seconds = st.floats(0, 1e6, allow_nan=False).map(lambda value: abs(round(value, 9)))
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20)
pairs = st.dictionaries(texts, texts, max_size=3).map(lambda table: tuple(table.items()))
faults = st.one_of(
    st.builds(Delay, time=seconds, jitter=seconds, shape=st.sampled_from(["constant", "pareto"])),
    st.builds(Abort, status=st.integers(200, 599), retry_after=seconds, body=texts),
    st.builds(HugeBody, size=st.integers(0, 10**12)),
    st.builds(HeaderEdit, header=st.just("x-some"), value=texts, add=st.booleans()),
)
positive = st.none() | st.integers(1, 10**6)


@st.composite
def windows(draw: Any) -> Window:
    length = draw(st.none() | seconds.filter(bool))
    every = draw(st.none() | st.just(length * 3)) if length else None
    return Window(draw(seconds), length, every, draw(st.just("") | texts))


@st.composite
def rules(draw: Any) -> Rule:
    # Updates run on the inbound direction only.
    direction = draw(st.none() | st.sampled_from(Direction))
    words = (
        [None] * 4
        if direction is Direction.OUTBOUND
        else [draw(st.none() | texts.filter(lambda text: text[0] != "/")) for _ in range(4)]
    )
    counted = draw(st.sampled_from(["first", "nth", "every", "none"]))
    counts = {} if counted == "none" else {counted: draw(positive)}
    return Rule(
        name=draw(texts),
        fault=draw(faults),
        match=Matcher(
            direction,
            *(draw(st.none() | texts) for _ in range(2)),
            draw(pairs),
            draw(pairs),
            *words,
        ),
        window=draw(windows()),
        rate=draw(st.floats(0, 1)),
        scope=draw(st.sampled_from([Scope.EXCHANGE, Scope.UPDATE])),
        per=draw(st.sampled_from(["", "chat", "user", "update"])) if any(counts.values()) else "",
        cap=draw(positive),
        **counts,
    )


FAULTS.names()  # read before the first example, which would be slow by it


@given(st.lists(rules(), max_size=4, unique_by=lambda rule: rule.name))
def test_a_plan_written_down_is_the_plan_read_back(listed: list[Rule]) -> None:
    plan = FaultPlan(tuple(listed))
    assert plan_from(plan_to_mapping(plan), "here") == plan


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["fault", "options", "p", "headers", "body", "every", "start", "for", "first", "direction", "path", "cap", "scope"]
)


@given(st.dictionaries(keys, anything, max_size=5), st.booleans())
def test_whatever_a_person_writes_is_a_plan_or_a_clear_refusal(item: dict[str, Any], usable: bool) -> None:
    if usable:
        item = {**item, "fault": "abort:503"}
    try:
        plan_from({"rules": [item]}, "here")
    except ConfigError as error:
        assert str(error).startswith("here")  # noqa: PT017 - both ends are right
