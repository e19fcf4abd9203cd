"""What is published besides the code reads and hangs together: workflows, action, image, metadata, and the limits of other systems."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import chaosbot as package
from chaosbot.fuzz import process

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((ROOT / name).read_text(encoding="utf-8"))


def test_every_extra_holds_something_and_a_plain_install_has_no_web_server() -> None:
    assert all(PROJECT["optional-dependencies"].values())
    assert not [line for line in PROJECT["dependencies"] if line.startswith(("starlette", "uvicorn", "mkdocs"))]
    assert {line.partition(">")[0] for line in PROJECT["optional-dependencies"]["demo"]} == {
        "starlette",
        "structlog",
        "uvicorn",
    }


def test_the_changelog_speaks_of_this_version_and_the_licence_of_citation_is_the_packages() -> None:
    assert f"\n## {package.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert yaml("CITATION.cff")["license"] == PROJECT["license"]
    assert PROJECT["authors"]


def test_the_actions_steps_use_inputs_that_there_are() -> None:
    action = yaml("action.yml")
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) <= action["inputs"].keys()
    reusable = yaml(".github/workflows/chaos.yml")
    called = reusable["jobs"]["fuzz"]["steps"][-1]
    assert called["with"].keys() <= action["inputs"].keys()


@pytest.mark.parametrize("name", ["action.yml", ".github/workflows/ci.yml", ".github/workflows/chaos.yml"])
def test_what_workflows_run_is_shell(name: str) -> None:
    document = yaml(name)
    jobs = [document["runs"]] if "runs" in document else document["jobs"].values()
    for job in jobs:
        for step in job["steps"]:
            script = re.sub(r"\$\{\{.*?\}\}", "x", step.get("run", ""))
            subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=20)


def test_the_image_runs_without_root_and_copies_what_there_is() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    user = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert user == ["10001"]
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []


def test_windows_is_told_what_to_do_instead(tmp_path: Path) -> None:
    code = (
        "import sys; sys.platform = 'win32'; sys.argv = ['chaosbot', '--help']; import chaosbot.__main__ as m; m.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "WSL 2" in done.stderr


def test_where_processes_are_not_seen_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path / "no proc")  # as on macOS
    assert not process.listeners_are_seen()
    assert process.listeners(80) == frozenset()
    assert process.family(1) == frozenset()
    assert process.vitals(frozenset({1})) is None
    process.forget_peaks(frozenset({1}))


def test_doctor_says_what_this_system_does_not_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from chaosbot.session.diagnosis import machine  # noqa: PLC0415 - looks at the machine when it is called

    looks: Callable[[], list[str]] = lambda: [one.what for one in machine() if one.what.startswith("processes:")]  # noqa: E731
    monkeypatch.setattr(process, "_PROC", tmp_path / "no proc")
    assert "by its connections only" in looks()[0]
