"""Properties of the fold: it judges whatever a journal can hold, never calls trouble a pass, and folds again to the same."""

import json
from typing import Any
from xml.etree import ElementTree as ET

from hdrh.histogram import HdrHistogram
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from chaosbot.core.check import History
from chaosbot.core.event import (
    SCHEMA,
    TYPES,
    ApiCalled,
    IntervalMeasured,
    Noted,
    RequestDone,
    RunEnded,
    RunStarted,
    StreamInterval,
    TaskInterval,
    Trouble,
)
from chaosbot.core.verdict import Verdict
from chaosbot.journal import Journal, Redactor, read
from chaosbot.report import compare, fold, render_comparison
from chaosbot.report.terminal import render_terminal
from chaosbot.reporters.html import render_html
from chaosbot.reporters.json import to_json
from chaosbot.reporters.junit import render_junit
from chaosbot.reporters.markdown import render_markdown
from chaosbot.reporters.sarif import render_sarif


def _encoded(*microseconds: int) -> str:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value in microseconds:
        histogram.record_value(value)
    return histogram.encode().decode()


# Frames as the load driver writes them, besides those of any text.
FRAMES = ("", _encoded(1, 20_000, 20_001, 3_000_000), _encoded(*range(100, 90_000, 100)))

st.register_type_strategy(float, st.floats(-1e7, 1e7, allow_nan=False))
st.register_type_strategy(int, st.integers(-(2**40), 2**40))
SETTINGS = st.dictionaries(
    st.sampled_from(["slo", "thresholds", "assertions", "profile", "checks", "budgets", "limits", "soak"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(-1e6, 1e6)
        | st.text(max_size=8)
        | st.sampled_from(["p99", "soak", "< 2s"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["metric", "target", "alert", "window", "p50", "memory"]), inner, max_size=4
            )
        ),
        max_leaves=6,
    ),
)
ANY_DICT = st.dictionaries(
    st.text(max_size=5), st.none() | st.text(max_size=5) | st.lists(st.text(max_size=4), max_size=2)
)


def _events(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Events of one type: any value in any field, but histograms that are sometimes readable, and names that meet."""
    fields: dict[str, Any] = dict.fromkeys(kind.__struct_fields__, ...)
    few = st.sampled_from(["", "a", "b", "circuits", "memory"])
    fields |= {name: few for name in ("exchange", "rule", "fault", "probe", "marker") if name in fields}
    if "phase" in fields:
        fields["phase"] = st.sampled_from(["warmup", "baseline", "fault", "recovery", "fuzz", ""])
    if kind is ApiCalled:
        fields["markers"] = st.lists(few, max_size=2).map(tuple)
    if kind is RunStarted:
        fields |= {"settings": SETTINGS, "environment": st.dictionaries(st.text(max_size=4), st.text(max_size=4))}
        fields["schema"] = st.integers(1, SCHEMA)
    if kind is Noted:
        fields |= {"area": st.sampled_from(["coverage", "generator", "fuzz", "x"]), "data": ANY_DICT}
    if kind is IntervalMeasured:
        counts = st.integers(0, 500)
        text = st.sampled_from([*FRAMES, *FRAMES, "damaged"]) | st.text(max_size=6)
        fields |= dict.fromkeys(("planned", "started", "completed", "failed", "timed_out", "dropped"), counts)
        fields |= {"response": text, "service": text}
        parts = st.builds(TaskInterval, counts, st.dictionaries(few, counts, max_size=2), text)
        fields["by_task"] = st.dictionaries(few, parts, max_size=2)
        streams = st.builds(StreamInterval, **dict.fromkeys(StreamInterval.__struct_fields__, ...))
        fields["streams"] = st.dictionaries(few, streams, max_size=2)
    if kind not in (RunStarted, RequestDone):
        fields["t"] = st.floats(0, 60) | st.floats(-1e7, 1e7)
    return st.builds(kind, **fields)


EVENT = st.one_of([_events(kind) for kind in TYPES.values()])
EVENTS = st.lists(EVENT, max_size=25)
QUICK = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@QUICK
@given(EVENTS, st.booleans())
def test_any_history_folds_and_is_shown(events, torn):
    history = History.of(events, torn=torn)
    report = fold(history)
    plain = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert plain["schema"] == "chaosbot.report/1"
    assert plain["verdict"] == report.verdict.value
    assert report.reasons
    ET.fromstring(render_junit(report))
    json.loads(render_sarif(report))
    assert render_markdown(report)
    assert render_comparison(compare(report, report))
    console = Console(width=100, file=None, quiet=True)
    render_terminal(report, console)


# A page is megabytes long, so there are fewer, and they are not shrunk.
@settings(QUICK, max_examples=25, phases=[Phase.generate])
@given(EVENTS)
def test_any_history_has_a_page(events):
    history = History.of(events)
    assert "</html>" in render_html(fold(history, checks=()))


@QUICK
@given(EVENTS, st.builds(Trouble))
def test_trouble_is_never_a_pass(events, trouble):
    started = RunStarted(0.0, "run", "1", 1, "x", "")
    history = History.of([started, *events, trouble, RunEnded(1.0, "completed")])
    assert fold(history, checks=()).verdict is not Verdict.PASS


@QUICK
@given(EVENTS)
def test_a_run_that_says_nothing_about_its_end_is_never_a_pass(events):
    history = History.of([event for event in events if not isinstance(event, RunEnded)])
    assert fold(history, checks=()).verdict is not Verdict.PASS


@settings(QUICK, max_examples=40)
@given(EVENTS)
def test_a_run_that_is_read_back_folds_to_the_same(tmp_path_factory, events):
    directory = tmp_path_factory.mktemp("run") / "it"
    journal = Journal(directory, Redactor())
    for event in [*events, RunEnded(1.0, "completed")]:
        journal.write(event)
    journal.close()
    live = fold(History.of([*events, RunEnded(1.0, "completed")]))
    assert to_json(fold(read(directory))) == to_json(live)
