"""Runs the command line as a person would: in a process of its own, in an empty folder, without their environment's secrets."""

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaosbot.cli import VERBS

# Each command is forked from a process that has everything loaded: a hundred of them would import it a hundred times.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([f"chaosbot.cli.{verb}" for verb in VERBS])
COMMAND = """
import os, runpy, sys
for number, (name, flags) in enumerate(((os.devnull, os.O_RDONLY), (out, os.O_WRONLY), (err, os.O_WRONLY))):
    os.dup2(os.open(name, flags), number)
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
sys.argv[1:] = arguments
exec(prelude)
runpy.run_module("chaosbot", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Finished:
    code: int | None
    out: str
    err: str


@pytest.fixture
def clean_environment() -> dict[str, str]:
    secrets = ("TELEGRAM_SECRET_TOKEN", "BOT_TOKEN", "WS_AUTH_TOKEN", "ADMIN_TELEGRAM_ID")
    return {name: value for name, value in os.environ.items() if name not in secrets} | {"COLUMNS": "160"}


@pytest.fixture
def chaosbot(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]
) -> Callable[..., Finished]:
    def run(*arguments: str, timeout: float = 110, prelude: str = "", **environment: str) -> Finished:
        said = tmp_path_factory.mktemp("said")
        (said / "out").touch()
        (said / "err").touch()
        told = {
            "arguments": list(arguments),
            "prelude": prelude,
            "folder": str(tmp_path),
            "environment": clean_environment | environment,
            "out": str(said / "out"),
            "err": str(said / "err"),
        }
        process = FORKS.Process(target=exec, args=(COMMAND, told))
        process.start()
        process.join(timeout)
        assert process.exitcode is not None, f"chaosbot {' '.join(arguments)} does not end"
        return Finished(process.exitcode, (said / "out").read_text(), (said / "err").read_text())

    return run
