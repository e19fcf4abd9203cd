"""What the command line does when it cannot print, and how soon it is there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosbot.cli import GROUPS, VERBS

CHAOSBOT = [sys.executable, "-m", "chaosbot"]


def run(command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    line = command.replace("chaosbot", f"{sys.executable} -m chaosbot", 1)
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "verb", ["faults", "checks", "fuzz --list", "run --schema", "load --duration 1s --rate 20/s --out run"]
)
def test_a_full_standard_output_is_one_line_and_no_finding(verb: str, tmp_path: Path) -> None:
    done = run(f"chaosbot {verb} >/dev/full", tmp_path)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "chaosbot: standard output cannot be written (No space left on device); what was kept is in the run's directory"
    ]
    if "--out" in verb:
        assert (tmp_path / "run" / "report.json").is_file()


def test_a_closed_standard_output_is_said_and_its_number_taken_by_nothing(tmp_path: Path) -> None:
    done = run("chaosbot faults >&- 2>said", tmp_path)
    assert done.returncode == 3
    assert (tmp_path / "said").read_text().count("\n") == 1
    assert run("chaosbot load --duration 1s --rate 20/s --out run >&- 2>&- <&-", tmp_path).returncode == 3
    assert (tmp_path / "run" / "report.json").is_file()
    assert run("chaosbot faults 2>&-", tmp_path).returncode == 0


def test_a_journal_that_cannot_be_written_ends_the_run_with_what_was_kept(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = run("ulimit -f 8; exec chaosbot load --duration 60s --rate 100/s --out run --quiet", tmp_path)
    assert done.returncode == 3
    assert time.monotonic() - begun < 45
    (said,) = done.stderr.splitlines()
    assert "cannot be written (File too large)" in said
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["verdict"] == "inconclusive"
    assert any("events.ndjson: cannot be written (File too large)" in reason for reason in report["reasons"])


def test_a_process_that_may_open_no_more_files_says_so(tmp_path: Path) -> None:
    done = run("ulimit -n 8; exec chaosbot proxy http://127.0.0.1:9 --listen 127.0.0.1:0 --duration 1s", tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "no more files can be opened" in done.stderr


def test_a_reader_that_goes_away_is_one_line(tmp_path: Path) -> None:
    done = run("chaosbot faults | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 3)


def test_an_encoding_without_our_signs_is_no_error(tmp_path: Path) -> None:
    for verb in ("faults", "faults latency", "run --dry-run", "demo --list"):
        done = run(f"chaosbot {verb}", tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()


def test_an_error_that_nobody_foresaw_is_no_finding(chaosbot: Callable[..., Any]) -> None:
    done = chaosbot("faults", prelude="import chaosbot.cli._registry as r\nr.make_console = None")
    assert done.code == 3
    assert "an error of chaosbot itself (TypeError); the target was not judged" in done.err


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("folder.html", "is a folder"),
        ("missing/file.html", "is no folder"),
        ("file/file.html", "is no folder"),
        ("n" * 300 + ".html", "too long"),
        ("n" * 250 + ".h", "too long"),
    ],
)
@pytest.mark.parametrize(
    "verb",
    ["proxy http://127.0.0.1:9 --listen 127.0.0.1:0 --duration 1s --record", "load --duration 1s --rate 5/s --html"],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_starts(
    verb: str, place: str, says: str, tmp_path: Path, chaosbot: Callable[..., Any]
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    if place.endswith(".h") and "--html" in verb:
        place += "tml"
    done = chaosbot(*verb.split(), str(tmp_path / place), "--out", str(tmp_path / "run"))
    assert done.code == 2, done
    (line,) = done.err.splitlines()
    assert says in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("place", "says"), [("file", "is a file"), ("file/tests", "is a file"), ("n" * 300, "too long")]
)
def test_a_folder_for_tests_that_cannot_be_made_is_told_before_anything_is_sent(
    place: str, says: str, tmp_path: Path, chaosbot: Callable[..., Any]
) -> None:
    (tmp_path / "file").touch()
    done = chaosbot("fuzz", "--export-pytest", str(tmp_path / place), "--out", str(tmp_path / "run"))
    assert done.code == 2, done
    (line,) = done.err.splitlines()
    assert says in line
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "verb",
    ["proxy http://127.0.0.1:9 --listen 127.0.0.1:0 --duration 1s --record", "load --duration 1s --rate 5/s --html"],
)
def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_run_is_kept(verb: str, tmp_path: Path) -> None:
    (tmp_path / "full.html").symlink_to("/dev/full")
    done = run(f"chaosbot {verb} full.html --out run --quiet", tmp_path)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "full.html: cannot be written (No space left on device)" in line
    assert "run" in line.partition(";")[2]
    assert (tmp_path / "run" / "report.json").is_file()
    assert Path("/dev/full").is_char_device()


def hear_signals() -> None:
    """What runs behind a shell's `&` or `nohup` has some of them ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def begun(folder: Path, verb: str, events: int, **how: bool) -> subprocess.Popen[str]:
    """A minute of load that has written so many lines to its journal."""
    process = subprocess.Popen(
        [*CHAOSBOT, verb, "--duration", "60s", "--rate", "20/s", "--out", "run"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hear_signals,  # noqa: PLW1509 - nothing but system calls
        **how,
    )
    journal = folder / "run" / "events.ndjson"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > events):
        time.sleep(0.1)
    return process


@pytest.mark.parametrize(
    "number",
    [
        pytest.param("HUP", marks=pytest.mark.slow),
        "TERM",
        pytest.param("QUIT", marks=pytest.mark.slow),
        pytest.param("INT", marks=pytest.mark.slow),
    ],
)
def test_every_signal_that_ends_a_run_leaves_its_report(number: str, tmp_path: Path) -> None:
    process = begun(tmp_path, "load", 20)
    subprocess.run(["kill", f"-{number}", str(process.pid)], check=True)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert (tmp_path / "run" / "report.json").is_file(), said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_whole_group_ends_a_proxy_as_an_interrupt_does(number: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*CHAOSBOT, "proxy", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--http", "--out", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hear_signals,  # noqa: PLW1509 - nothing but system calls
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C ends it" in line:
            break
    os.killpg(process.pid, number)
    rest, _ = process.communicate(timeout=60)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert not [reason for reason in report["reasons"] if "trouble" in reason], "".join(said) + rest
    assert "Traceback" not in rest


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_ends_a_run_as_an_interrupt_does(number: int, tmp_path: Path) -> None:
    """`timeout 60 chaosbot run …` signals the bot, the mock, the proxy and the drivers of the load as well."""
    process = begun(tmp_path, "run", 100, start_new_session=True)
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert not [reason for reason in report["reasons"] if "trouble" in reason or "worker" in reason], report["reasons"]
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(process.pid, 0)


def test_a_signal_that_comes_when_all_is_said_changes_nothing() -> None:
    code = (
        "import atexit, os, signal, sys; sys.argv = ['chaosbot', 'profiles']\n"
        "atexit.register(lambda: [os.kill(os.getpid(), number) for number in (signal.SIGTERM, signal.SIGINT)])\n"
        "from chaosbot.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_is_there_at_once_and_imports_no_verb() -> None:
    code = (
        "import sys; sys.argv = ['chaosbot', '--help']; from chaosbot.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "heavy = {'rich', 'trio', 'mitmproxy', 'hypothesis', 'httpx', 'plotly', 'starlette', 'uvicorn', 'ruamel', 'msgspec'}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & heavy\n"
        "assert not loaded, loaded\n"
        "verbs = [name for name in sys.modules if name.startswith('chaosbot.cli.') and not name.startswith('chaosbot.cli._')]\n"
        "assert not verbs, verbs"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for group, verbs in GROUPS.items():
        assert f"{group}:" in done.stdout
        for verb, line in verbs.items():
            assert f"  {verb:{max(map(len, VERBS))}}  {line}" in done.stdout


def test_help_costs_less_than_three_tenths_of_a_second_of_work() -> None:
    # Processor time: a busy machine makes the clock run, not the work.
    best = min(_work() for _ in range(5))
    assert best < 0.3, best


def _work() -> float:
    before = os.times()
    subprocess.run([*CHAOSBOT, "--help"], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_plain_import_for_the_fixture_is_light() -> None:
    code = (
        "import sys; import chaosbot.testing, chaosbot.pytest_plugin; chaosbot.testing.latency('1ms'); chaosbot.testing.rule_of('abort', 'x')\n"
        "heavy = {'plotly', 'starlette', 'uvicorn', 'rich', 'typer', 'trio', 'mitmproxy', 'jinja2', 'httpx', 'hypothesis', 'ruamel'}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & heavy - {'rich'}\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
