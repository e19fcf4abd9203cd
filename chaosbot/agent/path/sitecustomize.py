"""Starts chaosbot's agent in an interpreter that chaosbot started, then lets the sitecustomize run that would have run without it."""

from __future__ import annotations

import os
import sys
from importlib import machinery, util
from typing import Any


def _load(name: str, path: str) -> Any:
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _tell(error: Exception) -> None:
    """Writes why the agent is not there into a file beside chaosbot's socket."""
    address = os.environ.get("CHAOSBOT_GUIDE", "")
    try:
        with open(address + ".why", "a") as file:
            file.write(f"Python {sys.version.split()[0]}: {type(error).__name__}: {error}".replace("\n", " ") + "\n")
    except OSError:
        pass  # chaosbot is gone


def _begin() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    # The program that is run finds its own modules only.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    try:
        room = os.path.dirname(here)
        code = _load("_chaosbot_code", os.path.join(room, "code.py"))
        _load("_chaosbot_agent", os.path.join(room, "agent.py")).begin(code.Source)
    except Exception as error:
        _tell(error)  # and on without the agent
    spec = machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_begin()
