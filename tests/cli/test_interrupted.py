"""A signal while the program still imports ends it in one line, as it does a moment later."""

import subprocess
import sys
from pathlib import Path

import pytest

SIGNALLED = """
import signal, sys
from importlib.abc import MetaPathFinder
from chaosbot.__main__ import main

class Signal(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal({number})

sys.meta_path.insert(0, Signal())
sys.argv = ["chaosbot", "load", "--quiet"]
main()
"""


@pytest.mark.parametrize("module", ["chaosbot.cli", "typer", "chaosbot.cli.load", "chaosbot.session.run"])
@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_while_modules_are_imported_says_so_and_nothing_more(module: str, number: int, tmp_path: Path) -> None:
    program = SIGNALLED.format(module=module, number=number)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "chaosbot: interrupted\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_to_a_verb_that_makes_no_run_says_so_too(number: int, tmp_path: Path) -> None:
    program = f"""
import signal, sys
import chaosbot.cli.profiles as verb
from chaosbot.__main__ import main

def body():
    signal.raise_signal({number})

verb.app.registered_commands[0].callback = body
sys.argv = ["chaosbot", "profiles"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "chaosbot: interrupted\n")
