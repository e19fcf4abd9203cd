"""npm packages for tests that drive JavaScript libraries."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALL_S = 240


def with_packages(directory: Path, script: Path, *packages: str) -> Path:
    """Installs packages into a directory and puts a script beside them; skips the test where that cannot be done."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is not installed")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install took more than {_INSTALL_S} s; is there a registry?")
    if done.returncode:
        pytest.skip(f"npm install failed: {done.stderr.strip()[-300:]}")
    return Path(shutil.copy(script, directory))
