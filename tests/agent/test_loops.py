"""What the agent sees inside a real Python process: other event loops than asyncio's, errors of Python itself, values that are compared, included packages."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosbot.core.event import LoopBlocked, TargetRaised
from chaosbot.fuzz.guide import Guide
from tests.support.pythons import python_of

pytestmark = pytest.mark.skipif(not python_of((3, 12)), reason="needs a Python that can watch code (3.12)")

# As uvloop, which need not be installed: its callbacks run without a frame of asyncio's.
FOREIGN = """
import asyncio, heapq, time

class Loop(asyncio.SelectorEventLoop):
    def _run_once(self):
        now = self.time()
        while self._scheduled and self._scheduled[0]._when <= now:
            self._ready.append(heapq.heappop(self._scheduled))
        until = max(0, self._scheduled[0]._when - now) if self._scheduled else None
        self._process_events(self._selector.select(0 if self._ready else until))
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle._cancelled:
                handle._context.run(handle._callback, *handle._args)
"""
BOT = """
import asyncio, time, uvloop

def nap(user):
    time.sleep(0.9)

async def main():
    for _ in range(40):  # many short turns hold nothing
        time.sleep(0.02)
        await asyncio.sleep(0)
    nap({"id": 5000000})
    await asyncio.sleep(0.4)
    print("done", flush=True)
    await asyncio.sleep(60)

uvloop.Loop().run_until_complete(main())
"""


@pytest.fixture
def guide() -> Iterator[Guide]:
    one = Guide()
    yield one
    one.close()


def seen(guide: Guide, program: Path) -> None:
    """Runs a program until it says that it is done, and takes what the agent has told until then."""
    with subprocess.Popen(
        [python_of((3, 12)), program], env=guide.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert guide.sync()
        process.kill()


def test_what_holds_a_loop_without_frames_of_asyncio_is_named_with_its_case(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text(FOREIGN)
    (tmp_path / "bot.py").write_text(BOT)
    guide._cases["5000000"] = (1, "mine", "exchange")
    seen(guide, tmp_path / "bot.py")
    blocked = [one for one in guide._events if isinstance(one, LoopBlocked)]
    assert [(one.frames[0].rpartition("/")[2], one.case) for one in blocked] == [("bot.py:5 in nap", "mine")]


def test_errors_of_files_count_and_those_of_the_network_do_not(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("""
import socket

def one(what):
    try:
        what()
        print(end="")
    except Exception:
        pass

class Late(OSError):
    pass

def late():
    raise Late

one(lambda: open("/nowhere/at/all"))
one(lambda: __import__("nothing_of_that_name"))
one(lambda: socket.create_connection(("127.0.0.1", 1), 5))
one(late)
print("done", flush=True)
input()
""")
    seen(guide, tmp_path / "bot.py")
    raised = [one for one in guide._events if isinstance(one, TargetRaised)]
    assert [(one.error, one.meant) for one in raised] == [("FileNotFoundError", False), ("ModuleNotFoundError", False)]


def test_what_is_compared_at_run_time_becomes_a_word_but_for_what_the_case_has_sent(guide: Guide, tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "bot.py").write_text("""
import sys

def check(text, code):
    word = "made-" + str(code)
    if text == word:
        print(end="")

print("ready", flush=True)
for line in sys.stdin:
    check(line.strip(), 5000000)
    print("done", flush=True)
""")
    guide._cases["5000000"] = (1, "mine", "exchange")
    guide._requests["mine"] = b'{"text": "mine-said"}'
    with subprocess.Popen(
        [python_of((3, 12)), tmp_path / "bot.py"], env=guide.environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert guide.sync("rearm")
        for _ in range(2):
            assert guide.sync("rearm")
            process.stdin.write("mine-said\n")
            process.stdin.flush()
            process.stdout.readline()
            assert guide.sync()
        process.kill()
    assert {one.value for one in guide.words() if one.kind == "seen" and one.function == "check"} == {"made-5000000"}


@pytest.mark.parametrize("runs", ["python", "node"])
def test_a_package_that_is_included_counts_as_own_and_its_neighbours_do_not(tmp_path: Path, runs: str) -> None:
    room = tmp_path / ("site-packages" if runs == "python" else "node_modules")
    for name in ("acme", "other"):
        (room / name).mkdir(parents=True)
        (room / name / "__init__.py").write_text(f"def f(x):\n    return x == 'word-of-{name}'\nf(1)\n")
        (room / name / "index.js").write_text(f"exports.f = (x) => x === 'word-of-{name}';\nexports.f(1);\n")
    (tmp_path / "bot.py").write_text(f"import sys\nsys.path.append({str(room)!r})\nimport acme, other\nprint('done', flush=True)\ninput()\n")  # fmt: skip
    (tmp_path / "bot.js").write_text(
        "require('acme'); require('other');\nconsole.log('done'); setTimeout(() => {}, 60000);\n"
    )
    guide = Guide(("acme",))
    program = [python_of((3, 12)), "bot.py"] if runs == "python" else ["node", "bot.js"]
    with subprocess.Popen(
        program, cwd=tmp_path, env=guide.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert guide.sync()
        process.kill()
    guide.close()
    assert {one.value for one in guide.words() if str(one.value).startswith("word-of-")} == {"word-of-acme"}
    assert any("acme" in row for row in guide.lcov().splitlines())
