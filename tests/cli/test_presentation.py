"""How the command line speaks: lists as JSON, whole lines for pipes, whole units for narrow terminals, completion, and errors that help."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from chaosbot.cli import VERBS, Verbs, _finish
from chaosbot.cli.completion import SHELLS
from chaosbot.core.check import CHECKS
from chaosbot.core.fault import FAULTS
from chaosbot.core.profile import PROFILES
from chaosbot.demo.bugs import CARDS
from chaosbot.report.terminal import _row, _table

NO_WEB_SERVER = "import sys; sys.modules['starlette'] = None"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("faults",), list(FAULTS)),
        (("checks",), list(CHECKS)),
        (("profiles",), list(PROFILES)),
        (("demo", "--list"), list(map(str, CARDS))),
    ],
)
def test_every_list_is_json_on_request(chaosbot: Callable[..., Any], words: tuple[str, ...], names: list[str]) -> None:
    listed = json.loads(chaosbot(*words, "--json").out)
    assert [entry["name"] for entry in listed] == names


def test_a_page_as_json_tells_kinds_defaults_and_choices(chaosbot: Callable[..., Any]) -> None:
    page = json.loads(chaosbot("faults", "latency", "--json").out)
    options = {option["name"]: option for option in page["options"]}
    assert options["delay"]["required"]
    assert options["delay"]["kind"] == "duration"
    assert options["most"]["default"] == "1h"
    assert "pareto" in options["shape"]["choices"]


def test_cases_diagnoses_and_settings_are_json_too(chaosbot: Callable[..., Any]) -> None:
    cases = json.loads(chaosbot("fuzz", "--list", "--json").out)
    assert {"name", "threat", "expectation", "summary"} == cases[0].keys()
    assert all(look["ok"] for look in json.loads(chaosbot("doctor", "--json").out))
    shown = json.loads(chaosbot("config", "--json", CHAOSBOT_LOAD_USERS="7").out)
    assert shown["set"] == [{"verb": "load", "option": "users", "value": "7", "by": "CHAOSBOT_LOAD_USERS"}]


def test_options_are_called_in_files_and_environment_as_they_are_typed(
    chaosbot: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "chaosbot.toml").write_text("[fuzz]\nlist = true\njson = true\n")
    assert json.loads(chaosbot("fuzz").out)[0]["name"]
    (tmp_path / "chaosbot.toml").unlink()
    assert json.loads(chaosbot("faults", "latency", CHAOSBOT_FAULTS_JSON="1").out)["name"] == "latency"


def test_a_pipe_gets_whole_lines_without_padding(chaosbot: Callable[..., Any]) -> None:
    lines = chaosbot("checks", COLUMNS="").out.splitlines()
    assert len(lines) == len(CHECKS.names()) + 1
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("width", [30, 48, 60, 80, 120])
def test_no_terminal_is_too_narrow_for_a_unit(width: int) -> None:
    table = _table("task", "requests", "p50", "p90", "p99", "max")
    _row(table, "guest/a long name of a task", "12345", "36.4ms", "107ms", "1.25s", "2m 30s")
    stream = StringIO()
    Console(file=stream, width=width).print(table)
    for figure in ("12345", "36.4ms", "107ms", "1.25s", "2m 30s"):
        assert figure in stream.getvalue()
    assert all(len(line) <= width for line in stream.getvalue().splitlines())


def test_a_page_of_eighty_columns_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for verb in VERBS:
        Verbs(name="chaosbot").get_command(None, verb).main(["--help"], prog_name=verb, standalone_mode=False)
        page = capsys.readouterr().out
        assert f"Usage: {verb}" in page
        assert [line for line in page.splitlines() if "… │" in line] == []
        assert "env var" not in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("fuzz URL --web --stages catalogue --seed 1", "fuzz URL --stages catalogue --seed 1"),
        ("fuzz URL --web 8600 --out x --seed 1", "fuzz URL --seed 1"),
        ("load URL --web=8600 --json -q --prometheus 9100 --out=x", "load URL --seed 5"),
        ("run URL --web --quiet --html r.html --users 3", "run URL --users 3 --seed 5"),
    ],
)
def test_a_line_that_repeats_a_run_says_nothing_of_how_it_was_shown(
    typed: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_finish, "sys", SimpleNamespace(argv=["chaosbot", *typed.split()]))
    assert _finish.command_line(5) == f"chaosbot {said}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("proxy", "http://127.0.0.1:9", "--fault", "latency"), "latency lacks its option 'delay'"),
        (("proxy", "http://127.0.0.1:9", "--fault", "latency"), "write latency:250ms"),
        (
            ("fuzz", "--platform", "json_webhook", "--platform-option", "sample=@nope.json"),
            "--platform-option sample: nope.json: cannot be read (No such file or directory); name a file",
        ),
        (("replay", "nope"), "nope: is not there; a finding's directory is RUN_DIR/findings/ID"),
        (("replay", "."), "holds no finding"),
        (("completion", "tcsh"), "unknown shell 'tcsh'"),
        (("load", "--duration", "1s", "--out", "a file"), "--out a file: is a file"),
    ],
)
def test_an_error_says_what_lacks(
    chaosbot: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "a file").touch()
    done = chaosbot(*words)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file"]


def test_replay_lists_the_findings_of_a_run_and_quotes_their_paths(
    chaosbot: Callable[..., Any], tmp_path: Path
) -> None:
    finding = tmp_path / "my run" / "findings" / "no_leak-1"
    finding.mkdir(parents=True)
    (finding / "case.json").write_text("{}")
    for given in ("my run", "my run/findings"):
        done = chaosbot("replay", given)
        assert done.code == 2
        assert "choose one of its findings (no_leak-1)" in done.err
        assert "chaosbot replay 'my run/findings/no_leak-1'" in done.err


def test_without_the_demo_extra_everything_else_works_and_the_remedy_is_said(chaosbot: Callable[..., Any]) -> None:
    for words in (("demo",), ("demo", "--serve"), ("load", "--duration", "1s"), ("fuzz", "--duration", "1s")):
        done = chaosbot(*words, prelude=NO_WEB_SERVER)
        assert done.code == 2
        assert "pip install 'chaosbot[demo]'" in done.err
    assert chaosbot("faults", prelude=NO_WEB_SERVER).code == 0


def test_bash_completes_verbs_options_and_names(chaosbot: Callable[..., Any]) -> None:
    script = chaosbot("completion", "bash").out
    assert _completed_by_bash(script, "chaosbot fu") == ["fuzz"]
    assert _completed_by_bash(script, "chaosbot fuzz --check no_h") == ["no_hang", "no_hol_blocking"]
    assert _completed_by_bash(script, "chaosbot faults laten") == ["latency"]
    assert "--bot-api" in _completed_by_bash(script, "chaosbot fuzz --bot")
    assert _completed_by_bash(script, "chaosbot run --plan ") == []  # a file: bash's own completion takes over


def _completed_by_bash(script: str, line: str) -> list[str]:
    ask = 'COMP_LINE=$1; IFS=" " read -ra COMP_WORDS <<< "$1"; [[ $1 == *" " ]] && COMP_WORDS+=("")\n'
    ask += 'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _chaosbot; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}", "bash", line], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_finds_no_fault_with_its_script(
    chaosbot: Callable[..., Any], shell: str, tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = tmp_path / "script"
    script.write_text(chaosbot("completion", shell).out)
    option = "--no-execute" if shell == "fish" else "-n"
    subprocess.run([shell, option, str(script)], check=True, timeout=20, env={**os.environ, "HOME": str(tmp_path)})


def test_a_run_is_no_part_of_the_repository_that_it_is_written_into(
    chaosbot: Callable[..., Any], tmp_path: Path
) -> None:
    chaosbot("load", "--duration", "1s", "--rate", "5/s", "--out", "run")
    assert (tmp_path / "run" / ".gitignore").read_text() == "*\n"


def test_init_writes_the_schema_that_its_first_line_names(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    assert chaosbot("init", "mine.toml").code == 0
    name = (tmp_path / "mine.toml").read_text().splitlines()[0].removeprefix("#:schema ./")
    assert json.loads((tmp_path / name).read_text()) == json.loads(chaosbot("run", "--schema").out)
    assert chaosbot("run", "mine.toml", "--dry-run").code == 0
