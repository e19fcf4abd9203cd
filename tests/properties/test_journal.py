"""The journal: events survive the way to disk and back, secrets do not."""

import base64
import dataclasses
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaosbot.core.errors import JournalError, UsageError
from chaosbot.core.event import (
    TYPES,
    ApiCalled,
    CaseTried,
    Event,
    Judged,
    Noted,
    RequestDone,
    RunEnded,
    RunStarted,
    from_json,
    to_json,
)
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Assertion, Finding, Judgement, Severity, Threat, Verdict
from chaosbot.journal import EVENTS_FILE, Journal, Redactor, read

SECRET = "s3cr3t-väl ue/with+odd&chars"
TOKEN = "123456789:AAExampleTokenThatLooksQuiteReal_-12345"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
# Any is JSON in events; text without lone surrogates is what orjson can write.
st.register_type_strategy(str, st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
plain_dicts = st.dictionaries(st.from_type(str), st.from_type(str), max_size=3)
events = st.sampled_from(sorted(TYPES)).flatmap(
    lambda name: st.builds(
        TYPES[name],
        **{
            field.name: plain_dicts
            for field in dataclasses.fields(TYPES[name])
            if field.name in {"settings", "environment", "data"}
        },
    )
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(events)
def test_every_event_survives_json_and_back(event: Event) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(events, max_size=5))
def test_a_whole_journal_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[Event]
) -> None:
    directory = tmp_path_factory.mktemp("run") / "run"
    journal = Journal(directory)
    for event in [*wanted, RunEnded(1.0, "completed")]:
        journal.write(event)
    journal.close()
    history = read(directory)
    assert history.events == (*wanted, RunEnded(1.0, "completed"))
    assert not history.torn


def _journal(directory: Path, *wanted: Event) -> Path:
    journal = Journal(directory, Redactor((SECRET,)))
    for event in wanted:
        journal.write(event)
    journal.close()
    return directory / EVENTS_FILE


def test_a_torn_last_line_makes_the_history_torn_and_keeps_the_rest(tmp_path: Path) -> None:
    path = _journal(tmp_path / "run", Noted(0.0, "a", "one"), RunEnded(1.0, "completed"))
    path.write_bytes(path.read_bytes()[:-20])
    history = read(path.parent)
    assert history.torn
    assert history.events == (Noted(0.0, "a", "one"),)


def test_a_journal_without_its_end_is_torn(tmp_path: Path) -> None:
    path = _journal(tmp_path / "run", Noted(0.0, "a", "one"))
    assert read(path.parent).torn


def test_damage_in_the_middle_names_the_line(tmp_path: Path) -> None:
    path = _journal(tmp_path / "run", Noted(0.0, "a", "one"), Noted(0.0, "a", "two"), RunEnded(1.0, "completed"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"type":"Noted","t":"soon"}\n' + lines[2])
    with pytest.raises(JournalError, match=r"events\.ndjson:2"):
        read(path.parent)


def test_a_run_directory_is_written_once(tmp_path: Path) -> None:
    _journal(tmp_path / "run")
    with pytest.raises(UsageError, match="choose another"):
        Journal(tmp_path / "run")


def test_a_directory_without_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)


def spellings() -> list[bytes]:
    """The secret as it can appear in a line, base64 at each of its three alignments."""
    raw = SECRET.encode()
    inner = [base64.b64encode(b"x" * shift + raw + b"tail")[4 : 4 + len(raw)] for shift in range(3)]
    return [raw, quote(SECRET, safe="").encode(), json.dumps(SECRET)[1:-1].encode(), TOKEN.encode(), *inner]


def test_a_secret_planted_in_every_place_never_reaches_the_run_directory(tmp_path: Path) -> None:
    for number, place in enumerate(
        [SECRET, f"before {SECRET} after", quote(SECRET, safe=""), f"https://x/bot{TOKEN}/sendMessage"]
    ):
        raw = place.encode()
        outcome = Outcome(Fate.ANSWERED, 200, headers=(("x-echo", place),), body=b"x" * number + raw, detail=place)
        finding = Finding("c", place, Severity.LOW, Threat.USER, place, place, place, place, raw, 1, place, place)
        judgement = Judgement(
            "c", Verdict.FAIL, (finding,), (Assertion(place, place, 1.0, Verdict.FAIL, reason=place),), place
        )
        path = _journal(
            tmp_path / f"run{number}",
            RunStarted(0.0, "run", "1", 1, place, "now", {"deep": {place: [place]}}, {"env": place}),
            RequestDone(0.0, place, 0.0, 0.0, outcome, task=place, user=place, marker=place),
            CaseTried(0.0, place, "g", Threat.USER, "s", outcome, (place,), place, place),
            ApiCalled(0.0, "sendMessage", place, place, (place,)),
            Judged(0.0, judgement),
            Noted(0.0, "a", base64.b64encode(b"yy" + raw).decode(), {"k": place}),
            RunEnded(1.0, "completed", place),
        )
        text = path.read_bytes()
        for spelling in spellings():
            assert spelling not in text
        assert not read(path.parent).torn


def test_times_and_short_numbers_are_no_bot_tokens() -> None:
    for text in ("12:34:56", "127.0.0.1:8080", "123456789:short", "http://127.0.0.1:8000/x"):
        assert Redactor().text(text) == text


def test_a_secret_too_short_to_redact_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 4"):
        Redactor(("abc",))


def test_what_json_cannot_carry_is_written_in_another_spelling_and_not_lost(tmp_path: Path) -> None:
    hostile = CaseTried(
        0.0, "lone \ud800 half", "g", Threat.USER, "s", Outcome(Fate.ANSWERED, 200, detail="\udfff"), update_id=10**30
    )
    path = _journal(tmp_path / "run", hostile, RunEnded(1.0, "completed"))
    [tried, _] = read(path.parent).events
    assert tried.case == "lone \\ud800 half"
    assert tried.update_id == str(10**30)
