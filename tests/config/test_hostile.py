"""Whatever is written into a file or an option, a reader of the product reads it or says in one line what is wrong."""

import copy
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chaosbot.cli import Verbs, long_options
from chaosbot.cli import _code as run_command
from chaosbot.cli._options import choose_bugs, choose_platform
from chaosbot.config.defaults import OPTION_VARIABLES, SECRETS
from chaosbot.config.document import MOST_DEPTH, PARSERS, parsed, read_document
from chaosbot.config.experiment import _toml as toml
from chaosbot.config.experiment import (
    built_in,
    built_in_text,
    experiment_from,
    experiment_schema,
    outbound_of,
    plan_schema,
    read_experiment,
)
from chaosbot.config.plan import parse_fault, plan_from, plan_to_mapping, read_plan
from chaosbot.config.replay import read_recording
from chaosbot.core import units
from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.check import CHECKS
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ChaosbotError, ConfigError
from chaosbot.core.event import SCHEMA as EVENTS_SCHEMA
from chaosbot.core.event import ExchangeSeen, Injected, RunEnded, RunStarted
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.platform import PLATFORMS, Endpoint, platform_of, spoken
from chaosbot.core.profile import PROFILES, Threshold
from chaosbot.core.registry import options_of
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.findings import Reproducer, accepted, needs_secret, to_json
from chaosbot.fuzz.findings import read as read_finding
from chaosbot.journal import Journal
from chaosbot.journal import read as read_journal
from chaosbot.load.sources import Corpus
from chaosbot.report import fold
from chaosbot.session.abort import StopCondition
from chaosbot.transport import Address
from chaosbot.transport.recordings import requests_in, samples_in

EXAMPLES = int(os.environ.get("CHAOSBOT_FUZZ_EXAMPLES", "60"))
"""How many examples each reader gets; the slow suite takes many more."""
usual = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(usual, max_examples=EXAMPLES // 4 or 1)
some = settings(usual, max_examples=EXAMPLES * 10)
thorough = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
for registry in (FAULTS, PLATFORMS, PROFILES, CHECKS):
    registry.names()  # read once, before the first example

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63, 10**30, -(10**400)]),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        ["1s", "250ms±50ms", "30%", "-1s", "1e999", "٣s", "9" * 5000 + "s", "\x00", "\ud800", "", "latency:", "@/"]
    ),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.none(), inner, max_size=3)
    ),
)


def written(read: Callable[[], object]) -> None:
    """Reads; an error is one of ours and one short line."""
    try:
        read()
    except ChaosbotError as error:
        refused = error
    else:
        return
    assert 0 < len(str(refused)) < 3000, str(refused)[:300]
    assert refused.exit_code in (2, 3)


def keys_of(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        found += keys_of(value, (*path, key))
    return found


def mutated(document: Any, draw: Any) -> Any:
    """The document with some places changed for arbitrary values, and some keys for others."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(keys_of(document)))
        value = draw(VALUES)
        if not path:
            document = value if draw(st.booleans()) else document
            continue
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.booleans()) and isinstance(holder, dict):
            kept = holder.pop(path[-1])
            holder[
                draw(
                    st.sampled_from(["", "p", "rate", "every", "options", "rules", "name", 7, None])
                    | st.text(max_size=6)
                )
            ] = kept
        else:
            holder[path[-1]] = value
    return document


PLAN: dict[str, Any] = {
    "rules": [
        {"fault": "latency:250ms±50ms", "name": "slow", "p": 0.3, "direction": "inbound", "options": {"stream": "up"}},
        {
            "fault": "abort",
            "options": {"status": 503},
            "headers": {"x": "y"},
            "body": {"a.b": True},
            "every": 3,
            "per": "chat",
            "cap": 2,
        },
        {
            "fault": "json_patch",
            "options": {"patch": [{"op": "remove", "path": "/a"}]},
            "start": "1s",
            "for": "2s",
            "every": "5s",
        },
    ]
}
EXPERIMENT: dict[str, Any] = {
    "name": "x",
    "about": "y",
    "target": "http://127.0.0.1:1/",
    "platform": "telegram",
    "platform_options": {"admin_id": 5},
    "seed": 3,
    "allow_hosts": ["a"],
    "workload": {"profile": "steady", "rate": "10/s", "options": {}, "slow_share": "10%", "timeout": "3s"},
    "phases": {"baseline": "3s", "fault": "1s"},
    "probes": {"health": "http://127.0.0.1:1/", "pid": 1},
    "outbound": "mock",
    "thresholds": ["p99<2s,5s"],
    "abort_on": ["error_rate > 50% for 10s"],
    "checks": ["no_hang"],
    "fuzz": "1s",
    **PLAN,
}


def plans(data: Any) -> None:
    document = mutated(PLAN, data.draw)
    written(lambda: plan_to_mapping(plan_from(document, "plan.toml")))


def experiments(data: Any) -> None:
    document = mutated(EXPERIMENT, data.draw)
    written(lambda: experiment_from(document, "x.toml").settings())


def faults(data: Any) -> None:
    name = data.draw(st.sampled_from(FAULTS.names()))
    names = [field.name for field in options_of(FAULTS.get(name))]
    keys = st.sampled_from(
        [*names, "p", "every", "direction", "first", "body.a", "header.x", "for", "scope"]
    ) | st.text(max_size=5)
    values = st.text(max_size=20) | st.sampled_from(
        ["1s", "3", "30%", "up", "inbound", "9" * 400, "1." * 50, "[]", "{}", "-1"]
    )
    parts = data.draw(st.lists(st.tuples(keys, values), max_size=4))
    head = data.draw(st.sampled_from(["", ":", ":1s", ":503", ":1s±", ":±", f":{'9' * 400}"]))
    written(lambda: parse_fault(";".join([name + head, *(f"{key}={value}" for key, value in parts)])))


def built(data: Any) -> None:
    registry = data.draw(st.sampled_from([FAULTS, PROFILES]))
    name = data.draw(st.sampled_from(registry.names()))
    names = [field.name for field in options_of(registry.get(name))] or ["x"]
    options = data.draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=3))
    written(lambda: registry.build(name, options))


def platforms(data: Any) -> None:
    name = data.draw(st.sampled_from(PLATFORMS.names()))
    names = [field.name for field in options_of(PLATFORMS.get(name))] or ["x"]
    options = data.draw(st.dictionaries(st.sampled_from(names), PLAIN, max_size=3))
    # What JSON cannot carry never gets here: options travel as JSON.
    written(lambda: platform_of(spoken(name, {key: value for key, value in options.items() if _fits_json(value)})))


def _fits_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except ValueError:
        return False


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind"],
    "properties": {
        "id": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 5}, "minItems": 1},
        "one": {"oneOf": [{"type": "null"}, {"$ref": "#/properties/id"}]},
        "all": {"allOf": [{"properties": {"x": {"type": "number"}}}, {"required": ["x"]}]},
        "when": {"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]},
        "coded": {"type": "string", "pattern": "[a-z]{3}-[0-9]+"},
    },
}


def schemas(data: Any) -> None:
    document = mutated(SCHEMA, data.draw)
    if _fits_json(document):
        written(lambda: platform_of(spoken("json_webhook", {"schema": json.dumps(document)})).golden(Dice(0)))


def texts(data: Any) -> None:
    text = data.draw(
        st.text(max_size=40)
        | st.sampled_from(
            [
                "p99<2s,5s",
                "error_rate > 50% for 10s",
                "http://[::1]:80/",
                "http://h:99999999999999999999/",
                "https://\ud800/",
            ]
        )
    )
    for read in (
        Threshold.parse,
        StopCondition.parse,
        Address.parse,
        outbound_of,
        choose_bugs,
        units.duration,
        units.size,
        units.share,
        units.frequency,
        parse_fault,
        read_experiment,
        lambda word: choose_platform("telegram", [word]),
        platform_of,
    ):
        written(lambda read=read: read(text))  # type: ignore[misc]


def _files(data: Any, folder: Path) -> None:
    suffix = data.draw(st.sampled_from([".toml", ".yaml", ".json"]))
    pieces = st.sampled_from(
        [
            "[",
            "]",
            "{",
            "}",
            "=",
            ":",
            "\n",
            "- ",
            '"',
            "'",
            "rules",
            "fault",
            "&a ",
            "*a",
            "!!python/object ",
            "0x",
            "1_0",
        ]
    )
    content = data.draw(st.lists(pieces | st.text(max_size=5), max_size=30).map("".join))
    raw = data.draw(st.sampled_from([content.encode("utf-8", "surrogatepass"), data.draw(st.binary(max_size=40))]))
    path = folder / f"file{suffix}"
    path.write_bytes(raw)
    written(lambda: read_plan(path))
    written(lambda: read_experiment(str(path)))
    written(lambda: accepted(path))


RECORDINGS: tuple[dict[str, Any], ...] = (
    {
        "log": {
            "entries": [
                {
                    "request": {
                        "method": "POST",
                        "url": "http://a/b?c",
                        "headers": [{"name": "x", "value": "y"}],
                        "postData": {"text": '{"a":1}', "params": [{"name": "p"}]},
                    }
                }
            ]
        }
    },
    {
        "info": {"name": "x"},
        "variable": [{"key": "v", "value": "w"}],
        "item": [
            {
                "name": "f",
                "item": [
                    {"name": "r", "request": {"method": "POST", "url": {"raw": "{{v}}/p"}, "body": {"raw": "{}"}}},
                    {"request": {"url": "/q", "body": {"mode": "urlencoded", "urlencoded": [{"key": "k"}]}}},
                ],
            }
        ],
    },
    {
        "openapi": "3.1.0",
        "servers": [{"url": "http://a/base"}],
        "paths": {
            "/x/{id}": {
                "post": {
                    "parameters": [{"name": "id", "in": "path"}, {"name": "q", "in": "query", "required": True}],
                    "requestBody": {"content": {"application/json": {"schema": SCHEMA}}},
                }
            }
        },
    },
)
CASE = Case("n", "c", Threat.NETWORK, (Segment(b"POST / HTTP/1.1\r\n\r\n"),), Expect())
FINDING = to_json(
    Reproducer("no_hang", "a cause", "telegram", "/webhook", ((CASE,),), "A title", "TELEGRAM_SECRET_TOKEN"), ""
)
JOURNAL = (
    RunStarted(0.0, "proxy", "x", 1, "http://127.0.0.1:1", "now", schema=EVENTS_SCHEMA),
    ExchangeSeen(1.0, "a", Direction.INBOUND, "POST", "/", 200, "target", 0.01, 200, 7, "message", 5, 5, "/x"),
    Injected(1.0, "slow", "latency", Depth.EXCHANGE, Direction.INBOUND, "a", "applied"),
    RunEnded(2.0, "completed"),
)


def recordings(data: Any) -> None:
    document = mutated(data.draw(st.sampled_from(RECORDINGS)), data.draw)
    if not _fits_json(document):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.json"
        path.write_text(json.dumps(document))
        written(lambda: requests_in(path, "localhost"))
        written(lambda: samples_in(path))
        written(lambda: Corpus(Path(folder), platform_of("telegram"), Endpoint("localhost", "/")))


def findings(data: Any) -> None:
    document = mutated(FINDING, data.draw)
    if not _fits_json(document):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.json"
        path.write_text(json.dumps(document))
        written(lambda: read_finding(path, "a-secret"))
        written(lambda: needs_secret(path))
        written(lambda: Corpus(Path(folder), platform_of("telegram"), Endpoint("localhost", "/")))


def journals(data: Any) -> None:
    """Members of events that are something else, and bytes that are no lines: inconclusive at worst, and folded all the same."""
    with tempfile.TemporaryDirectory() as folder:
        with closing(Journal(Path(folder))) as journal:
            for event in JOURNAL:
                journal.write(event)
        path = Path(folder) / "events.ndjson"
        lines = path.read_bytes().splitlines()
        at = data.draw(st.integers(0, len(lines) - 1))
        document = mutated(json.loads(lines[at]), data.draw)
        lines[at] = json.dumps(document).encode() if _fits_json(document) else data.draw(st.binary(max_size=40))
        path.write_bytes(b"\n".join(lines) + b"\n")
        written(lambda: fold(read_journal(Path(folder))))


def baselines(data: Any) -> None:
    """A list of ids or a report, with other values in it and other bytes."""
    report = {"schema": "chaosbot.report/1", "findings": [{"id": "no_hang-1a2b", "title": "x"}, {"id": "b"}]}
    document = mutated(report, data.draw)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "baseline"
        path.write_bytes(damaged(json.dumps(_with_texts(document)), data))
        written(lambda: accepted(path))


def damaged(text: str, data: Any) -> bytes:
    """The text as bytes, some of which are others."""
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    return bytes(raw)


def _with_texts(value: Any) -> Any:
    """The value as JSON can hold it: keys are texts, and numbers of any length are."""
    if isinstance(value, dict):
        return {str(key): _with_texts(one) for key, one in value.items()}
    return [_with_texts(one) for one in value] if isinstance(value, list) else value


OPTIONS: dict[str, list[str]] = {}
"""By verb: its options as files and the environment name them."""
LITERALS = ["nan", "-inf", "1979-05-27T07:32:00Z", "07:32:00", "[[1], {a = 2}]", "{}", "''", "true", "1e400", "9" * 400]
DRY: dict[str, list[str]] = {
    "run": ["run", "--dry-run"],
    "fuzz": ["fuzz", "--list"],
    "load": ["load", "--profile", "none"],
}
"""A command of each verb that ends before anything starts."""


def said(verb: str, folder: Path, environment: dict[str, str]) -> None:
    """Runs the command line where a file and the environment say options: an error is one line and its exit code 2."""
    errors, output = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(folder)
    try:
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(sys, "argv", ["chaosbot", *DRY[verb]]),
            redirect_stderr(errors),
            redirect_stdout(output),
            mock.patch("chaosbot.transport.access.enforce"),  # it would hold for as long as this process lives
        ):
            code = run_command(None)
    finally:
        os.chdir(before)
    assert code in (0, 2), errors.getvalue()[-3000:]
    if code == 2:
        assert errors.getvalue().count("\n") == 1, errors.getvalue()[:3000]
        assert len(errors.getvalue()) < 3000


def _option(verb: str, data: Any) -> str:
    if verb not in OPTIONS:
        command = Verbs().get_command(None, verb)
        OPTIONS[verb] = sorted({*long_options(command)} - {"help", "out", "web", "prometheus", "cluster"})
    return str(data.draw(st.sampled_from(OPTIONS[verb])))


def settings_files(data: Any) -> None:
    """`chaosbot.toml` or a project's file."""
    verb = data.draw(st.sampled_from(sorted(DRY)))
    project = data.draw(st.booleans())
    lines = [f"[{'tool.chaosbot.' if project else ''}{verb}]"]
    for _ in range(data.draw(st.integers(1, 3))):
        value = data.draw(st.sampled_from(LITERALS) | VALUES.map(lambda one: toml(_with_texts(one))))
        lines.append(f"{_option(verb, data)} = {value}")
    text = "\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        raw = damaged(text, data) if data.draw(st.booleans()) else text.encode("utf-8", "surrogatepass")
        (Path(folder) / ("pyproject.toml" if project else "chaosbot.toml")).write_bytes(raw)
        said(verb, Path(folder), {})


def environments(data: Any) -> None:
    """Variables that say options, and those that say secrets."""
    verb = data.draw(st.sampled_from(sorted(DRY)))
    values = st.sampled_from([*LITERALS, "1s", "\udcff\udc80", "a" * 5000, "\x1b[31m", "9" * 5000, "-", "@/", "\n"])
    texts = values | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
    environment = {f"CHAOSBOT_{verb}_{_option(verb, data)}".upper(): data.draw(texts)}
    for name in (*SECRETS, *OPTION_VARIABLES.values()):
        if data.draw(st.integers(0, 3)) == 0:
            environment[name] = data.draw(texts)
    with tempfile.TemporaryDirectory() as folder:
        said(verb, Path(folder), environment)


COMMANDS = ("settings_files", "environments")
"""These run the command line for each example, which takes long."""
READERS = {
    read.__name__: read
    for read in (
        plans,
        experiments,
        faults,
        built,
        platforms,
        schemas,
        texts,
        recordings,
        findings,
        journals,
        baselines,
        settings_files,
        environments,
    )
}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_reads_or_says_in_one_line_what_is_wrong(reader: str) -> None:
    (few if reader in COMMANDS else usual)(given(st.data())(READERS[reader]))()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_holds_for_long(reader: str) -> None:
    (some if reader in COMMANDS else thorough)(given(st.data())(READERS[reader]))()


@pytest.mark.parametrize("registry", [FAULTS, PROFILES], ids=["faults", "profiles"])
def test_numbers_of_any_length_are_read_or_refused(registry: Any) -> None:
    for name in registry.names():
        for field in options_of(registry.get(name)):
            for value in (10**5000, "9" * 5000, -(10**5000), "9" * 5000 + "s", 1e308, float("inf"), float("nan")):
                written(lambda name=name, option=field.name, value=value: registry.build(name, {option: value}))  # type: ignore[misc]
    for key in ("seed", "users", "p", "every", "start", "first"):
        for value in (10**5000, -(10**5000)):
            written(lambda key=key, value=value: experiment_from({key: value}, "x.toml"))  # type: ignore[misc]
            written(lambda key=key, value=value: plan_from({"rules": [{"fault": "abort", key: value}]}, "x.toml"))  # type: ignore[misc]


@usual
@given(data=st.data())
def test_files_of_any_bytes(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    _files(data, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@thorough
@given(data=st.data())
def test_files_of_any_bytes_for_long(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    _files(data, tmp_path_factory.getbasetemp())


LAUGHS = "a: &a [1]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("suffix", "text", "says"),
    [
        (".toml", f"seed = {'9' * 4301}", "is no TOML: Exceeds the limit"),
        (".toml", f"seed = {'9' * 4000}", "seed: .* is no whole number of at most"),
        (".toml", "a = " + "[" * 3000, "nested too deeply"),
        (".toml", "a = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (".json", '{"a": ' + "[" * 3000, "nested too deeply|is no JSON"),
        (".json", '{"rules": [{"fault": "abort:503", "fault": "latency:1s"}]}', "the key 'fault' is written twice"),
        (".yaml", "rules:\n  - fault: abort:503\n    fault: latency:1s\n", "is no YAML: .*duplicate"),
        (".json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        (".yaml", "a: " + "[" * 3000, "nested too deeply"),
        (".yaml", "a: " + "[" * 100_000, "nested too deeply"),
        (".yaml", "a: &a [*a]", "nested too deeply|is no YAML"),
        (".yaml", LAUGHS, "unknown key|nested too deeply|values, aliases written out"),
        (".yaml", "? [1, 2]\n: x", "is no text|is no YAML"),
        (".yaml", "1: x", "the key 1 is no text"),
        (".yaml", "!!python/object:os.system {}", "is no YAML"),
        (".yaml", "a: 1\na: 2", "is no YAML"),
        (".json", "[1]", "holds no table"),
        (".json", '{"a": \t1}', "unknown key"),
        (".toml", "seed = nan", "seed"),
        (".toml", "[workload]\nusers = 99999999999999", "workload.users: .* of at most"),
        (".toml", "fuzz = '999999999999999999999h'", "fuzz: .* beyond all bounds"),
        (".toml", "[[rules]]\nfault = 'latency:1s'\np = 1e400", r"rules\[0\].p"),
        (".toml", f"fuzz = '{'9' * 5000}x'", "fuzz"),
        (".toml", f"{'k' * 5000} = 1", "unknown key"),
        (".yaml", "rules: [{fault: abort, options: {1: 2}}]", r"rules\[0\].options: the key 1 is no text"),
        (".yaml", "rules: [{fault: abort, headers: {2020-01-01: 2}}]", r"rules\[0\].headers: the key .* is no text"),
        (".yaml", "phases: 2020-01-01", "phases: is no table"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hostile_files_are_one_line(suffix: str, text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ChaosbotError, match=says) as caught:
        read_experiment(str(path))
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".toml", "a\x00b.toml", ".", "/dev/null/x.toml"])
def test_hostile_names_of_files_are_one_line(name: str) -> None:
    for read in (read_plan, lambda path: read_experiment(str(path)), read_document, accepted, read_recording):
        with pytest.raises(ChaosbotError) as caught:
            read(Path(name))  # type: ignore[operator]
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize("suffix", sorted(PARSERS))
def test_as_deep_as_is_allowed_is_read(suffix: str) -> None:
    nested = "[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1)
    text = f"a = {nested}" if suffix == ".toml" else f'{{"a": {nested}}}'
    assert parsed(text, suffix, "x")
    deeper = text.replace("[]", "[[[]]]")
    with pytest.raises(ConfigError, match="nested too deeply"):
        parsed(deeper, suffix, "x")


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"properties": [1]},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "number", "multipleOf": 0},
        {"pattern": "(a+)+$"},
        {"pattern": "("},
        {"$ref": "#"},
        {"allOf": "x"},
        {"examples": 7},
        {"type": 7},
        True,
        [],
        "x",
    ],
    ids=str,
)
def test_a_hostile_json_schema_is_read_or_refused_in_time(schema: Any, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    began = time.process_time()
    written(lambda: choose_platform("json_webhook", [f"schema=@{tmp_path / 'schema.json'}"]))
    assert time.process_time() - began < 10


def test_what_the_reader_takes_the_schema_takes_too() -> None:
    validators = {
        "plan": (Draft202012Validator(plan_schema()), lambda document: plan_from(document, "plan.toml"), PLAN),
        "experiment": (
            Draft202012Validator(experiment_schema()),
            lambda document: experiment_from(document, "x.toml"),
            EXPERIMENT,
        ),
    }
    taken = 0

    @usual
    @given(data=st.data())
    def agree(data: Any) -> None:
        nonlocal taken
        validator, read, valid = validators[data.draw(st.sampled_from(sorted(validators)))]
        document = mutated(valid, data.draw)
        try:
            read(document)
        except ChaosbotError:
            return
        if _fits_json(document):
            taken += 1
            spelled = json.loads(json.dumps(document))
            assert not list(validator.iter_errors(spelled)), (
                document,
                next(iter(validator.iter_errors(spelled))).message,
            )

    agree()
    assert taken, "no document was taken: nothing was compared"


def test_what_the_schema_refuses_the_reader_refuses_too() -> None:
    validator = Draft202012Validator(experiment_schema())
    for wrong in (
        {"colour": "red"},
        {"phases": {"baseline": 3}},
        {"rules": [{"name": "x"}]},
        {"rules": [{"fault": "latncy"}]},
        {"rules": [{"fault": "latency:1s", "options": {"colour": 1}}]},
        {"workload": {"profile": "stedy"}},
        {"workload": {"profile": "steady", "options": {"colour": 1}}},
        {"checks": ["no_hagn"]},
        {"seed": -1},
        {"rules": [{"fault": "abort", "first": 0}]},
    ):
        assert list(validator.iter_errors(wrong)), wrong
        with pytest.raises(ConfigError):
            experiment_from(wrong, "x.toml")


def test_the_schema_describes_every_key_and_the_examples_fit_it() -> None:
    def undescribed(schema: Any, path: str) -> list[str]:
        found = []
        for name, inner in schema.get("properties", {}).items():
            found += [] if inner.get("description") else [f"{path}.{name}"]
            found += undescribed(inner, f"{path}.{name}")
        return found + (undescribed(schema["items"], f"{path}[]") if "items" in schema else [])

    for schema in (experiment_schema(), plan_schema()):
        Draft202012Validator.check_schema(schema)
        assert not undescribed(schema, "")
    root = Path(__file__).resolve().parents[2]
    for name in built_in():
        document = parsed(built_in_text(name), ".toml", name)
        assert not list(Draft202012Validator(experiment_schema()).iter_errors(document)), name
    for file, schema in (("experiment.toml", experiment_schema()), ("plan.toml", plan_schema())):
        assert not list(Draft202012Validator(schema).iter_errors(read_document(root / "examples" / file))), file
