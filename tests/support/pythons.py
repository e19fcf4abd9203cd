"""Other Pythons of this machine, in which the agent of `--guide` is tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path


@cache
def python_of(least: tuple[int, int]) -> str:
    """A Python of at least this version that runs: this one, one on the path, or one of pyenv's; empty where there is none."""
    if sys.version_info[:2] >= least:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(least[1], 20)]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [path for name in names if (path := shutil.which(name))]
    found += [
        str(path) for name in names for path in sorted(root.glob(f"versions/{name.removeprefix('python')}*/bin/python"))
    ]
    asked = (
        path for path in found if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    )
    return next(asked, "")
