"""Whatever a name leads to, what is read of it is bounded in size and in time."""

from __future__ import annotations

import ast
import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

import chaosbot
from chaosbot import files
from chaosbot.cli._listeners import authority, client_certificate
from chaosbot.cli._options import choose_platform, read_prices
from chaosbot.config.experiment import read_experiment
from chaosbot.config.plan import read_plan
from chaosbot.config.replay import read_recording
from chaosbot.config.settings import FILE, PROJECT, find_settings
from chaosbot.core.errors import ConfigError, JournalError, UsageError
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.files import read_bytes, read_text, regular
from chaosbot.fuzz.findings import accepted
from chaosbot.fuzz.findings import read as read_finding
from chaosbot.journal import EVENTS_FILE
from chaosbot.journal import read as read_journal
from chaosbot.load.sources import Corpus, JourneyFile
from chaosbot.transport import Tls
from chaosbot.transport.link import client_context
from chaosbot.transport.recordings import requests_in

GIGABYTES = 2 << 30
ENDPOINT = Endpoint("localhost", "/")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(GIGABYTES)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


ODD: dict[str, Callable[[Path], None]] = {
    "a directory": Path.mkdir,
    "a pipe that nobody writes to": pipe,
    "2 GB of nothing": sparse,
    "zeros without end": endless,
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE_S", 0.05)


def _certificate(path: Path) -> None:
    with client_certificate(path, None):
        pass


def _journal(path: Path) -> Path:
    folder = path.parent / "run"
    folder.mkdir()
    path.rename(folder / EVENTS_FILE)
    return folder


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a plan": (".toml", read_plan),
    "an experiment": (".yaml", lambda path: read_experiment(str(path))),
    "prices": (".json", read_prices),
    "a schema": (".json", lambda path: choose_platform("json_webhook", [f"schema=@{path}"])),
    "a sample": (".json", lambda path: choose_platform("json_webhook", [f"sample=@{path}"])),
    "a finding": (".json", lambda path: read_finding(path, "")),
    "a baseline": (".txt", accepted),
    "a journey": (".py", lambda path: JourneyFile(path, platform_of("telegram"), ENDPOINT)),
    "a corpus": (".har", lambda path: Corpus(path, platform_of("telegram"), ENDPOINT)),
    "a corpus folder": (".http", lambda path: Corpus(path.parent, platform_of("telegram"), ENDPOINT)),
    "a journal": (".ndjson", lambda path: read_journal(_journal(path))),
    "a recorded run": (".ndjson", lambda path: read_recording(_journal(path))),
    "authorities": (".pem", lambda path: client_context(Tls(ca_file=str(path)))),
    "a certificate": (".pem", lambda path: client_context(Tls(cert_file=str(path)))),
    "upstream authorities": (".pem", authority),
    "an upstream certificate": (".pem", _certificate),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_a_reader_of_what_is_no_file_says_so_in_one_line(reader: str, odd: str, tmp_path: Path) -> None:
    suffix, read = READERS[reader]
    path = tmp_path / f"odd{suffix}"
    ODD[odd](path)
    with pytest.raises((UsageError, JournalError)) as told:
        read(path)
    assert "\n" not in str(told.value)
    assert "odd" in str(told.value) or str(tmp_path) in str(told.value)


@pytest.mark.parametrize("odd", ODD)
def test_a_project_file_that_is_none_is_passed_over(odd: str, tmp_path: Path) -> None:
    ODD[odd](tmp_path / PROJECT)
    (tmp_path / FILE).write_text("[load]\nusers = 3\n")
    below = tmp_path / "below"
    below.mkdir()
    ODD[odd](below / PROJECT)
    assert find_settings(below, ["load"]).verbs == {"load": {"users": 3}}


def test_what_is_written_into_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    words = b"words " * 100_000
    writer = Thread(target=path.write_bytes, args=(words,))
    writer.start()
    assert read_bytes(path) == words
    writer.join()


def test_a_pipe_whose_writer_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with closing(os.fdopen(os.open(path, os.O_RDWR), "wb")), pytest.raises(UsageError, match="says nothing"):
        read_bytes(path)


def test_bounds_are_exact_and_texts_are_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(path, most=6) == "abc"
    with pytest.raises(ConfigError, match="is larger than"):
        read_bytes(path, most=5)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="--option: is no UTF-8"):
        read_text(path, where="--option")
    with pytest.raises(UsageError, match="cannot be read"):
        read_text(Path("a\0b"))
    with pytest.raises(UsageError, match="no regular file"):
        regular(Path("/dev/zero"))


OWN = {
    "agent/agent.py": "runs in the target",
    "agent/code.py": "the target's own code",
    "agent/path/sitecustomize.py": "runs in the target",
    "addons/_mitm/runtime.py": "a lock of ours",
    "addons/record.py": "is written",
    "cli/__init__.py": "/dev/null",
    "cli/_aliases.py": "reports that were just written",
    "cli/_listeners.py": "looked at by `regular` before",
    "config/experiment.py": "comes with the package",
    "files.py": "is the reader",
    "fuzz/guide.py": "written by the agent",
    "fuzz/process.py": "/proc",
    "journal.py": "looked at by `regular` before, and read line by line",
    "platforms/github/__init__.py": "comes with the package",
    "report/guidance.py": "comes with the package",
    "report/reporter.py": "is written",
    "session/live.py": "comes with the package, or was just written",
}
"""Files that open files themselves, and why nobody names what they open."""


def test_what_people_name_is_opened_by_one_reader_alone() -> None:
    """Who adds a reader of files takes `chaosbot.files`, and adds it to `READERS` above and in `tests/config/test_hostile.py`."""
    root = Path(chaosbot.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"open\(|read_(text|bytes)\(", text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "read_bytes"))
            or (isinstance(node.func, ast.Name) and node.func.id == "open")
            or (isinstance(node.func, ast.Attribute) and node.func.attr == "open" and _mode(node))
        )
    }
    assert {name for name in found if not name.startswith("demo/")} <= set(OWN)


def _mode(call: ast.Call) -> bool:
    """Whether a call of an `open` names how a file is opened."""
    given = (*call.args[:1], *(each.value for each in call.keywords if each.arg == "mode"))
    return any(isinstance(one, ast.Constant) and str(one.value)[:1] in ("r", "w", "a", "x") for one in given)


def laughs(first: str, again: str) -> str:
    """Ten definitions, each of nine of the one before it."""
    pairs = zip("abcdefghi", "bcdefghij", strict=True)
    lines = (f"{after}: &{after} {again.format(', '.join([f'*{before}'] * 9))}\n" for before, after in pairs)
    return f"a: &a {first}\n" + "".join(lines)


YAML_READERS: dict[str, Callable[[Path], object]] = {
    "plan": read_plan,
    "experiment": lambda path: read_experiment(str(path)),
    "prices": read_prices,
    "recording": lambda path: requests_in(path, "localhost"),
    "sample": lambda path: choose_platform("json_webhook", [f"sample=@{path}"]),
    "schema": lambda path: choose_platform("json_webhook", [f"schema=@{path}"]),
}


@pytest.mark.parametrize("reader", YAML_READERS)
@pytest.mark.parametrize(
    "text",
    [
        laughs("[1]", "[{}]"),
        laughs("{k: 1}", "{{<<: [{}]}}"),
        laughs(f"[{'x' * 50_000}]", "[{}]"),
        "? [1, 2]\n: x\n",
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "a: !!timestamp x",
        "a: " + "[" * 1000,
        f"a: {'9' * 5000}",
    ],
    ids=["values", "merged", "texts", "key", "itself", "merged-itself", "date", "deep", "number"],
)
def test_a_yaml_document_takes_no_longer_than_its_length_explains(reader: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        YAML_READERS[reader](path)
    assert time.process_time() - began < 15
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_aliases_and_merged_keys_are_read() -> None:
    assert files.from_yaml("a: &a {k: 1}\nb: {<<: *a, l: 2}\nc: [*a, *a]\n") == {
        "a": {"k": 1},
        "b": {"k": 1, "l": 2},
        "c": [{"k": 1}, {"k": 1}],
    }
    assert files.from_yaml("") is None
    assert files.yaml_as_json("at: 2024-01-01") == '{"at": "2024-01-01"}'
