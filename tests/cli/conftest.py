"""Runs the command line as a person would: as a process, in an empty folder, without their environment's secrets."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


@pytest.fixture
def clean_environment() -> dict[str, str]:
    secrets = ("TELEGRAM_SECRET_TOKEN", "BOT_TOKEN", "WS_AUTH_TOKEN", "ADMIN_TELEGRAM_ID")
    return {name: value for name, value in os.environ.items() if name not in secrets} | {"COLUMNS": "160"}


@pytest.fixture
def chaosbot(tmp_path: Path, clean_environment: dict[str, str]) -> Callable[..., Finished]:
    def run(*arguments: str, timeout: float = 90, **environment: str) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "chaosbot", *arguments],
            cwd=tmp_path,
            env=clean_environment | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run
