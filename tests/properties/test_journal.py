"""The journal: events survive the way to disk and back, secrets do not."""

import base64
import dataclasses
import json
import re
import stat
import subprocess
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaosbot.core.errors import EngineError, JournalError, UsageError
from chaosbot.core.event import (
    SCHEMA,
    TYPES,
    ApiCalled,
    CaseTried,
    Event,
    ExchangeSeen,
    IntervalMeasured,
    Judged,
    Noted,
    RequestDone,
    RunEnded,
    RunStarted,
    decode,
    encode,
    from_json,
    to_json,
)
from chaosbot.core.exchange import Direction
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Assertion, Finding, Judgement, RootCause, Severity, Threat, Verdict
from chaosbot.journal import EVENTS_FILE, REDACTED, Journal, Redactor, read, write_private
from chaosbot.report import fold

SECRET = "s3cr3t-väl ue/with+odd&chars"
TOKEN = "123456789:AAExampleTokenThatLooksQuiteReal_-12345"

# What a hostile target can put into a field of an event: anything that Python's parsers let through.
texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "a\udfffb", "\x00\x1b[2J\u202e", "\u2028", "nan"]
)
numbers = st.floats(allow_nan=False) | st.sampled_from([float("inf"), float("-inf"), 5e-324])
integers = st.integers() | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**30, 10**4000, -(10**4000)])
json_values = st.recursive(
    st.none() | st.booleans() | integers | numbers | texts,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(texts | st.sampled_from(["$int", "$float", "$$int", "type"]), children, max_size=3)
    ),
    max_leaves=8,
)


def hostile(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type can hold, the worst ones among them."""
    known = {
        str: texts,
        int: integers,
        float: numbers,
        bool: st.booleans(),
        bytes: st.binary(max_size=20),
        Any: json_values,
    }
    if hint in known:
        return known[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(hostile, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(hostile, arguments))
    if origin in (tuple, frozenset):
        many = st.lists(hostile(arguments[0]), max_size=3)
        return many.map(tuple) if origin is tuple else many.map(frozenset)
    if origin is dict:
        return st.dictionaries(texts | st.just("$int"), hostile(arguments[1]), max_size=3)
    if dataclasses.is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        return st.builds(
            hint,
            **{name: hostile(kind) for name, kind in typing.get_type_hints(hint).items() if name in fields_of(hint)},
        )
    return st.none() if hint is type(None) else st.sampled_from(hint)


def fields_of(kind: Any) -> tuple[str, ...]:
    return getattr(kind, "__struct_fields__", None) or tuple(field.name for field in dataclasses.fields(kind))


events = (
    st.sampled_from(sorted(TYPES))
    .flatmap(lambda name: hostile(TYPES[name]))
    .filter(lambda event: not isinstance(event, RunStarted) or event.schema <= SCHEMA)
)
slow = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


@slow
@given(events)
def test_every_event_survives_the_way_to_text_and_back_whatever_its_fields_hold(event: Event) -> None:
    line = encode(event)
    assert decode(line) == event
    assert b"\n" not in line
    # Any parser reads it: no NaN, no bare surrogate.
    json.loads(line.decode("utf-8"), parse_constant=pytest.fail)


@slow
@given(events)
def test_every_event_survives_as_a_json_object(event: Event) -> None:
    assert from_json(to_json(event)) == event


def test_not_a_number_stays_not_a_number() -> None:
    seen = ExchangeSeen(float("nan"), "1", Direction.INBOUND, "GET", "/", None, "target", float("-inf"))
    back = decode(encode(seen))
    assert isinstance(back, ExchangeSeen)
    assert back.t != back.t
    assert (back.seconds, back.status) == (float("-inf"), None)


def test_an_integer_past_64_bits_in_a_status_reads_back(tmp_path: Path) -> None:
    seen = ExchangeSeen(0.0, "1", Direction.INBOUND, "GET", "/", 99999999999999999999, "target", 0.1)
    _journal(tmp_path / "run", seen, RunEnded(1.0, "completed"))
    assert read(tmp_path / "run").exchanges == (seen,)


def test_an_integer_that_python_refuses_to_print_reads_back() -> None:
    huge = Noted(0.0, "a", "b", {"$int": 10**6000, "list": [-(10**6000)], "deep": {"$int": "0x1"}})
    assert decode(encode(huge)) == huge


def test_types_and_members_of_version_0_1_are_read_by_their_old_names(tmp_path: Path) -> None:
    old = [
        {"type": "RunStarted", "t": 0.0, "verb": "proxy", "version": "0.1", "seed": 1, "target": "x", "started": "now"},
        {
            "type": "ExchangeSeen",
            "t": 0.1,
            "exchange": "1",
            "lane": "inbound",
            "method": "GET",
            "path": "/",
            "status": 200,
        }
        | {"by": "standin", "seconds": 0.1},
        {
            "type": "FrameTaken",
            "t": 1.0,
            "second": 0,
            "shard": 0,
            "planned": 1,
            "started": 1,
            "completed": 1,
            "failed": 0,
        }
        | {"timed_out": 0, "dropped": 0, "response": "", "service": ""},
        {"type": "ApiCalled", "t": 1.0, "method": "sendMessage", "via": "standin"},
        {"type": "CaseTried", "t": 1.1, "case": "a/b", "group": "a", "threat": "user", "stage": "catalogue"}
        | {"outcome": {"fate": "answered", "status": 500}, "breaches": ["no_hang"], "canary_s": 0.5, "notes": ["hung"]},
        {
            "type": "Judged",
            "t": 1.2,
            "judgement": {
                "check": "no_hang",
                "verdict": "fail",
                "findings": [
                    {
                        "check": "no_hang",
                        "title": "hangs",
                        "severity": "high",
                        "threat": "user",
                        "bucket": "slow:*.chat",
                    }
                ],
            },
        },
        {"type": "RunEnded", "t": 2.0, "how": "completed"},
    ]
    (tmp_path / EVENTS_FILE).write_text("".join(json.dumps(line) + "\n" for line in old))
    history = read(tmp_path)
    assert [(seen.direction, seen.by) for seen in history.exchanges] == [(Direction.INBOUND, "mock")]
    assert history.all(ApiCalled)[0].via == "mock"
    assert len(history.all(IntervalMeasured)) == 1
    assert [(tried.violations, tried.health_s) for tried in history.cases] == [(("no_hang",), 0.5)]
    (judged,) = history.all(Judged)
    assert judged.judgement.findings[0].cause.symptom == "slow:*.chat"
    assert (history.torn, history.damage) == (False, ())


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    _journal(tmp_path / "run", RunStarted(0.0, "proxy", "9.0", 1, "x", "now", schema=SCHEMA + 1))
    with pytest.raises(JournalError, match=r"chaosbot 9\.0"):
        read(tmp_path / "run")


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
        finding = Finding(
            "c", place, Severity.LOW, Threat.USER, RootCause(place), place, place, place, raw, 1, place, place
        )
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


LINES = [Noted(float(number), "a", f"line {number}") for number in range(5)]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda lines: [*lines[:2], *lines[3:]], "events.ndjson:3: this line has number 4; 3 is missing before it"),
        (lambda lines: lines[1:], "events.ndjson:1: this line has number 2; 1 is missing"),
        (lambda lines: [lines[0], *lines[4:]], "events.ndjson:2: this line has number 5; 2 to 4 is missing"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "events.ndjson:4: this line has number 3 where 4 was due"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "events.ndjson:1: this line has number 2"),
        (
            lambda lines: [*lines[:2], lines[2].replace(b"line 2", b"line X"), *lines[3:]],
            "events.ndjson:3: this line is not what was written",
        ),
        (
            lambda lines: [*lines[:3], b'{"type":"Noted","t":1.0,"area":"a","text":"b"}\n', *lines[3:]],
            "events.ndjson:4",
        ),
    ],
    ids=["dropped", "first dropped", "several dropped", "doubled", "swapped", "edited", "added"],
)
def test_a_line_that_is_missing_or_moved_is_named(
    tmp_path: Path, how: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    path = _journal(tmp_path / "run", *LINES, RunEnded(9.0, "completed"))
    assert read(path.parent).damage == ()
    path.write_bytes(b"".join(how(path.read_bytes().splitlines(keepends=True))))
    (damage,) = read(path.parent).damage
    assert message in damage


def test_a_run_whose_journal_lacks_a_line_is_inconclusive(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    seen = [ExchangeSeen(float(t), f"{t}", Direction.INBOUND, "GET", "/", 200, "target", 0.1) for t in range(3)]
    path = _journal(
        directory, RunStarted(0.0, "proxy", "1", 1, "x", "now", schema=SCHEMA), *seen, RunEnded(9.0, "completed")
    )
    assert fold(read(directory)).verdict is Verdict.PASS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    report = fold(read(directory))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("events.ndjson:3" in reason for reason in report.reasons)


@pytest.mark.parametrize(
    "hidden",
    [
        "%50lantedSecret-77",
        "Pl%61nted%53ecret-77",
        "%2550lantedSecret%252d77",
        "\\u0050lantedSecret-77",
        "\\\\u0050lanted\\\\u0053ecret-77",
        "&#80;lantedSecret&#x2d;77",
        "\\x50lantedSecret-77",
        b"PlantedSecret-77".hex(),
        "".join(f"%{byte:02x}" for byte in b"PlantedSecret-77"),
    ],
)
def test_a_secret_is_found_behind_escapes(hidden: str) -> None:
    redactor = Redactor(("PlantedSecret-77",))
    assert redactor.text(f"/hook?t={hidden}&u=%41") == "/hook?t=[redacted]&u=%41"
    assert redactor.data(f"a{hidden}b".encode()) == b"a[redacted]b"


def test_a_bot_token_is_found_behind_escapes() -> None:
    assert Redactor().text("/bot" + TOKEN.replace(":", "%3a").replace("Ex", "%45x") + "/x") == "/bot[redacted]/x"


def test_what_holds_no_secret_comes_back_as_it_is() -> None:
    redactor = Redactor(("PlantedSecret-77",))
    for text in ("100%", "%zz%5", "\\u12", "&#;", "a%20b", "\ud800%20", "%F0%9F%98%80"):
        assert redactor.text(text) == text


@given(st.text(), st.text(st.characters(exclude_categories=("Cs",)), min_size=4, max_size=12), st.data())
def test_a_secret_with_any_characters_escaped_is_redacted(before: str, secret: str, data: st.DataObject) -> None:
    ways = [
        lambda character: character,
        lambda character: quote(character, safe=""),
        lambda character: "".join(f"%{byte:02x}" for byte in character.encode()),
        lambda character: f"&#{ord(character)};",
        lambda character: f"\\u{ord(character):04x}" if ord(character) < 0x10000 else character,
    ]
    # What escapes at all escapes its own sign too: a bare one before an escaped character would say something else.
    hidden = "".join(data.draw(st.sampled_from(ways[character in "\\%&" :]))(character) for character in secret)
    assert REDACTED in Redactor((secret,)).text(f"{before}|{hidden}")


def test_run_directories_and_their_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    path = _journal(tmp_path / "runs" / "run", Noted(0.0, "a", "one"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_journal_that_cannot_be_written_any_more_keeps_what_is_there(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from chaosbot.core.event import Noted, RunEnded; "
        "from chaosbot.journal import Journal; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)); "
        "journal = Journal(Path(sys.argv[1])); "
        "[journal.write(Noted(float(number), 'a', 'x' * 100)) for number in range(2000)]; "
        "history = journal.history(); journal.close(); "
        "assert history.torn; assert 20 < len(history.events) < 80, len(history.events); "
        "(damage,) = history.damage; assert 'File too large' in damage, damage; assert 'events were lost' in damage"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)


@pytest.mark.parametrize(
    "hidden",
    [
        "Planted&amp;=3Dsecret &quot;77&quot;/é",
        "Planted%26=3Dsecret+%2277%22%2F%C3%A9",
        "Planted%26=3Dsecret+%2277%22%2f%c3%a9",
        "Planted&=3D3Dsecret =2277=22/=C3=A9",
        'Planted&=3D3Dse=\r\ncret "77=\n"/=C3=A9',
        'Planted&=3Dsecret+"77"/é',
    ],
)  # fmt: skip
def test_a_secret_is_found_as_forms_and_mails_write_it(hidden: str) -> None:
    redactor = Redactor(('Planted&=3Dsecret "77"/é',))
    assert redactor.text(f"a: {hidden};") == "a: [redacted];"
    assert redactor.data(f"a: {hidden};".encode()) == b"a: [redacted];"


def test_an_event_whose_text_is_quoted_as_in_mails_is_looked_at_as_well() -> None:
    redactor = Redactor(("PlantedSecret77",))
    line = encode(Noted(0.0, "fuzz", "x=50lantedSecret77"))
    assert redactor.may_hold(line)
    assert not redactor.may_hold(encode(Noted(0.0, "fuzz", "?id=50&n=12")))


def test_a_secret_is_found_in_base64_that_is_cut_into_lines() -> None:
    secret = "PlantedSecret-77"
    for before in range(90):
        cut = base64.encodebytes(b"x" * before + secret.encode() + b"y" * 60).replace(b"\n", b"\r\n")
        assert b"[redacted]" in Redactor((secret,)).data(cut)


def test_what_is_written_beside_the_journal_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "findings" / "one" / "case.json"
    write_private(path, "{}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(EngineError, match=r"case\.json.x: cannot be written .*journal"):
        write_private(path / "x", "")


@pytest.mark.parametrize("kept", [0, 1])
def test_a_journal_that_lacks_all_its_numbers_is_inconclusive(kept: int, tmp_path: Path) -> None:
    seen = ExchangeSeen(1.0, "1", Direction.INBOUND, "GET", "/", 200, "target", 0.1)
    start = RunStarted(0.0, "proxy", "1", 1, "x", "now", schema=SCHEMA)
    path = _journal(tmp_path / "run", start, seen, RunEnded(9.0, "completed"))
    assert fold(read(path.parent)).verdict is Verdict.PASS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]) + b"".join(re.sub(rb',"n":.*', b"}", line) for line in lines[kept:]))
    report = fold(read(path.parent))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("carries no number" in reason for reason in report.reasons)


def test_a_folder_of_somebodys_own_keeps_what_git_ignores_in_it(tmp_path: Path) -> None:
    ignored = tmp_path / ".gitignore"
    Journal(tmp_path).discard()
    assert not ignored.exists()
    ignored.write_text("build\n")
    Journal(tmp_path).discard()
    assert ignored.read_text() == "build\n"
    Journal(tmp_path / "made").close()
    assert (tmp_path / "made" / ".gitignore").read_text() == "*\n"
