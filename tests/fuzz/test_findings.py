"""A finding on disk: it reads back as it was, holds no secret, and its baseline and corpus do what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from chaosbot.core.case import Case, Ending, Expect, Reach, Reading, Segment, hide, reveal
from chaosbot.core.errors import ConfigError
from chaosbot.core.platform import Endpoint
from chaosbot.core.verdict import Finding, RootCause, Severity, Threat
from chaosbot.fuzz import findings
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.transport import Address

SECRET = "S3cret_token-xyz"
ADDRESS = Address.parse("http://127.0.0.1:8000/hook")
CASE = Case(
    "auth/prefix",
    "auth",
    Threat.FORGER,
    (
        Segment(b"POST /hook HTTP/1.1\r\nX-Secret: " + SECRET.encode() + b"\r\nContent-Length: 2\r\n\r\n"),
        Segment(b"{}", 0.25),
    ),
    Expect(frozenset({401, 4}), close=True, within_s=3.0, reach=Reach.NONE, text="é"),
    "a summary",
    Ending.HALF_CLOSE,
    Reading.ALL,
    "cbm0123456789ab",
    -5,
    7,
    "secret_exact",
    "control",
)
FINDING = Finding("secret_exact", "takes a prefix", Severity.CRITICAL, Threat.FORGER, RootCause("b"), case=CASE.name)
REPRODUCER = findings.Reproducer("secret_exact", "b", "telegram", "/hook", ((CASE,), (CASE, CASE)), "t", "SECRET_ENV")


def test_a_reproducer_reads_back_as_it_was_once_the_secret_is_filled_in(tmp_path: Path) -> None:
    findings.write(tmp_path, FINDING, REPRODUCER, ADDRESS, SECRET)
    assert findings.read(tmp_path / FINDING.id, SECRET) == REPRODUCER


def test_no_file_of_a_finding_holds_the_secret(tmp_path: Path) -> None:
    findings.write(tmp_path, FINDING, REPRODUCER, ADDRESS, SECRET)
    for path in (tmp_path / FINDING.id).iterdir():
        data = path.read_bytes()
        assert SECRET.encode() not in data
    assert findings.needs_secret(tmp_path / FINDING.id) == "SECRET_ENV"
    value = json.loads((tmp_path / FINDING.id / "case.json").read_text())
    assert SECRET not in str(findings._case_of(value["steps"][0][0], "").request)


def test_a_flood_of_equal_segments_is_written_once_and_reads_back_whole(tmp_path: Path) -> None:
    flood = replace(
        CASE, segments=(Segment(b"POST /hook HTTP/1.1\r\n\r\n"), *[Segment(b" " * 4096)] * 500, Segment(b"}"))
    )
    reproducer = replace(REPRODUCER, steps=((flood,),))
    findings.write(tmp_path, FINDING, reproducer, ADDRESS, SECRET)
    assert (tmp_path / FINDING.id / "case.json").stat().st_size < 10_000
    assert findings.read(tmp_path / FINDING.id, SECRET) == reproducer


@pytest.mark.parametrize("before", range(len(SECRET) + 2))
def test_the_beginning_of_a_request_holds_no_piece_of_a_secret_that_lies_across_its_end(before: int) -> None:
    most = 60
    request = SECRET.encode() + b"-" * (most - before) + SECRET.encode() + b"tail" * 100
    kept = findings.beginning(request, SECRET, most)
    assert len(kept) <= most
    assert not any(SECRET[: length + 1].encode() in kept for length in range(4, len(SECRET)))


@pytest.mark.parametrize(
    "piece", [SECRET, SECRET[:-1], SECRET[1:], SECRET.upper(), SECRET.swapcase(), SECRET[:8].lower()]
)
def test_pieces_of_the_secret_are_hidden_and_come_back(piece: str) -> None:
    data = b"X-Secret: " + piece.encode() + b"\r\n"
    hidden = hide(data, SECRET)
    assert piece.encode() not in hidden
    assert reveal(hidden, SECRET) == data


def test_the_page_says_who_can_cause_it_and_how_to_see_it_again(tmp_path: Path) -> None:
    findings.write(tmp_path, FINDING, REPRODUCER, ADDRESS, SECRET)
    page = (tmp_path / FINDING.id / "README.md").read_text()
    assert "without the secret" in page
    assert "export SECRET_ENV=" in page
    assert "4xx or 401 or a closed connection, no effect, within 3 s" in page


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "chaosbot.case/9"}', '{"schema": "chaosbot.case/2", "steps": 3}']
)
def test_a_damaged_case_is_named_and_not_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(ConfigError, match=r"case\.json"):
        findings.read(tmp_path, SECRET)


def spec(tmp_path: Path) -> CampaignSpec:
    return CampaignSpec(ADDRESS, Endpoint(secret=SECRET), "telegram", corpus=tmp_path / ".chaosbot")


def test_what_was_found_is_sent_first_next_time_as_another_delivery(tmp_path: Path) -> None:
    single = findings.Reproducer("secret_exact", "b", "telegram", "/hook", ((CASE,),))
    findings.remember(spec(tmp_path), [("x-1", single), ("x-2", REPRODUCER)], complete=True)
    (known,) = findings.known_cases(spec(tmp_path))
    assert known.name == "auth/prefix~known"
    assert known.request == CASE.request
    findings.remember(spec(tmp_path), [], complete=True)
    assert findings.known_cases(spec(tmp_path)) == ()


def test_a_campaign_that_was_cut_short_forgets_nothing(tmp_path: Path) -> None:
    single = findings.Reproducer("secret_exact", "b", "telegram", "/hook", ((CASE,),))
    findings.remember(spec(tmp_path), [("x-1", single)], complete=True)
    findings.remember(spec(tmp_path), [], complete=False)
    assert len(findings.known_cases(spec(tmp_path))) == 1


def test_a_baseline_is_a_list_of_ids_or_a_report(tmp_path: Path) -> None:
    listed, report = tmp_path / "accepted.txt", tmp_path / "report.json"
    listed.write_text("# known\nno_leak-12345678  # later\n\n")
    report.write_text(json.dumps({"findings": [{"id": "no_leak-12345678"}]}))
    assert findings.accepted(listed) == findings.accepted(report) == {"no_leak-12345678"}
    assert findings.accepted(None) == frozenset()
    with pytest.raises(ConfigError, match="--baseline"):
        findings.accepted(tmp_path / "missing")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"stages": ("catalog",)}, "catalogue"),
        ({"checks": ("no_hangs",)}, "no_hang"),
        ({"malformed": "drop"}, "reject"),
        ({"duration_s": 0}, "--duration"),
        ({"workers": 0}, "--workers"),
        ({"platform": "telegrm"}, "telegram"),
    ],
)
def test_a_campaign_refuses_what_would_only_fail_later(change: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        CampaignSpec(ADDRESS, Endpoint(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("segments", 0, "pause_s"), 1e308, r"segments\[0\].pause_s: 1e\+308 is not a number of 0 to 3600"),
        (("segments", 0, "pause_s"), -5, "pause_s: -5 is not a number"),
        (("segments", 0, "pause_s"), float("nan"), "pause_s: nan is not a number"),
        (("segments", 0, "times"), 10**18, "times: 10{18} is not a number of 1 to"),
        (("segments", 0, "times"), float("inf"), "times: inf is not a number"),
        (("segments", 0, "data_b64"), "!!!", "is no chaosbot case"),
        (("segments",), [], r"segments: a list is not a list of 1 to"),
        (("expect", "within_s"), "soon", "within_s: 'soon' is not a number or null"),
        (("expect", "statuses"), ["2xx"], r"statuses\[0\]: '2xx' is not a number"),
        (("marker",), 5, "marker: 5 is not a text"),
        (("callback",), 5, "callback: 5 is not a text or null"),
        (("copies",), 10**9, "copies: 1000000000 is not a number"),
    ],
)
def test_a_damaged_case_is_refused_with_file_key_and_rule(
    tmp_path: Path, place: tuple[str | int, ...], value: object, says: str
) -> None:
    case = Case("n", "c", Threat.NETWORK, (Segment(b"POST / HTTP/1.1\r\n\r\n"),), Expect())
    document = findings.to_json(findings.Reproducer("no_hang", "a cause", "telegram", "/", ((case,),)), "")
    holder = document["steps"][0][0]
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=says) as told:
        findings.read(path, "")
    assert str(told.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("steps", "most"), [(0, "1 to 10000"), (20_000, "1 to 10000")])
def test_a_finding_without_end_is_refused(tmp_path: Path, steps: int, most: str) -> None:
    case = Case("n", "c", Threat.NETWORK, (Segment(b"x"),), Expect())
    document = findings.to_json(findings.Reproducer("no_hang", "a cause", "telegram", "/", ((case,),)), "")
    document["steps"] *= steps
    (tmp_path / "case.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=f"steps: a list is not a list of {most}"):
        findings.read(tmp_path, "")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "hook",
        "/a b",
        "/\0",
        "/" + "a" * 9000,
        "/hook HTTP/1.1\r\nContent-Length: 99999\r\n\r\n",  # a target would wait for the rest
    ],
)
def test_a_path_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path, path: str) -> None:
    document = findings.to_json(REPRODUCER, "")
    (tmp_path / "case.json").write_text(json.dumps({**document, "path": path}))
    with pytest.raises(ConfigError, match=r"case.json: path: .* is no path of a URL"):
        findings.read(tmp_path, "")
